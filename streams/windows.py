"""Rolling success rates over windows of event time, from counts per step (design section 4).

A window ends at the end of a step. For every step that holds an attempt there is one row: attempts
and successes in the window that ends with that step. Counts only ever grow, so the row that knows
more attempts is the right one, whatever the order in which rows arrive: `version` = attempts. For the
same reason counts of several source partitions merge by taking, per partition and step, the larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

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
        newest: the newest step of each, -1 where there is none.
    """

    __slots__ = ("counts", "newest", "windows")

    def __init__(self, windows: tuple[Window, ...], counts: list[Counts] | None = None) -> None:
        self.windows = windows
        if counts:
            self.counts: list[Counts] = counts
            self.newest = [max(known, default=-1) for known in counts]
        else:
            self.counts = [{} for _ in windows]
            self.newest = [-1 for _ in windows]

    def add(self, at_micros: int, success: bool, lateness_seconds: int) -> list[set[int]] | None:
        """Count an attempt; return the steps changed, by window, or None where it came too late.

        Too late is what lies further behind the newest attempt than `lateness_seconds` in any
        window: its rows are final, only a replay corrects them.
        """
        steps = [window.step_of(at_micros) for window in self.windows]
        for window, step, newest in zip(self.windows, steps, self.newest, strict=True):
            if step < newest and step < oldest_open(window, newest, lateness_seconds):
                return None
        for number, step in enumerate(steps):
            self.count(number, step, 1, int(success))
        return [{step} for step in steps]

    def takes(self, oldest: int, newest: int, lateness_seconds: int) -> bool:
        """Tell whether no attempt is too late whose step of the first window is from `oldest` to `newest`.

        Whatever their order. Steps of the first window lie within those of the others (`nested`).
        """
        for number, window in enumerate(self.windows):
            ratio = window.step_seconds // self.windows[0].step_seconds
            last = max(self.newest[number], newest // ratio)
            if oldest // ratio < oldest_open(window, last, lateness_seconds):
                return False
        return True

    def add_steps(self, added: Mapping[int, tuple[int, int]]) -> list[set[int]]:
        """Count attempts and successes by step of the first window, which `takes` allows.

        Leads to what `add` does, one attempt after the other in any order. Returns the same.
        """
        changed: list[set[int]] = []
        for number, window in enumerate(self.windows):
            ratio = window.step_seconds // self.windows[0].step_seconds
            for step, (attempts, successes) in added.items():
                self.count(number, step // ratio, attempts, successes)
            changed.append({step // ratio for step in added})
        return changed

    def count(self, number: int, step: int, attempts: int, successes: int) -> None:
        """Add to one step of one window."""
        counts = self.counts[number]
        known = counts.get(step)
        if known is not None:
            counts[step] = (known[0] + attempts, known[1] + successes)
            return
        counts[step] = (attempts, successes)
        if step > self.newest[number]:
            self.newest[number] = step

    def prune(self, lateness_seconds: int) -> list[list[int]]:
        """Forget the steps that no open window reaches back to; return them, by window."""
        forgotten = []
        for window, counts, newest in zip(self.windows, self.counts, self.newest, strict=True):
            limit = oldest_open(window, newest, lateness_seconds) - window.steps
            old = [s for s in counts if s < limit]
            for step in old:
                del counts[step]
            forgotten.append(old)
        return forgotten


def nested(windows: tuple[Window, ...]) -> bool:
    """Tell whether each window's steps lie within those of the next."""
    return all(later.step_seconds % w.step_seconds == 0 for w, later in pairwise(windows))


def oldest_open(window: Window, newest_step: int, lateness_seconds: int) -> int:
    """Return the oldest step whose row late events may still change."""
    return newest_step - -(-lateness_seconds // window.step_seconds)


def affected_rows(
    scope: Scope, window: Window, totals: Mapping[int, tuple[int, int]], changed: Iterable[int]
) -> list[SuccessRate]:
    """Return the rows that `changed` steps take part in, one for each occupied step.

    `totals` holds attempts and successes by step, for all steps that the rows reach back to.
    """
    return [success_rate(scope, window, totals, step) for step in affected_steps(window, totals, changed)]


def affected_steps(
    window: Window, totals: Mapping[int, tuple[int, int]], changed: Iterable[int]
) -> list[int]:
    """Return the occupied steps whose windows hold one of the `changed`, in order."""
    if len(totals) == 1:
        return [step for step in changed if step in totals]
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
    return sorted(steps)


def within(window: Window, totals: Mapping[int, tuple[int, int]], last_step: int) -> tuple[int, int]:
    """Return attempts and successes of the window that ends with `last_step`."""
    first_step = last_step - window.steps + 1
    attempts = successes = 0
    if len(totals) > window.steps:
        for step in range(first_step, last_step + 1):
            if step in totals:
                a, s = totals[step]
                attempts += a
                successes += s
    else:
        for step, (a, s) in totals.items():
            if first_step <= step <= last_step:
                attempts += a
                successes += s
    return attempts, successes


def success_rate(
    scope: Scope, window: Window, totals: Mapping[int, tuple[int, int]], last_step: int
) -> SuccessRate:
    """Return the row of the window that ends with `last_step`."""
    attempts, successes = within(window, totals, last_step)
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
