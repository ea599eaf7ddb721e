"""Starts and completions of evolutions -> metrics, the agent's success rates, partial counts per scope."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial as bound

from evometrics.schemas.events import EvolutionStarted
from evometrics.schemas.outcome import abandoned_metrics
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.schemas.wire import WireFormat
from evometrics.streams.batches import LiveStates, Outcome, ReadStates, Sourced
from evometrics.streams.counts import WindowCounts
from evometrics.streams.outputs import Message
from evometrics.streams.rates import RateWriter
from evometrics.streams.rings import Rings
from evometrics.streams.rows import Completion
from evometrics.streams.scope_counts import ScopeCounts
from evometrics.streams.scope_tally import Attempt, ScopeTally
from evometrics.streams.settings import StreamSettings
from evometrics.streams.state import CLOSED_LIMIT, EvolutionState, PartialState, ProgressState, closed_mark
from evometrics.streams.windows import SECOND, WINDOWS, Scope, Window

EVOLUTIONS = "evolutions"
PARTIALS = "partials"
PROGRESS = "progress"
EVOLUTION_IDS = "evolution-ids"
#: The lane's tables in the order in which they are written.
EVOLUTION_TABLES = (PARTIALS, EVOLUTIONS, PROGRESS, EVOLUTION_IDS)
PROGRESS_KEY = "partition"

Evolution = Sourced[EvolutionStarted | Completion]


@dataclass(slots=True)
class Live:
    """What is kept in memory about a partition.

    Attributes:
        deadlines: when open evolutions count as abandoned, with agent and evolution; a heap.
    """

    agents: LiveStates[EvolutionState]
    scopes: LiveStates[PartialState]
    times: LiveStates[ProgressState]
    rings: Rings
    deadlines: list[tuple[int, str, str]]


class EvolutionProcessor:
    """Turns batches of one partition into outcomes; pure but for the states it keeps in memory.

    They are made from a partition's stored states when it is first seen, and changed in place from there.
    Where a batch's outcome is not carried out, and where a partition moves, `forget` drops them.
    """

    def __init__(
        self, settings: StreamSettings, wire: WireFormat, windows: tuple[Window, ...] = WINDOWS
    ) -> None:
        self.lateness = settings.allowed_lateness_seconds
        self.timeout = settings.abandoned_after_seconds * SECOND
        self.wire = wire
        self.windows = windows
        self.rates = RateWriter(wire)
        self.live: dict[int, Live] = {}

    def forget(self, partition: int) -> None:
        """Forget what is kept in memory about a partition: it is made anew from its stored states."""
        self.live.pop(partition, None)

    def process(
        self, partition: int, batch: Iterable[Evolution], stored: Mapping[str, ReadStates]
    ) -> Outcome:
        """Return what a batch of one partition leads to; each topic's events are in offset order."""
        live = self.live_of(partition, stored)
        reached = live.times.change(PROGRESS_KEY)
        outcome = Outcome()
        new: list[Attempt] = []
        for item in batch:
            event = item.event
            if isinstance(event, EvolutionStarted):
                if event.occurred_at > reached.started:
                    reached.started = event.occurred_at
                self.begin(item, event, live, outcome)
            else:
                if event.occurred_at > reached.completed:
                    reached.completed = event.occurred_at
                if self.complete(item, event, live, outcome):
                    new.append((item.offset, event))
        self.report_abandoned(reached.watermark, live, outcome)
        self.report_rates(new, live, outcome)
        self.report_scopes(partition, new, live, outcome)
        # The partial counts come first: should we be killed between the two, the agents' states still
        # decide in the same way which events are new, and the counts' own fence skips what they hold.
        # The ids come last, for the same reason (see `rings`).
        outcome.writes = [
            (PARTIALS, partition, live.scopes.writes()),
            (EVOLUTIONS, partition, live.agents.writes()),
            (PROGRESS, partition, live.times.writes()),
            (EVOLUTION_IDS, partition, live.rings.writes()),
        ]
        return outcome

    def begin(self, item: Evolution, event: EvolutionStarted, live: Live, outcome: Outcome) -> None:
        """Note that an evolution is open, unless its completion came first."""
        # also of what is fenced: its id may not have been written
        new = live.rings.new(item.topic, event.node_id, event.event_id, item.offset)
        state = live.agents.get(event.agent_id)
        if item.offset <= state.started_applied:
            outcome.fenced += 1
            return
        live.agents.changed.add(event.agent_id)
        state.started_applied = item.offset
        if not new:
            outcome.duplicates += 1
            return
        outcome.applied += 1
        if state.closed and (mark := closed_mark(event.evolution_id)) in state.closed:
            state.closed.remove(mark)
            return
        state.open[event.evolution_id] = item.value
        heapq.heappush(live.deadlines, (event.occurred_at + self.timeout, event.agent_id, event.evolution_id))

    def complete(self, item: Evolution, event: Completion, live: Live, outcome: Outcome) -> bool:
        """Report an evolution, once; tell whether it is new."""
        new = live.rings.new(item.topic, event.node_id, event.event_id, item.offset)
        state = live.agents.get(event.agent_id)
        if item.offset <= state.completed_applied:
            outcome.fenced += 1
            return False
        live.agents.changed.add(event.agent_id)
        state.completed_applied = item.offset
        if not new:
            outcome.duplicates += 1
            return False
        outcome.applied += 1
        if state.open.pop(event.evolution_id, None) is None:
            state.closed.append(closed_mark(event.evolution_id))
            if len(state.closed) > CLOSED_LIMIT:
                del state.closed[0]
        assert item.output is not None
        outcome.messages.append(item.output)
        return True

    def report_rates(self, new: Iterable[Attempt], live: Live, outcome: Outcome) -> None:
        """Count attempts for their agents, and emit the rows of the success rates that changed."""
        agents: dict[str, list[Completion]] = {}
        for _, event in new:
            events = agents.get(event.agent_id)
            if events is None:
                agents[event.agent_id] = [event]
            else:
                events.append(event)
        for agent_id, events in agents.items():
            counts = live.agents.get(agent_id).counts
            changed = self.count(counts, events, outcome)
            changes = zip(self.windows, counts.counts, changed, strict=True)
            outcome.messages += self.rates.rows(Scope("agent", agent_id), changes)
            counts.tidy(self.lateness)

    def count(self, counts: WindowCounts, events: list[Completion], outcome: Outcome) -> list[set[int]]:
        """Count an agent's attempts, in their order; return the steps changed, by window."""
        changed: list[set[int]] | None = None
        for event in events:
            steps = counts.add(event.occurred_at, event.success, self.lateness)
            if steps is None:
                outcome.too_late += 1
            elif changed is None:
                changed = steps
            elif steps != changed:
                for mine, more in zip(changed, steps, strict=True):
                    mine |= more
        return changed or [set() for _ in self.windows]

    def report_scopes(self, partition: int, new: list[Attempt], live: Live, outcome: Outcome) -> None:
        """Count attempts for their scopes, and emit the counts that changed, to be merged elsewhere."""
        tally = ScopeTally(live.scopes, self.lateness)
        tally.count(new, self.windows[0].step_seconds)
        outcome.too_late += tally.too_late
        for scope, changed in tally.changed.items():
            counts = live.scopes.get(scope.key).counts
            newest = [
                {step: window[step] for step in steps}
                for window, steps in zip(counts.counts, changed, strict=True)
            ]
            outcome.messages.append(ScopeCounts(partition, newest).message(scope))
            counts.tidy(self.lateness)

    def live_of(self, partition: int, stored: Mapping[str, ReadStates]) -> Live:
        """Return what is in memory about a partition, from its stored states where it is not yet."""
        live = self.live.get(partition)
        if live is None:
            windows = self.windows
            live = Live(
                LiveStates(
                    lambda: EvolutionState(WindowCounts(windows)),
                    bound(EvolutionState.decode, windows),
                    stored[EVOLUTIONS],
                ),
                LiveStates(
                    lambda: PartialState(WindowCounts(windows)),
                    bound(PartialState.decode, windows),
                    stored[PARTIALS],
                ),
                LiveStates(ProgressState, ProgressState.decode, stored[PROGRESS]),
                Rings(stored[EVOLUTION_IDS]),
                self.deadlines_of(stored[EVOLUTIONS]),
            )
            self.live[partition] = live
        live.agents.trim()
        live.scopes.trim()
        return live

    def deadlines_of(self, stored: ReadStates) -> list[tuple[int, str, str]]:
        """Return the deadlines of all open evolutions, as a heap."""
        deadlines = []
        for key, value in stored.items():
            for start in map(self.wire.decode, EvolutionState.decode(self.windows, value).open.values()):
                assert isinstance(start, EvolutionStarted)
                deadlines.append((start.occurred_at + self.timeout, key.decode(), start.evolution_id))
        heapq.heapify(deadlines)
        return deadlines

    def report_abandoned(self, watermark: int, live: Live, outcome: Outcome) -> None:
        """Emit a report for each evolution whose deadline has passed, and close it."""
        deadlines = live.deadlines
        while deadlines and deadlines[0][0] <= watermark:
            deadline, agent_id, evolution_id = heapq.heappop(deadlines)
            value = live.agents.get(agent_id).open.get(evolution_id)
            if value is None:
                continue
            start = self.wire.decode(value)
            assert isinstance(start, EvolutionStarted)
            if start.occurred_at + self.timeout == deadline:
                del live.agents.change(agent_id).open[evolution_id]
                metrics = abandoned_metrics(start, self.timeout)
                message = Message(EVOLUTION_METRICS.name, metrics.key.encode(), self.wire.encode(metrics))
                outcome.messages.append(message)
