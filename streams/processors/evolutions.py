"""Starts and completions of evolutions -> metrics, snapshots, the agent's success rates, counts per scope.

Long because joining, counting, reporting and abandoning change the same live states, in an order that decides
the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial as bound

from evometrics.schemas.events import EvolutionStarted
from evometrics.schemas.evolutions.outcome import abandoned_metrics
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import SECOND, WINDOWS, Scope, Window
from evometrics.streams.processors.deadlines import Deadline, Deadlines
from evometrics.streams.processors.scope_counts import ScopeCounts
from evometrics.streams.processors.scope_tally import Attempt, Lent, ScopeTally
from evometrics.streams.producer import MAX_MESSAGE_BYTES, Message
from evometrics.streams.rows.joining import Joiner, scopes_lent
from evometrics.streams.rows.rates import RateWriter
from evometrics.streams.rows.rows import Completion
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.agent_states import (
    CLOSED_LIMIT,
    NONE_APPLIED,
    EvolutionState,
    LentState,
    PartialState,
    ProgressState,
    closed_mark,
)
from evometrics.streams.states.id_rings import Rings
from evometrics.streams.states.live import LiveStates, Outcome, ReadStates, Sourced
from evometrics.streams.states.waiting import Waiting
from evometrics.streams.states.window_counts import WindowCounts

EVOLUTIONS = "evolutions"
PARTIALS = "partials"
PROGRESS = "progress"
EVOLUTION_IDS = "evolution-ids"
WAITING = "waiting"
#: The lane's tables in the order in which they are written.
EVOLUTION_TABLES = (WAITING, PARTIALS, EVOLUTIONS, PROGRESS, EVOLUTION_IDS)
PROGRESS_KEY = "partition"
#: A start that arrives this much later than its own time (or a tenth of the time-out, if that is less) is
#: late: its arrival time is kept with the agent's state. Microseconds.
LATE_START = 60 * SECOND

Evolution = Sourced[EvolutionStarted | Completion]


@dataclass(slots=True)
class LiveEvolutions:
    """In-memory state of a partition.

    Attributes:
        lent: partial counts in scopes lent by starts, stored in the same table as `scopes`.
        deadlines: when open evolutions count as abandoned.
        carried_out: last offsets of starts and of completions before the present batch, -1 for none.
        reached: the same, including the present batch.
    """

    agents: LiveStates[EvolutionState]
    scopes: LiveStates[PartialState]
    lent: LiveStates[LentState]
    times: LiveStates[ProgressState]
    rings: Rings
    waiting: Waiting
    deadlines: Deadlines
    carried_out: tuple[int, int] = (NONE_APPLIED, NONE_APPLIED)
    reached: tuple[int, int] = (NONE_APPLIED, NONE_APPLIED)


@dataclass(slots=True)
class NewAttempts:
    """A batch's attempts, as they are to be counted.

    Attributes:
        new: attempts that had not been counted yet, by their completions.
        lent: attempts that count in additional scopes, lent by their starts.
    """

    new: list[Attempt] = field(default_factory=list)
    lent: list[Lent] = field(default_factory=list)


class EvolutionProcessor:
    """Turns batches of one partition into outcomes; pure except for the states it keeps in memory.

    They are loaded from a partition's stored states when it is first seen, and changed in place from then on.
    If a batch's outcome is not carried out, or a partition moves, `forget` drops them.
    """

    def __init__(
        self, settings: StreamSettings, wire: WireFormat, windows: tuple[Window, ...] = WINDOWS
    ) -> None:
        self.lateness = settings.allowed_lateness_seconds
        self.timeout = settings.abandoned_after_seconds * SECOND
        self.late_start = min(LATE_START, self.timeout // 10)
        self.wire = wire
        self.windows = windows
        self.rates = RateWriter(wire)
        self.joiner = Joiner(wire)
        self.live: dict[int, LiveEvolutions] = {}

    def forget(self, partition: int) -> None:
        """Drop the in-memory state of a partition; it is rebuilt from the stored states."""
        self.live.pop(partition, None)

    def process(
        self, partition: int, batch: Iterable[Evolution], stored: Mapping[str, ReadStates]
    ) -> Outcome:
        """Process a batch of one partition; each topic's events are in offset order."""
        live = self.live_of(partition, stored)
        reached = live.times.change(PROGRESS_KEY)
        live.carried_out = live.reached
        started, completed = live.reached
        outcome = Outcome()
        found = NewAttempts()
        for item in batch:
            event = item.event
            if isinstance(event, EvolutionStarted):
                # a node's clock may be ahead of the broker's; starts suffice, as the slower topic counts
                at = min(event.occurred_at, item.arrived)
                if at > reached.started:
                    reached.started = at
                started = item.offset
                self.begin(item, event, live, found, outcome)
            else:
                if event.occurred_at > reached.completed:
                    reached.completed = event.occurred_at
                completed = item.offset
                if self.complete(item, event, live, found, outcome):
                    found.new.append((item.offset, event))
        live.reached = started, completed
        self.report_abandoned(live.deadlines.by_events(reached.watermark), live, outcome)
        self.report_rates(found.new, live, outcome)
        self.report_scopes(partition, found, live, outcome)
        outcome.writes = self.writes(partition, live)
        return outcome

    def writes(
        self, partition: int, live: LiveEvolutions
    ) -> list[tuple[str, int, Mapping[bytes, bytes | None]]]:
        """Return the states that have changed.

        The partial counts come before the agents' states: after a crash between the two, these still decide
        in the same way which events are new, and the counts' own fences skip what they already hold. The ids
        come last, for the same reason (see `id_rings`); the waiting completions first (see `waiting`).
        """
        return [
            (WAITING, partition, live.waiting.writes()),
            (PARTIALS, partition, {**live.scopes.writes(), **live.lent.writes()}),
            (EVOLUTIONS, partition, live.agents.writes()),
            (PROGRESS, partition, live.times.writes()),
            (EVOLUTION_IDS, partition, live.rings.writes()),
        ]

    def overdue(self, partition: int, now: int, stored: Mapping[str, ReadStates]) -> bool:
        """Return whether evolutions of a partition may count as abandoned by the clock."""
        return self.live_of(partition, stored).deadlines.any_by_clock(now)

    def abandon(self, partition: int, now: int, stored: Mapping[str, ReadStates]) -> Outcome:
        """Report the evolutions that have timed out by the clock; `now` is the broker's time.

        Call it only once both topics have been read to their ends: a completion may still be waiting there.
        """
        live = self.live_of(partition, stored)
        outcome = Outcome()
        self.report_abandoned(live.deadlines.by_clock(now), live, outcome)
        outcome.writes = self.writes(partition, live)
        return outcome

    def begin(
        self,
        item: Evolution,
        event: EvolutionStarted,
        live: LiveEvolutions,
        found: NewAttempts,
        outcome: Outcome,
    ) -> None:
        """Record an evolution as open, unless its completion came first."""
        # fenced events are looked up as well: their ids may not have been written
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
        outcome.messages += item.snapshots
        if state.closed and (mark := closed_mark(event.evolution_id)) in state.closed:
            state.closed.remove(mark)
            self.join_late(item, event, live, found, outcome)
            return
        state.open[event.evolution_id] = item.value
        arrived = item.arrived if item.arrived > event.occurred_at + self.late_start else None
        if arrived is not None:
            state.arrivals[event.evolution_id] = arrived
        elif state.arrivals:
            state.arrivals.pop(event.evolution_id, None)
        live.deadlines.begin((event.agent_id, event.evolution_id), event.occurred_at, arrived)

    def complete(
        self, item: Evolution, event: Completion, live: LiveEvolutions, found: NewAttempts, outcome: Outcome
    ) -> bool:
        """Report a completed evolution, once; return whether it is new."""
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
        outcome.messages += item.snapshots
        assert item.output is not None
        start = state.open.pop(event.evolution_id, None)
        if start is None:
            state.closed.append(closed_mark(event.evolution_id))
            if len(state.closed) > CLOSED_LIMIT:
                del state.closed[0]
            if event.lacks:
                live.waiting.put(event.agent_id, event.evolution_id, item.offset, item.value)
        else:
            if state.arrivals and state.arrivals.pop(event.evolution_id, None) is not None:
                live.deadlines.end((event.agent_id, event.evolution_id))
            if event.lacks & self.joiner.lends(start) and self.join(
                item.offset, event.lacks, item.value, start, state.started_applied, found, outcome
            ):
                return True
        outcome.messages.append(item.output)
        return True

    def join(
        self,
        offset: int,
        lacks: int,
        done: bytes,
        start: bytes,
        started: int,
        found: NewAttempts,
        outcome: Outcome,
    ) -> bool:
        """Emit the row of a completion joined with its start; return False if it is too large for a message.

        `offset` is the completion's; `started` is at or above the start's.
        """
        joined = self.joiner.join(done, start)
        row = Message(EVOLUTION_METRICS.name, joined.row.key.encode(), self.wire.encode(joined.row))
        if len(row.key) + len(row.value or b"") > MAX_MESSAGE_BYTES:
            return False
        outcome.messages.append(row)
        for scope in scopes_lent(lacks, joined.done):
            found.lent.append(Lent(offset, started, scope, joined.done.occurred_at, joined.done.success))
        return True

    def join_late(
        self,
        item: Evolution,
        event: EvolutionStarted,
        live: LiveEvolutions,
        found: NewAttempts,
        outcome: Outcome,
    ) -> None:
        """Emit a corrected row for a completion that came before its start and lacked what the start has."""
        waiting = live.waiting.get(event.agent_id, event.evolution_id)
        if waiting is None:
            return
        offset, done = waiting
        lacks = self.joiner.lacks(done)
        if lacks & self.joiner.lends(item.value):
            self.join(offset, lacks, done, item.value, item.offset, found, outcome)

    def report_rates(self, new: Iterable[Attempt], live: LiveEvolutions, outcome: Outcome) -> None:
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
        """Count an agent's attempts, in order; return the changed steps, by window."""
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

    def report_scopes(
        self, partition: int, found: NewAttempts, live: LiveEvolutions, outcome: Outcome
    ) -> None:
        """Count attempts for their scopes, and emit the changed counts, which are merged elsewhere."""
        tally = ScopeTally(live.scopes, live.lent, live.carried_out, self.lateness)
        tally.count(found.new, self.windows[0].step_seconds)
        tally.count_lent(found.lent)
        outcome.too_late += tally.too_late
        for scope in tally.changed:
            outcome.messages.append(ScopeCounts(partition, tally.newest(scope)).message(scope))

    def live_of(self, partition: int, stored: Mapping[str, ReadStates]) -> LiveEvolutions:
        """Return a partition's in-memory state, loading it from the stored states if necessary."""
        live = self.live.get(partition)
        if live is None:
            windows = self.windows
            live = LiveEvolutions(
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
                LiveStates(
                    lambda: LentState(WindowCounts(windows)),
                    bound(LentState.decode, windows),
                    stored[PARTIALS],
                ),
                LiveStates(ProgressState, ProgressState.decode, stored[PROGRESS]),
                Rings(stored[EVOLUTION_IDS]),
                Waiting(stored[WAITING]),
                self.deadlines_of(stored[EVOLUTIONS]),
            )
            self.live[partition] = live
        live.agents.trim()
        live.scopes.trim()
        live.lent.trim()
        return live

    def deadlines_of(self, stored: ReadStates) -> Deadlines:
        """Return the deadlines of all open evolutions, late ones in order of arrival."""
        deadlines = Deadlines(self.timeout)
        late: list[tuple[int, tuple[str, str], int]] = []
        for key, value in stored.items():
            state = EvolutionState.decode(self.windows, value)
            for start in map(self.wire.decode, state.open.values()):
                assert isinstance(start, EvolutionStarted)
                name = key.decode(), start.evolution_id
                arrived = state.arrivals.get(start.evolution_id) if state.arrivals else None
                if arrived is None:
                    deadlines.begin(name, start.occurred_at)
                else:
                    late.append((arrived, name, start.occurred_at))
        for arrived, name, began in sorted(late):
            deadlines.begin(name, began, arrived)
        return deadlines

    def report_abandoned(self, due: Iterable[Deadline], live: LiveEvolutions, outcome: Outcome) -> None:
        """Emit a report for each due evolution that is still open, and close it."""
        for deadline in due:
            state = live.agents.get(deadline.agent_id)
            value = state.open.get(deadline.evolution_id)
            if value is None:
                continue
            start = self.wire.decode(value)
            assert isinstance(start, EvolutionStarted)
            # it may have had a second start
            if start.occurred_at + self.timeout != deadline.at:
                continue
            live.agents.changed.add(deadline.agent_id)
            del state.open[deadline.evolution_id]
            if state.arrivals.pop(deadline.evolution_id, None) is not None:
                live.deadlines.end((deadline.agent_id, deadline.evolution_id))
            metrics = abandoned_metrics(start, self.timeout)
            message = Message(EVOLUTION_METRICS.name, metrics.key.encode(), self.wire.encode(metrics))
            outcome.messages.append(message)
