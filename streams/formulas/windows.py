"""Rolling success rates over windows of event time, from counts per step (design section 4).

A window ends at the end of a step. For every step that holds an attempt there is one row: attempts and
successes in the window that ends with that step. Counts only ever grow, so the row with more attempts is the
right one, whatever the order in which rows arrive: `version` = attempts. For the same reason counts of
several source partitions are merged by taking, per partition and step, the larger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evometrics.schemas.events import SuccessRate
from evometrics.schemas.ids import derived_id
from evometrics.streams.formulas.calculations import wilson_interval
from evometrics.streams.formulas.steps import affected_steps, within

SECOND = 1_000_000
#: Prefix of a success rate's identity; scope, window and end follow.
RATE_IDENTITY = "success_rate"


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window: its length and the step at which its end moves, in seconds."""

    seconds: int
    step_seconds: int

    @property
    def steps(self) -> int:
        """Number of steps in a window."""
        return self.seconds // self.step_seconds


WINDOWS: tuple[Window, ...] = (Window(3600, 300), Window(86_400, 3600), Window(604_800, 21_600))

#: Attempts and successes by step.
Counts = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a success rate is about: kind (agent, evolution_type, strategy, node or fleet) and value."""

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
#: The kinds of scopes whose evolutions come from several partitions.
SHARED_SCOPES = frozenset({"evolution_type", "strategy", "node", FLEET.kind})


def affected_rows(scope: Scope, window: Window, totals: Counts, changed: Iterable[int]) -> list[SuccessRate]:
    """Return the rows that contain a `changed` step, one for each occupied step.

    `totals` holds attempts and successes by step, for all steps that the rows reach back to.
    """
    return [success_rate(scope, window, totals, step) for step in affected_steps(window, totals, changed)]


def success_rate(scope: Scope, window: Window, totals: Counts, last_step: int) -> SuccessRate:
    """Return the row of the window that ends with `last_step`."""
    attempts, successes = within(window, totals, last_step)
    low, high = wilson_interval(successes, attempts)
    end = (last_step + 1) * window.step_seconds * SECOND
    return SuccessRate(
        event_id=derived_id(RATE_IDENTITY, scope.kind, scope.value, window.seconds, end),
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
