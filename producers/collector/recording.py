"""Turns what a caller passes into events in the journal: starts, progress, completions, snapshots, metrics.

Each method returns the id of the event that is on disk, None where none was recorded, and raises nothing
except `InvalidEvent` where the journal is strict.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

from evometrics.producers.collector.completions import RecentCompletions, mark_of
from evometrics.producers.collector.history import CompletionHistory
from evometrics.producers.collector.journal import Journal
from evometrics.producers.collector.snapshots import (
    phases_of_completion,
    phases_of_start,
    take_objective,
)
from evometrics.producers.events import convert
from evometrics.producers.events.custom_metrics import CustomMetrics, observation
from evometrics.producers.events.given import given_event_id
from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.events.open_evolutions import MOST_ACTIVE, ActiveEvolution, ActiveEvolutions, named
from evometrics.producers.events.progress import ProgressSampling
from evometrics.producers.events.values import id_of, texts_in
from evometrics.producers.resources.sampler import ResourceSampler
from evometrics.producers.ticks import ticks
from evometrics.schemas.events import (
    CustomMetric,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
)
from evometrics.schemas.kpis.performance import judged
from evometrics.schemas.rules.validation import EVOLUTION_PHASES
from evometrics.schemas.wire.framing import WireFormat

#: A start whose time is within this many seconds of the clock began when it was recorded.
LIVE = 2.0


class Recording:
    """Records what happens to a node's agents.

    Attributes:
        active: open evolutions by evolution_id.
        history: the last completions.
        metrics: the metrics that the node's own code has registered.
    """

    def __init__(self, node_id: str, sampling: ProgressSampling, wire: WireFormat) -> None:
        self.node_id = node_id
        self.sampling = sampling
        self.active = ActiveEvolutions()
        self.recent = RecentCompletions(wire)
        self.history = CompletionHistory(wire)
        self.metrics = CustomMetrics()
        self.usual_ids: OrderedDict[str, str] = OrderedDict()

    def own(self, journal: Journal, sampler: ResourceSampler) -> None:
        """Use the journal and sampler of this process."""
        self.journal = journal
        self.sampler = sampler

    async def start(self, event: object) -> str | None:
        """Record that an evolution begins."""
        called = ticks()
        if not self.journal.outbox.is_open:
            await self.journal.opened()
        left_out = LeftOut()
        record = EvolutionStarted.record
        try:
            now = time.time()
            started = convert.started_event(event, self.node_id, now, left_out)
            self.give_own_id(started)
            convert.set_reading(started, self.sampler.begin(named(started)))
            started.snapshot_phases = phases_of_start(started)
            put = self.journal.put(started, left_out)
            live = abs(started.occurred_at / 1e6 - now) <= LIVE
            active = ActiveEvolution(started, ticks(), now, live, called)
            for forgotten in self.active.open(active):
                self.sampler.forget(named(forgotten.started))
        except Exception as error:
            return await self.journal.reject(record, event, error)
        try:
            return self.journal.answer(record, started.event_id, await put, left_out)
        finally:
            active.returned = ticks()

    def give_own_id(self, started: EvolutionStarted) -> None:
        """Give an evolution an id of its own where the agent's previous one began in the same second."""
        usual = convert.evolution_id(started.agent_id, started.occurred_at / 1e6)
        if started.evolution_id == usual:
            if self.usual_ids.get(started.agent_id) == usual:
                started.evolution_id = id_of(f"{usual}-{started.event_id}")
            else:
                self.usual_ids[started.agent_id] = usual
                while len(self.usual_ids) > MOST_ACTIVE:
                    self.usual_ids.popitem(last=False)

    async def progress(self, given: SimpleNamespace) -> str | None:
        """Record an iteration; returns None also for one that is skipped."""
        if not self.journal.outbox.is_open:
            await self.journal.opened()
        left_out = LeftOut()
        try:
            now = time.time()
            active = self.active.find(convert.clues(given, now))
            event = convert.progressed_event(given, self.node_id, now, active, left_out)
            event.metadata.update(texts_in(given.metadata, "metadata", left_out))
            convert.set_reading(event, self.sampler.sample())
            if active is not None and not active.take_progress(event, self.sampling):
                return None
            put = self.journal.put(event, left_out)
        except Exception as error:
            return await self.journal.reject(EvolutionProgressed.record, given, error)
        return self.journal.answer(event.record, event.event_id, await put, left_out)

    async def completion(self, event: object) -> str | None:
        """Record that an evolution has ended; an identical completion only once."""
        if not self.journal.outbox.is_open:
            await self.journal.opened()
        left_out = LeftOut()
        try:
            now = time.time()
            clues = convert.clues(event, now)
            active = self.active.find(clues)
            usage = self.sampler.usage(named(active.started)) if active else None
            last = active.last_progress() if active else None
            completed = convert.completed_event(event, self.node_id, now, active, usage, left_out)
            completed.event_id = given_event_id(event, left_out) or completed.event_id
            mark = mark_of(clues)
            if (again := self.recent.same(mark, completed)) is not None:
                return again
            if active is not None:
                self.active.close(active)
                self.sampler.forget(named(active.started))
            if last is not None:
                self.journal.put(last, LeftOut())
            completed.snapshot_phases = phases_of_completion(completed, active)
            value = self.journal.encoded(completed, left_out)
            put = self.journal.append(completed, value)
            self.recent.add(mark, value)
            self.history.values.append(value)
        except Exception as error:
            return await self.journal.reject(EvolutionCompleted.record, event, error)
        event_id = completed.event_id
        # hundreds may wait here: their objects would use memory and keep the garbage collector busy
        del completed, value, active, usage, last
        stored = await put
        if not stored:
            self.recent.forget(mark)  # so that it is recorded if it is given again
        return self.journal.answer(EvolutionCompleted.record, event_id, stored, left_out)

    async def snapshot(
        self,
        agent_id: Any,
        kpis: Any,
        phase: Any,
        evolution_id: Any,
        timestamp: Any,
        objective: Any,
        direction: Any,
        more: Any,
    ) -> str | None:
        """Record an agent's KPIs, unless an open evolution has already given them for the phase."""
        if not self.journal.outbox.is_open:
            await self.journal.opened()
        left_out = LeftOut()
        try:
            snapshot, values = convert.kpi_snapshot(
                agent_id,
                kpis,
                self.node_id,
                time.time(),
                left_out,
                phase=phase,
                evolution_id=evolution_id,
                timestamp=timestamp,
                objective=objective,
                direction=direction,
            )
            snapshot.metadata.update(texts_in(more, "metadata", left_out))
            active = self.active.of(snapshot.agent_id, snapshot.evolution_id or "")
            if active is not None and judged(snapshot.objective, snapshot.direction):
                take_objective(snapshot, active.started, values)
            if active is not None and snapshot.phase in EVOLUTION_PHASES:
                known = active.snapshot_of(snapshot.phase)
                if known is not None and known[0] == values:
                    return known[1]
                active.snapshots[snapshot.phase] = values, snapshot.event_id
            put = self.journal.put(snapshot, left_out)
        except Exception as error:
            given = {"agent_id": agent_id, "kpis": kpis}
            return await self.journal.reject(KpiSnapshot.record, given, error)
        return self.journal.answer(snapshot.record, snapshot.event_id, await put, left_out)

    async def observation(self, name: Any, value: Any, labels: Any, agent_id: Any) -> str | None:
        """Record an observation of a registered metric."""
        return await self.journal.record(
            CustomMetric.record,
            {"name": name, "value": value, "labels": labels, "agent_id": agent_id},
            lambda left_out: observation(
                self.metrics.named(name), value, labels, agent_id, self.node_id, left_out
            ),
        )
