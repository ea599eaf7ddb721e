"""Counts a batch's attempts per scope once for the whole batch instead of event by event.

Counting is a sum: if no attempt of the batch can be too late for a scope, in whatever order, and none was
counted before a restart, the batch's sums by step lead to the same counts. Only if that is not certain is a
scope counted event by event, in the order of the offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evometrics.schemas.evolutions.joining import NO_TYPES
from evometrics.streams.formulas.windows import FLEET, SECOND, Counts, Scope
from evometrics.streams.rows.rows import Completion
from evometrics.streams.states.agent_states import LentState, PartialState
from evometrics.streams.states.live import LiveStates

Attempt = tuple[int, Completion]


class Lent(NamedTuple):
    """An attempt that counts in a scope lent by its start.

    Attributes:
        offset: its completion's.
        started: the start's, or that of a later one of the agent's starts.
    """

    offset: int
    started: int
    scope: Scope
    occurred_at: int
    success: bool


@dataclass(slots=True)
class Sum:
    """Attempts of one scope in one batch.

    Attributes:
        first, last: their first and last offset.
        steps: attempts and successes by step of the first window.
    """

    first: int
    last: int
    steps: dict[int, tuple[int, int]]

    def add(self, first: int, last: int, step: int, attempts: int, successes: int) -> None:
        self.first = min(self.first, first)
        self.last = max(self.last, last)
        known = self.steps.get(step, (0, 0))
        self.steps[step] = (known[0] + attempts, known[1] + successes)


def scopes_of(event: Completion) -> list[Scope]:
    """Return the scopes, besides the agent's own, in which a completion counts by itself.

    If its type or strategy is unknown it has no such scope: its start may still supply it (`Lent`).
    """
    found = [Scope("node", event.node_id), FLEET]
    if event.evolution_type not in NO_TYPES:
        found.append(Scope("evolution_type", event.evolution_type))
    if event.strategy_used:
        found.append(Scope("strategy", event.strategy_used))
    return found


def sums(batch: Iterable[Attempt], step_seconds: int) -> dict[Scope, Sum]:
    """Return a batch's sums by scope; its attempts are in the order of their offsets."""
    step_micros = step_seconds * SECOND
    alike: dict[tuple[str, str, str, int], list[int]] = {}
    examples: dict[tuple[str, str, str, int], Completion] = {}
    for offset, event in batch:
        step = event.occurred_at // step_micros
        key = (event.evolution_type, event.strategy_used, event.node_id, step)
        known = alike.get(key)
        if known is None:
            alike[key] = [offset, offset, 1, int(event.success)]
            examples[key] = event
        else:
            known[1] = offset
            known[2] += 1
            known[3] += event.success
    found: dict[Scope, Sum] = {}
    for key, (first, last, attempts, successes) in alike.items():
        for scope in scopes_of(examples[key]):
            total = found.get(scope)
            if total is None:
                total = found[scope] = Sum(first, last, {})
            total.add(first, last, key[3], attempts, successes)
    return found


#: Prefix of the keys of counts in lent scopes; no scope's kind begins with it.
LENT = "+"
#: Kinds of scope that a start can lend.
LENDABLE = ("evolution_type", "strategy")


class ScopeTally:
    """Counts a batch in the partial counts of one partition.

    Args:
        states: counts by completions alone.
        lent: counts in scopes lent by starts; under the scopes' keys prefixed with `LENT`.
        carried_out: offsets of starts and of completions up to which everything was carried out, including
            the writing of their states.

    Attributes:
        too_late: attempts that came too late for a scope.
        changed: the changed steps by scope, for each window.
    """

    def __init__(
        self,
        states: LiveStates[PartialState],
        lent: LiveStates[LentState],
        carried_out: tuple[int, int],
        lateness_seconds: int,
    ) -> None:
        self.states = states
        self.lent = lent
        self.carried_out = carried_out
        self.lateness = lateness_seconds
        self.too_late = 0
        self.changed: dict[Scope, list[set[int]]] = {}

    def count(self, batch: Sequence[Attempt], step_seconds: int) -> None:
        for scope, total in sums(batch, step_seconds).items():
            state = self.states.get(scope.key)
            if total.last <= state.applied:
                continue
            self.states.change(scope.key)
            if state.applied < total.first and state.counts.takes(
                min(total.steps), max(total.steps), self.lateness
            ):
                state.applied = total.last
                self.changed[scope] = state.counts.add_steps(total.steps)
            else:
                self.count_each(scope, state, batch)

    def count_each(self, scope: Scope, state: PartialState, batch: Iterable[Attempt]) -> None:
        """Count those attempts of a batch that belong to a scope, one by one."""
        for offset, event in batch:
            if offset <= state.applied or scope not in scopes_of(event):
                continue
            state.applied = offset
            steps = state.counts.add(event.occurred_at, event.success, self.lateness)
            if steps is None:
                self.too_late += 1
                continue
            self.change(scope, steps)

    def count_lent(self, lent: Iterable[Lent]) -> None:
        """Count attempts in the scopes that their starts have lent."""
        touched: set[Scope] = set()
        for offset, started, scope, occurred_at, success in lent:
            state = self.lent.change(LENT + scope.key)
            if scope not in touched:
                touched.add(scope)
                state.forget(*self.carried_out)
            if offset in state.counted:
                continue
            state.counted[offset] = started
            steps = state.counts.add(occurred_at, success, self.lateness)
            if steps is None:
                self.too_late += 1
            else:
                self.change(scope, steps)

    def change(self, scope: Scope, steps: list[set[int]]) -> None:
        """Mark steps as changed, by window."""
        known = self.changed.setdefault(scope, [set() for _ in steps])
        for mine, new in zip(known, steps, strict=True):
            mine |= new

    def newest(self, scope: Scope) -> list[Counts]:
        """Return the full counts of a scope's changed steps; drop old steps."""
        sides = [self.states.get(scope.key).counts]
        if scope.kind in LENDABLE:
            sides.append(self.lent.get(LENT + scope.key).counts)
        found: list[Counts] = []
        for number, steps in enumerate(self.changed[scope]):
            known = [side.counts[number] for side in sides]
            found.append(
                {
                    step: (
                        sum(c[step][0] for c in known if step in c),
                        sum(c[step][1] for c in known if step in c),
                    )
                    for step in steps
                }
                if len(known) > 1 and known[1]
                else {step: known[0][step] for step in steps}
            )
        for side in sides:
            side.tidy(self.lateness)
        return found
