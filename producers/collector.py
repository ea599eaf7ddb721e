"""The collector: the specification's `EvolutionMetricsCollector`, recording into a durable outbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evometrics.producers import convert
from evometrics.producers.active import ActiveEvolution, ActiveEvolutions
from evometrics.producers.convert import finite, whole
from evometrics.producers.encoder import Encoder
from evometrics.producers.evolution_events import EvolutionEvent
from evometrics.producers.outbox import Outbox
from evometrics.producers.resources import ResourceSampler
from evometrics.producers.run import EvolutionRun
from evometrics.producers.sending import Sending
from evometrics.producers.settings import collector_settings
from evometrics.schemas.events import (
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    SystemEvent,
    micros,
)
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.validation import InvalidEvent

logger = logging.getLogger(__name__)

#: Completions that `metrics_history` keeps in memory; all of them are in ClickHouse.
HISTORY = 1000


class EvolutionMetricsCollector:
    """Records evolutions of agents: drop-in for the specification's class (design section 6).

    `record_*` return once the event is on disk, never wait for the network, and never raise into the
    evolution: an invalid event is logged, counted in `rejected`, and recorded as the SystemEvent
    `event_rejected`. They return the event's id, None where it was not recorded. They may be called from
    any thread's event loop; `start` and `stop` from one.

    Attributes:
        config: as given; the keys are the fields of `CollectorSettings` and `KafkaSettings`.
        metrics_history: the last completions of this process.
        active_collections: open evolutions by evolution_id.
        rejected: invalid events so far.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Raises `SettingsError` naming an unknown config key or a bad value."""
        self.config = dict(config or {})
        self.settings, self.kafka = collector_settings(self.config)
        self.metrics_history: deque[EvolutionCompleted] = deque(maxlen=HISTORY)
        self.active_collections = ActiveEvolutions()
        self.rejected = 0
        self.running = False
        self.encoder = Encoder(self.settings.node_id)
        self.sampler = ResourceSampler()
        self.outbox = Outbox(
            Path(self.settings.db_path),
            max_bytes=self.settings.outbox_max_mb * 1e6,
            group=self.settings.buffer_size,
        )
        self.sending = Sending(self.settings, self.kafka, self.outbox, self)

    async def start(self) -> None:
        """Open the outbox, adopt those that dead processes left, begin to send. Needs no broker.

        Raises `OutboxError` where `db_path` can't be written.
        """
        if self.running:
            return
        await asyncio.to_thread(self.outbox.open)
        self.sampler.start()
        self.running = True
        await self.sending.start()
        logger.info("collector of node %s started, outbox %s", self.settings.node_id, self.outbox.path)

    async def stop(self) -> None:
        """Send what is left, for up to `stop_timeout` seconds; the rest waits for the next start."""
        if not self.running:
            return
        try:
            await self.record_health()
            await self.drain(self.settings.stop_timeout)
        finally:  # also where the wait was cancelled, as by a Ctrl-C
            left = self.outbox_depth
            self.running = False
            await self.sending.stop()
            self.sampler.stop()
            await asyncio.to_thread(self.outbox.close)
        if left:
            logger.warning(
                "collector stopped; %d events wait in the outbox beside %s for the next start",
                left,
                self.settings.db_path,
            )
        else:
            logger.info("collector stopped, everything is sent")

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until the broker has everything, adopted outboxes too; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.outbox_depth:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    @property
    def recorded(self) -> dict[str, int]:
        """Events by topic that reached the outbox, less those shed from it later."""
        return dict(self.outbox.space.recorded)

    @property
    def shed(self) -> dict[str, int]:
        """Events by topic that were dropped because the outbox was full."""
        return dict(self.outbox.space.shed)

    @property
    def published(self) -> dict[str, int]:
        """Events by topic that the broker has acknowledged, of adopted outboxes too."""
        return dict(self.sending.published)

    @property
    def outbox_depth(self) -> int:
        """Events that the broker does not have yet."""
        return self.sending.depth

    async def record_evolution_start(self, event: object) -> str | None:
        """Record that an evolution begins; `event`: design section 6, times in Unix seconds."""
        if self.outbox.forked():
            return None
        started = None
        try:
            started = convert.started_event(event, self.settings.node_id)
            convert.set_reading(started, self.sampler.begin(started.evolution_id))
            value = self.encoder.encode(started)
        except Exception as error:
            if started is not None:
                self.sampler.forget(started.evolution_id)
            await self.reject(EvolutionStarted.record, event, error)
            return None
        for forgotten in self.active_collections.open(ActiveEvolution(started, time.perf_counter())):
            self.sampler.forget(forgotten)
        return await self.store(started, value)

    async def record_evolution_progress(
        self,
        agent_id: str,
        iteration: int,
        fitness: float | None,
        *,
        evolution_id: str | None = None,
        timestamp: float | None = None,
    ) -> str | None:
        """Record an iteration, counted from 0; without `evolution_id` it is of the agent's open evolution."""
        if self.outbox.forked():
            return None
        record = EvolutionProgressed.record
        given = {
            "agent_id": agent_id,
            "iteration": iteration,
            "fitness": fitness,
            "evolution_id": evolution_id,
        }
        try:
            probe = EvolutionEvent(agent_id=agent_id, evolution_id=evolution_id)
            active = self.active_collections.find(probe)
            event = EvolutionProgressed(
                event_id=new_event_id(),
                agent_id=agent_id,
                node_id=self.settings.node_id,
                occurred_at=micros(
                    time.time() if timestamp is None else finite(timestamp, record, "timestamp")
                ),
                evolution_id=evolution_id or (active.started.evolution_id if active else ""),
                iteration=whole(iteration, record, "iteration"),
                fitness=finite(fitness, record, "fitness"),
            )
            convert.set_reading(event, self.sampler.sample())
            value = self.encoder.encode(event)
            if active is not None:
                active.fitness.append(event.fitness)
        except Exception as error:
            await self.reject(record, given, error)
            return None
        return await self.store(event, value)

    async def record_evolution_completion(self, event: object) -> str | None:
        """Record that an evolution has ended; what the event leaves out comes from its recorded start."""
        if self.outbox.forked():
            return None
        active = None
        try:
            active = self.active_collections.find(event)
            usage = self.sampler.usage(active.started.evolution_id) if active else None
            completed = convert.completed_event(event, self.settings.node_id, active, usage)
            value = self.encoder.encode(completed)
        except Exception as error:
            await self.reject(EvolutionCompleted.record, event, error)
            return None
        if active is not None:
            self.active_collections.close(active)
            self.sampler.forget(completed.evolution_id)
        self.metrics_history.append(completed)
        return await self.store(completed, value)

    async def record_kpi_snapshot(
        self,
        agent_id: str,
        kpis: Mapping[str, float],
        *,
        phase: str = "continuous",
        evolution_id: str | None = None,
        timestamp: float | None = None,
    ) -> str | None:
        """Record an agent's KPIs; phase: baseline, pre_evolution, post_evolution or continuous.

        `evaluation_count`, `confidence_interval` and `overall_performance` in `kpis` fill the fields of
        their names; without the last it is computed (design section 5).
        """
        if self.outbox.forked():
            return None
        try:
            event = convert.kpi_snapshot(
                agent_id,
                kpis,
                self.settings.node_id,
                phase=phase,
                evolution_id=evolution_id,
                timestamp=timestamp,
            )
            value = self.encoder.encode(event)
        except Exception as error:
            await self.reject("kpi_snapshot", {"agent_id": agent_id, "kpis": kpis}, error)
            return None
        return await self.store(event, value)

    async def record_system_event(self, event_type: str, data: Any = None) -> str | None:
        """Record something about the node or the system; `data`: anything JSON holds, kept as text.

        Where `data` is a map with an `agent_id`, the event is in order with that agent's.
        """
        if self.outbox.forked():
            return None
        try:
            event = self.encoder.system_event(event_type, data)
            value = self.encoder.encode(event)
        except Exception as error:
            await self.reject(SystemEvent.record, {"event_type": event_type, "data": data}, error)
            return None
        return await self.store(event, value)

    async def record_system_metrics(self, metrics: Mapping[str, Any]) -> str | None:
        """Record a node's metrics as the SystemEvent `system_metrics`."""
        return await self.record_system_event("system_metrics", metrics)

    def evolution(
        self,
        agent_id: str,
        *,
        evolution_type: str = "unknown",
        strategy: str = "",
        pre_kpis: Mapping[str, float] | None = None,
        evolution_id: str | None = None,
        generation: int | None = None,
        risk_level: str = "",
        target_gain: float | None = None,
        trigger_reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> EvolutionRun:
        """Return an evolution to run as `async with`; without `evolution_id` it gets one of its own."""
        start = EvolutionEvent(
            agent_id=agent_id,
            evolution_id=evolution_id or f"{agent_id}-{new_event_id()}",
            evolution_type=evolution_type,
            generation_change=generation,
            trigger_reason=trigger_reason,
            pre_evolution_kpis=dict(pre_kpis or {}),
            strategy=strategy,
            risk_level=risk_level,
            target_gain=target_gain,
            metadata=dict(metadata or {}),
        )
        return EvolutionRun(self, start)

    async def record_health(self) -> None:
        """Record the SystemEvent `collector_health`: what this collector has done and what waits."""
        health = {
            "outbox_depth": self.outbox_depth,
            "outbox_bytes": self.outbox.space.bytes,
            "shed": self.shed,
            "rejected": self.rejected,
            "failed": self.outbox.failed,
            "published": self.published,
            "recorded": self.recorded,
        }
        await self.record_system_event("collector_health", health)

    async def store(self, event: Event, value: bytes) -> str | None:
        """Put an event into the outbox; return its id once it is on disk."""
        self.sending.observe(event)
        stored = await self.outbox.append(BY_RECORD[event.record].name, event.key, value)
        return event.event_id if stored else None

    async def reject(self, record: str, event: object, error: Exception) -> None:
        """Log, count and record an event that can't be; raises it where `strict` is set."""
        if not isinstance(error, InvalidEvent):
            logger.error("recording %s failed", record, exc_info=error)
            error = InvalidEvent(record, "event", repr(error))
        self.rejected += 1
        report = self.encoder.rejection(event, error)
        logger.error("rejected an event: %s; recorded as event_rejected %s", error, report.event_id)
        await self.store(report, self.encoder.encode(report))
        if self.settings.strict:
            raise error
