"""Partial counts of all source partitions -> success rates of evolution types, strategies, nodes, fleet.

The state of each scope and source partition has a key and a fence of its own: a message changes one of them.
The totals over source partitions are kept in memory only, and follow each change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import WINDOWS, Scope, Window
from evometrics.streams.processors.scope_counts import ScopeCounts
from evometrics.streams.rows.rates import RateWriter
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.agent_states import PartialState
from evometrics.streams.states.live import Outcome, ReadStates
from evometrics.streams.states.window_counts import WindowCounts

SCOPES = "scopes"


@dataclass(frozen=True, slots=True)
class ScopeMessage:
    """A message of the scope-counts topic and its place (`incarnations`)."""

    offset: int
    scope: Scope
    counts: ScopeCounts


@dataclass(slots=True)
class Merged:
    """One scope's counts: by source partition, and their totals."""

    total: WindowCounts
    partitions: dict[int, PartialState] = field(default_factory=dict)


def state_key(scope: Scope, source_partition: int) -> bytes:
    """Return the state's key of a scope and source partition."""
    return f"{source_partition}|{scope.key}".encode()


class ScopeProcessor:
    """Merges partial counts per scope; pure except for the counts it keeps in memory, as in `evolutions`."""

    def __init__(
        self, settings: StreamSettings, wire: WireFormat, windows: tuple[Window, ...] = WINDOWS
    ) -> None:
        self.lateness = settings.allowed_lateness_seconds
        self.windows = windows
        self.rates = RateWriter(wire)
        self.live: dict[int, dict[Scope, Merged]] = {}

    def forget(self, partition: int) -> None:
        """Drop the in-memory state of a partition; it is rebuilt from the stored states."""
        self.live.pop(partition, None)

    def process(self, partition: int, batch: Iterable[ScopeMessage], stored: ReadStates) -> Outcome:
        """Process a batch of one partition, in offset order."""
        scopes = self.live.get(partition)
        if scopes is None:
            scopes = self.live[partition] = self.load(stored)
        changed: dict[Scope, list[set[int]]] = {}
        states: dict[bytes, PartialState] = {}
        outcome = Outcome()
        for message in batch:
            merged = scopes.get(message.scope)
            if merged is None:
                merged = scopes[message.scope] = Merged(WindowCounts(self.windows))
            source = message.counts.source_partition
            state = merged.partitions.get(source)
            if state is None:
                state = merged.partitions[source] = PartialState(WindowCounts(self.windows))
            if message.offset <= state.applied:
                outcome.fenced += 1
                continue
            state.applied = message.offset
            states[state_key(message.scope, source)] = state
            outcome.applied += 1
            steps = changed.setdefault(message.scope, [set() for _ in self.windows])
            for known, new in zip(steps, merge(merged, state, message.counts), strict=True):
                known |= new
        for scope, steps in changed.items():
            self.report(scope, scopes[scope], steps, outcome)
        writes = {key: state.encode() for key, state in sorted(states.items())}
        outcome.writes = [(SCOPES, partition, writes)]
        return outcome

    def load(self, stored: ReadStates) -> dict[Scope, Merged]:
        """Return the scopes of a partition from their stored states."""
        scopes: dict[Scope, Merged] = {}
        for key, value in stored.items():
            source, _, name = key.decode().partition("|")
            state = PartialState.decode(self.windows, value)
            scope = Scope.from_key(name)
            merged = scopes.setdefault(scope, Merged(WindowCounts(self.windows)))
            merged.partitions[int(source)] = state
            for number, counts in enumerate(state.counts.counts):
                for step, (attempts, successes) in counts.items():
                    merged.total.count(number, step, attempts, successes)
        return scopes

    def report(self, scope: Scope, merged: Merged, changed: list[set[int]], outcome: Outcome) -> None:
        """Emit the rows that contain changed steps, except those that are final; drop old steps."""
        total = merged.total
        changes = []
        for number, (window, steps) in enumerate(zip(self.windows, changed, strict=True)):
            open_from = total.oldest_open(number, self.lateness)
            outcome.too_late += sum(1 for s in steps if s < open_from)
            changes.append((window, total.counts[number], [s for s in steps if s >= open_from]))
        outcome.messages += self.rates.rows(scope, changes)
        if total.tidy(self.lateness):
            forget_others(merged)


def forget_others(merged: Merged) -> None:
    """Drop, from every source partition, the steps that have been pruned from the totals."""
    for state in merged.partitions.values():
        for number, (counts, kept) in enumerate(zip(state.counts.counts, merged.total.counts, strict=True)):
            state.counts.forget(number, [step for step in counts if step not in kept])


def merge(merged: Merged, state: PartialState, message: ScopeCounts) -> list[set[int]]:
    """Adopt counts that include more attempts; return the changed steps, by window."""
    changed: list[set[int]] = []
    for number, newer in enumerate(message.counts):
        known = state.counts.counts[number]
        steps = set()
        for step, (attempts, successes) in newer.items():
            a, s = known.get(step, (0, 0))
            if attempts > a:
                state.counts.count(number, step, attempts - a, successes - s)
                merged.total.count(number, step, attempts - a, successes - s)
                steps.add(step)
        changed.append(steps)
    return changed
