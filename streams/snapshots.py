"""KPI snapshots -> differences to the snapshot before, in event time, and what they recommend."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.kpis import KpiThresholds
from evometrics.schemas.wire import WireFormat
from evometrics.streams.batches import Outcome, ReadStates, Sourced, StateView
from evometrics.streams.calculations import kpi_delta
from evometrics.streams.settings import StreamSettings
from evometrics.streams.state import SNAPSHOT_LIMIT, SnapshotState
from evometrics.streams.windows import SECOND

SNAPSHOTS = "snapshots"


class SnapshotProcessor:
    """Turns batches of snapshots of one partition into outcomes; pure."""

    def __init__(
        self, settings: StreamSettings, wire: WireFormat, thresholds: KpiThresholds | None = None
    ) -> None:
        self.lateness = settings.allowed_lateness_seconds * SECOND
        self.wire = wire
        self.thresholds = thresholds

    def process(
        self, partition: int, batch: Iterable[Sourced[KpiSnapshot]], snapshots: ReadStates
    ) -> Outcome:
        """Return what a batch of one partition, in offset order, leads to."""
        agents = StateView(SnapshotState, snapshots)
        recent: dict[str, list[KpiSnapshot]] = {}
        outcome = Outcome()
        for item in batch:
            event = item.event
            if item.offset <= agents.get(event.agent_id).applied:
                outcome.fenced += 1
                continue
            state = agents.change(event.agent_id)
            state.applied = item.offset
            if not state.seen.add(event.event_id):
                outcome.duplicates += 1
                continue
            outcome.applied += 1
            known = recent.get(event.agent_id)
            if known is None:
                known = recent[event.agent_id] = [self.snapshot(value) for value in state.recent]
            self.insert(event, state, known, outcome)
        for agent_id, known in recent.items():
            agents.get(agent_id).recent = [self.wire.encode(snapshot) for snapshot in known]
        outcome.writes = [(SNAPSHOTS, partition, agents.writes())]
        return outcome

    def insert(
        self, event: KpiSnapshot, state: SnapshotState, known: list[KpiSnapshot], outcome: Outcome
    ) -> None:
        """Put a snapshot into its place in event time; emit its delta and its successor's corrected one."""
        place = bisect.bisect(known, order(event), key=order)
        if place == 0 and state.forgotten:
            outcome.too_late += 1
            outcome.events.append(kpi_delta(event, None, self.thresholds))
            return
        before = known[place - 1] if place else None
        outcome.events.append(kpi_delta(event, before, self.thresholds))
        if place < len(known):
            outcome.events.append(kpi_delta(known[place], event, self.thresholds))
        known.insert(place, event)
        horizon = known[-1].occurred_at - self.lateness
        while len(known) > SNAPSHOT_LIMIT or (len(known) > 1 and known[1].occurred_at < horizon):
            del known[0]
            state.forgotten = True

    def snapshot(self, value: bytes) -> KpiSnapshot:
        """Return the snapshot of a message value that was encoded here."""
        event = self.wire.decode(value)
        assert isinstance(event, KpiSnapshot)
        return event


def order(snapshot: KpiSnapshot) -> tuple[int, str]:
    """Return a snapshot's place in event time; event_id breaks ties the same way everywhere."""
    return snapshot.occurred_at, snapshot.event_id
