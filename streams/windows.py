"""Rolling success rates over windows of event time, from counts per step (design section 4).

A window ends at the end of a step. For every step that holds an attempt there is one row: attempts
and successes in the window that ends with that step. Counts only ever grow, so the row that knows
more attempts is the right one, whatever the order in which rows arrive: `version` = attempts. For the
same reason counts of several source partitions merge by taking, per partition and step, the larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evometrics.schemas.events import SuccessRate
from evometrics.schemas.ids import derived_id
from evometrics.streams.calculations import wilson_interval

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window: its length and the step at which its end moves, in seconds."""

    seconds: int
    step_seconds: int

    def step_of(self, at_micros: int) -> int:
        """Return the number of the step that holds a time (steps since the Unix epoch)."""
        return at_micros // (self.step_seconds * SECOND)

    @property
    def steps(self) -> int:
        """How many steps a window spans."""
        return self.seconds // self.step_seconds


WINDOWS: tuple[Window, ...] = (Window(3600, 300), Window(86_400, 3600), Window(604_800, 21_600))

#: Attempts and successes by step.
Counts = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a success rate is about: agent, evolution_type, strategy, node or fleet, and which."""

    kind: str
    value: str

    @property
    def key(self) -> str:
        """Kafka key of the scope's counts."""
        return f"{self.kind}|{self.value}"

    @classmethod
    def from_key(cls, key: str) -> Scope:
        """Return the scope of a key."""
        kind, _, value = key.partition("|")
        return cls(kind, value)


FLEET = Scope("fleet", "all")


class WindowCounts:
    """Attempts and successes per step for each window of one scope.

    Attributes:
        counts: one `Counts` for each of `windows`, in their order.
    """

    def __init__(self, windows: tuple[Window, ...], counts: list[Counts] | None = None) -> None:
        self.windows = windows
        self.counts: list[Counts] = counts or [{} for _ in windows]

    def add(self, at_micros: int, success: bool, lateness_seconds: int) -> list[set[int]] | None:
        """Count an attempt; return the steps changed, by window, or None where it came too late.

        Too late is what lies further behind the newest attempt than `lateness_seconds` in any
        window: its rows are final, only a replay corrects them.
        """
        for window, counts in zip(self.windows, self.counts, strict=True):
            if counts and window.step_of(at_micros) < oldest_open(window, max(counts), lateness_seconds):
                return None
        changed = []
        for window, counts in zip(self.windows, self.counts, strict=True):
            step = window.step_of(at_micros)
            attempts, successes = counts.get(step, (0, 0))
            counts[step] = (attempts + 1, successes + success)
            changed.append({step})
        return changed

    def prune(self, lateness_seconds: int) -> None:
        """Forget the steps that no open window reaches back to."""
        for window, counts in zip(self.windows, self.counts, strict=True):
            if counts:
                limit = oldest_open(window, max(counts), lateness_seconds) - window.steps
                for step in [s for s in counts if s < limit]:
                    del counts[step]


def oldest_open(window: Window, newest_step: int, lateness_seconds: int) -> int:
    """Return the oldest step whose row late events may still change."""
    return newest_step - -(-lateness_seconds // window.step_seconds)


def affected_rows(
    scope: Scope, window: Window, totals: Mapping[int, tuple[int, int]], changed: Iterable[int]
) -> list[SuccessRate]:
    """Return the rows that `changed` steps take part in, one for each occupied step.

    `totals` holds attempts and successes by step, for all steps that the rows reach back to.
    """
    steps = {
        step
        for start in changed
        for step in (
            range(start, start + window.steps)
            if len(totals) > window.steps
            else (s for s in totals if start <= s < start + window.steps)
        )
        if step in totals
    }
    return [success_rate(scope, window, totals, step) for step in sorted(steps)]


def success_rate(
    scope: Scope, window: Window, totals: Mapping[int, tuple[int, int]], last_step: int
) -> SuccessRate:
    """Return the row of the window that ends with `last_step`."""
    first_step = last_step - window.steps + 1
    if len(totals) > window.steps:
        inside = [totals[s] for s in range(first_step, last_step + 1) if s in totals]
    else:
        inside = [count for s, count in totals.items() if first_step <= s <= last_step]
    attempts, successes = sum(a for a, _ in inside), sum(s for _, s in inside)
    low, high = wilson_interval(successes, attempts)
    end = (last_step + 1) * window.step_seconds * SECOND
    return SuccessRate(
        event_id=derived_id("success_rate", scope.kind, scope.value, window.seconds, end),
        agent_id=scope.value if scope.kind == "agent" else "",
        node_id=scope.value if scope.kind == "node" else "",
        occurred_at=end,
        scope=scope.kind,
        scope_value=scope.value,
        window_seconds=window.seconds,
        window_start=end - window.seconds * SECOND,
        window_end=end,
        attempts=attempts,
        successes=successes,
        success_rate=successes / attempts,
        wilson_low=low,
        wilson_high=high,
        version=attempts,
    )
