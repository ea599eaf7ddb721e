"""When a night begins: every day at a local time of a time zone, daylight saving included."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evometrics.schemas.service.settings import SettingsError


@dataclass(frozen=True, slots=True)
class NightlySchedule:
    """A time of day in a time zone."""

    at: time
    zone: tzinfo

    @classmethod
    def parse(cls, run_at: str, time_zone: str) -> Self:
        """Read `HH:MM` and an IANA zone name; raises `SettingsError` naming the setting at fault."""
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", run_at):
            raise SettingsError(f"setting run_at={run_at!r}: give a time of day as HH:MM, 00:00 to 23:59")
        try:
            zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)  # UTC needs no zone files
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingsError(
                f"setting time_zone={time_zone!r}: no such time zone here; give an IANA name such as UTC or "
                "Europe/Berlin, and install tzdata where the system has no zone files"
            ) from None
        return cls(time.fromisoformat(run_at), zone)

    def next_run(self, now: datetime) -> datetime:
        """Return the first start after `now`, in UTC; exactly one for each local date.

        A time that is skipped in spring keeps its distance from midnight (02:30 becomes 03:30); of a time
        that comes twice in autumn the first counts. Raises `ValueError` where `now` has no time zone.
        """
        if now.tzinfo is None:
            raise ValueError(f"next_run: now={now} has no time zone; pass datetime.now(UTC)")
        day = now.astimezone(self.zone).date() - timedelta(days=1)
        while True:
            # in UTC: Python compares times of one zone by the wall clock, and a time that occurs twice equals
            # no time of another zone
            start = datetime.combine(day, self.at, self.zone).astimezone(UTC)
            if start > now.astimezone(UTC):
                return start
            day += timedelta(days=1)
