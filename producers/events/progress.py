"""Selects which of an evolution's progress reports become events: all of them, or a sample."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evometrics.schemas.service.settings import SettingsError

EVERY = re.compile(r"every\s+(\d+)", re.IGNORECASE)
WAY_OUT = 'give seconds between two events (5), or the number of reports per event ("every 10")'


@dataclass(frozen=True, slots=True)
class ProgressSampling:
    """One event per `every` reports, at least `seconds` apart; the first and the last are always events."""

    every: int = 1
    seconds: float = 0.0

    @classmethod
    def of(cls, interval: str) -> ProgressSampling:
        """Read the setting `progress_interval`; empty = all. Raises `SettingsError`."""
        text = interval.strip()
        if not text:
            return cls()
        try:
            if (match := EVERY.fullmatch(text)) is not None:
                sampling = cls(every=int(match[1]))
            else:
                sampling = cls(seconds=float(text))
        except ValueError:
            raise SettingsError(f"setting progress_interval={interval!r}: {WAY_OUT}") from None
        if not (sampling.every > 0 and 0 <= sampling.seconds < 1e9):
            raise SettingsError(f"setting progress_interval={interval!r}: {WAY_OUT}")
        return sampling

    def due(self, reports: int, since: float) -> bool:
        """Return whether a report becomes an event.

        `reports`: how many came before it; `since`: seconds since the last event.
        """
        return reports == 0 or (reports % self.every == 0 and since >= self.seconds)
