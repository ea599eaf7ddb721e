"""Partial counts of all source partitions -> success rates of evolution types, strategies, nodes, fleet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evometrics.streams.batches import Outcome, ReadStates, StateView
from evometrics.streams.settings import StreamSettings
from evometrics.streams.state import ScopeCounts, ScopeState
from evometrics.streams.windows import (
    WINDOWS,
    Counts,
    Scope,
    Window,
    affected_rows,
    oldest_open,
)

SCOPES = "scopes"


@dataclass(frozen=True, slots=True)
class ScopeMessage:
    """A message of the scope-counts topic and its offset."""

    offset: int
    scope: Scope
    counts: ScopeCounts


class ScopeProcessor:
    """Merges partial counts per scope; pure."""

    def __init__(self, settings: StreamSettings, windows: tuple[Window, ...] = WINDOWS) -> None:
        self.lateness = settings.allowed_lateness_seconds
        self.windows = windows

    def process(self, partition: int, batch: Iterable[ScopeMessage], scopes: ReadStates) -> Outcome:
        """Return what a batch of one partition, in offset order, leads to."""
        states = StateView(ScopeState, scopes)
        changed: dict[Scope, list[set[int]]] = {}
        outcome = Outcome()
        for message in batch:
            if message.offset <= states.get(message.scope.key).applied:
                outcome.fenced += 1
                continue
            state = states.change(message.scope.key)
            state.applied = message.offset
            outcome.applied += 1
            steps = changed.setdefault(message.scope, [set() for _ in self.windows])
            for known, new in zip(steps, self.merge(state, message.counts), strict=True):
                known |= new
        for scope, steps in changed.items():
            self.report(scope, states.get(scope.key), steps, outcome)
        outcome.writes = [(SCOPES, partition, states.writes())]
        return outcome

    def merge(self, state: ScopeState, message: ScopeCounts) -> list[set[int]]:
        """Take over the counts that know more attempts; return the steps changed, by window."""
        known = state.partitions.setdefault(message.source_partition, [{} for _ in self.windows])
        changed: list[set[int]] = []
        for mine, newer in zip(known, message.counts, strict=True):
            steps = {s for s, (attempts, _) in newer.items() if attempts > mine.get(s, (0, 0))[0]}
            mine.update((s, newer[s]) for s in steps)
            changed.append(steps)
        return changed

    def report(self, scope: Scope, state: ScopeState, changed: list[set[int]], outcome: Outcome) -> None:
        """Emit the rows that changed steps take part in, but for those that are final; forget old steps."""
        for number, (window, steps) in enumerate(zip(self.windows, changed, strict=True)):
            totals = total([counts[number] for counts in state.partitions.values()])
            if not totals:
                continue
            open_from = oldest_open(window, max(totals), self.lateness)
            outcome.too_late += sum(1 for s in steps if s < open_from)
            outcome.events.extend(affected_rows(scope, window, totals, [s for s in steps if s >= open_from]))
            for counts in state.partitions.values():
                for step in [s for s in counts[number] if s < open_from - window.steps]:
                    del counts[number][step]


def total(partitions: list[Counts]) -> Counts:
    """Return attempts and successes by step, summed over source partitions."""
    totals: Counts = {}
    for counts in partitions:
        for step, (attempts, successes) in counts.items():
            a, s = totals.get(step, (0, 0))
            totals[step] = (a + attempts, s + successes)
    return totals
