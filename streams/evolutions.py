"""Starts and completions of evolutions -> metrics, the agent's success rates, partial counts per scope."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.wire import WireFormat
from evometrics.streams.batches import Outcome, ReadStates, Sourced, StateView
from evometrics.streams.calculations import abandoned_metrics, evolution_metrics
from evometrics.streams.settings import StreamSettings
from evometrics.streams.state import (
    CLOSED_LIMIT,
    EvolutionState,
    PartialState,
    ProgressState,
    ScopeCounts,
)
from evometrics.streams.windows import (
    FLEET,
    SECOND,
    WINDOWS,
    Scope,
    Window,
    WindowCounts,
    affected_rows,
)

EVOLUTIONS = "evolutions"
PARTIALS = "partials"
PROGRESS = "progress"
PROGRESS_KEY = "partition"

Changed = dict[str, list[set[int]]]


class EvolutionProcessor:
    """Turns batches of one partition into outcomes; pure but for the deadlines it keeps in memory.

    The deadlines of open evolutions are found by a scan of a partition's states when it is first
    seen, and kept up to date from there; `forget` drops them when partitions move.
    """

    def __init__(
        self, settings: StreamSettings, wire: WireFormat, windows: tuple[Window, ...] = WINDOWS
    ) -> None:
        self.lateness = settings.allowed_lateness_seconds
        self.timeout = settings.abandoned_after_seconds * SECOND
        self.wire = wire
        self.windows = windows
        self.deadlines: dict[int, list[tuple[int, str, str]]] = {}

    def forget(self, partition: int) -> None:
        """Forget the deadlines of a partition: they are found anew from its stored states.

        Needed where a batch's outcome is not carried out, and where a partition moves.
        """
        self.deadlines.pop(partition, None)

    def process(
        self,
        partition: int,
        batch: Iterable[Sourced[EvolutionStarted | EvolutionCompleted]],
        evolutions: ReadStates,
        partials: ReadStates,
        progress: ReadStates,
    ) -> Outcome:
        """Return what a batch of one partition leads to; each topic's events are in offset order."""
        agents = StateView(EvolutionState, evolutions)
        scopes = StateView(PartialState, partials)
        times = StateView(ProgressState, progress)
        reached = times.change(PROGRESS_KEY)
        deadlines = self.deadlines_of(partition, agents)
        outcome = Outcome()
        agent_steps: Changed = {}
        scope_steps: Changed = {}
        for item in batch:
            if isinstance(item.event, EvolutionStarted):
                reached.started = max(reached.started, item.event.occurred_at)
                self.begin(item.event, item.offset, agents, deadlines, outcome)
            else:
                reached.completed = max(reached.completed, item.event.occurred_at)
                self.complete(item.event, item.offset, agents, scopes, agent_steps, scope_steps, outcome)
        self.report_abandoned(reached.watermark, deadlines, agents, outcome)
        self.report_rates(agents, agent_steps, outcome)
        for key, changed in scope_steps.items():
            counts = WindowCounts(self.windows, scopes.get(key).counts)
            newest = [
                {s: window[s] for s in steps} for window, steps in zip(counts.counts, changed, strict=True)
            ]
            outcome.counts.append((Scope.from_key(key), ScopeCounts(partition, newest)))
            counts.prune(self.lateness)
        # The partial counts come first: should we be killed between the two, the agents' states still
        # decide in the same way which events are new, and the counts' own fence skips what they hold.
        outcome.writes = [
            (PARTIALS, partition, scopes.writes()),
            (EVOLUTIONS, partition, agents.writes()),
            (PROGRESS, partition, times.writes()),
        ]
        return outcome

    def begin(
        self,
        event: EvolutionStarted,
        offset: int,
        agents: StateView[EvolutionState],
        deadlines: list[tuple[int, str, str]],
        outcome: Outcome,
    ) -> None:
        """Note that an evolution is open, unless its completion came first."""
        if offset <= agents.get(event.agent_id).started_applied:
            outcome.fenced += 1
            return
        state = agents.change(event.agent_id)
        state.started_applied = offset
        if not state.seen.add(event.event_id):
            outcome.duplicates += 1
            return
        outcome.applied += 1
        if event.evolution_id in state.closed:
            state.closed.remove(event.evolution_id)
            return
        state.open[event.evolution_id] = self.wire.encode(event)
        heapq.heappush(deadlines, (event.occurred_at + self.timeout, event.agent_id, event.evolution_id))

    def complete(
        self,
        event: EvolutionCompleted,
        offset: int,
        agents: StateView[EvolutionState],
        scopes: StateView[PartialState],
        agent_steps: Changed,
        scope_steps: Changed,
        outcome: Outcome,
    ) -> None:
        """Compute an evolution's metrics and count it, once."""
        if offset <= agents.get(event.agent_id).completed_applied:
            outcome.fenced += 1
            return
        state = agents.change(event.agent_id)
        state.completed_applied = offset
        if not state.seen.add(event.event_id):
            outcome.duplicates += 1
            return
        outcome.applied += 1
        if state.open.pop(event.evolution_id, None) is None:
            state.closed = [*state.closed[-(CLOSED_LIMIT - 1) :], event.evolution_id]
        outcome.events.append(evolution_metrics(event))
        counts = WindowCounts(self.windows, state.counts)
        self.count(event, counts, event.agent_id, agent_steps, outcome)
        state.counts = counts.counts
        for scope in scopes_of(event):
            if offset <= scopes.get(scope.key).applied:
                continue
            partial = scopes.change(scope.key)
            partial.applied = offset
            counts = WindowCounts(self.windows, partial.counts)
            self.count(event, counts, scope.key, scope_steps, outcome)
            partial.counts = counts.counts

    def count(
        self, event: EvolutionCompleted, counts: WindowCounts, key: str, steps: Changed, outcome: Outcome
    ) -> None:
        """Count an attempt and note the steps it changed under `key`."""
        changed = counts.add(event.occurred_at, event.success, self.lateness)
        if changed is None:
            outcome.too_late += 1
            return
        for known, new in zip(steps.setdefault(key, [set() for _ in self.windows]), changed, strict=True):
            known |= new

    def report_rates(self, agents: StateView[EvolutionState], steps: Changed, outcome: Outcome) -> None:
        """Emit the rows of the agents' own success rates that the batch changed."""
        for agent_id, changed in steps.items():
            counts = WindowCounts(self.windows, agents.get(agent_id).counts)
            for window, totals, window_steps in zip(self.windows, counts.counts, changed, strict=True):
                outcome.events.extend(affected_rows(Scope("agent", agent_id), window, totals, window_steps))
            counts.prune(self.lateness)

    def deadlines_of(self, partition: int, agents: StateView[EvolutionState]) -> list[tuple[int, str, str]]:
        """Return the partition's deadlines as a heap, from its states where they are not known yet."""
        known = self.deadlines.get(partition)
        if known is None:
            known = self.deadlines[partition] = [
                (start.occurred_at + self.timeout, start.agent_id, start.evolution_id)
                for agent_id in agents.stored_keys()
                for start in map(self.wire.decode, agents.get(agent_id).open.values())
                if isinstance(start, EvolutionStarted)
            ]
            heapq.heapify(known)
        return known

    def report_abandoned(
        self,
        watermark: int,
        deadlines: list[tuple[int, str, str]],
        agents: StateView[EvolutionState],
        outcome: Outcome,
    ) -> None:
        """Emit a report for each evolution whose deadline has passed, and close it."""
        while deadlines and deadlines[0][0] <= watermark:
            deadline, agent_id, evolution_id = heapq.heappop(deadlines)
            value = agents.get(agent_id).open.get(evolution_id)
            if value is None:
                continue
            start = self.wire.decode(value)
            assert isinstance(start, EvolutionStarted)
            if start.occurred_at + self.timeout == deadline:
                del agents.change(agent_id).open[evolution_id]
                outcome.events.append(abandoned_metrics(start, self.timeout))


def scopes_of(event: EvolutionCompleted) -> list[Scope]:
    """Return the scopes besides the agent's own that an evolution counts in."""
    return [
        Scope("evolution_type", event.evolution_type),
        Scope("strategy", event.strategy_used),
        Scope("node", event.node_id),
        FLEET,
    ]
