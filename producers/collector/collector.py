"""The collector: the specification's `EvolutionMetricsCollector`, recording into a durable outbox.

Long because it is the public face: most of its lines are the signatures and contracts of what applications
call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evometrics.producers.collector import forks
from evometrics.producers.collector.background import Sending
from evometrics.producers.collector.evolution_run import EvolutionRun
from evometrics.producers.collector.history import CompletionHistory
from evometrics.producers.collector.journal import Journal
from evometrics.producers.collector.recording import Recording
from evometrics.producers.events.encoder import Encoder
from evometrics.producers.events.evolution_events import EvolutionEvent
from evometrics.producers.events.given import event_of, with_more
from evometrics.producers.events.open_evolutions import ActiveEvolutions
from evometrics.producers.events.progress import ProgressSampling
from evometrics.producers.events.values import id_of, text_of
from evometrics.producers.metrics.node import NodeFigures, NodeMetrics, require_client
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.resources.sampler import ResourceSampler
from evometrics.producers.settings import CONFIG_KEYS, collector_settings
from evometrics.schemas.ids import new_event_id

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

#: Seconds that `stop()` gives a first connection to the broker.
FIRST_CONNECTION = 0.8


class EvolutionMetricsCollector:
    """Records evolutions of agents: drop-in for the specification's class (design section 6).

    `record_*` return once the event is on disk, never wait for the network, and never raise into the
    evolution. They return the event's id, None where it was not recorded. A value that can't be kept is left
    out, named in the event's metadata (`evometrics.left_out`) and counted in `left_out`; only an event that
    names no agent is rejected: logged, counted in `rejected`, and recorded as the SystemEvent
    `event_rejected`. `strict` raises `InvalidEvent` for both.

    They may be called from any thread's event loop and at any time: what is recorded before `start()` or
    after `stop()` waits on disk and is sent after the next start. A forked child records into an outbox of
    its own, and sends once it calls `start()`; an unpickled collector is a new one with the same config.

    Attributes:
        config: as given; the keys are the fields of `CollectorSettings` and `KafkaSettings`.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Raises `SettingsError` naming a bad value; unknown keys are named in one warning."""
        self.config = dict(config or {})
        self.settings, self.kafka = collector_settings(self.config)
        self.encoder = Encoder(self.settings.node_id)
        sampling = ProgressSampling.of(self.settings.progress_interval)
        self.recording = Recording(self.settings.node_id, sampling, self.encoder.wire)
        self.node_metrics: NodeMetrics | None = None
        self.own()
        if self.settings.prometheus_port is not None:
            require_client("prometheus_port", self.settings.prometheus_port)
            self.count()
        forks.register(self)

    def own(self) -> None:
        """Make the parts that belong to one process."""
        self.running = False
        self.turn = threading.Lock()
        self.sampler = self.new_sampler()
        self.outbox = Outbox(
            Path(self.settings.db_path),
            max_bytes=self.settings.outbox_max_mb * 1e6,
            group=self.settings.buffer_size,
        )
        self.journal = Journal(self.encoder, self.outbox, strict=self.settings.strict)
        self.sending = Sending(self.settings, self.kafka, self.journal)
        if self.sending.exporters:
            self.journal.observers.append(self.sending.observe)
        self.recording.own(self.journal, self.sampler)

    def new_sampler(self) -> ResourceSampler:
        """Return what measures evolutions: this process and its descendants."""
        return ResourceSampler()

    def renew_in_child(self) -> object:
        """In a forked child: release the parent's parts and make new ones; return the old ones."""
        old = (self.outbox, self.sending, self.sampler, self.journal, self.turn)
        self.outbox.let_go()
        self.recording.active.lock = threading.Lock()
        self.recording.metrics.lock = threading.Lock()
        self.own()
        if self.node_metrics is not None:
            self.count()
        for metric in list(self.recording.metrics.known.values()):
            for exporter in self.sending.exporters:
                exporter.register(metric)
        return old

    def __reduce__(self) -> tuple[Any, ...]:
        # other entries of the config are the orchestrator's own, and may not be picklable
        own = {name: value for name, value in self.config.items() if name in CONFIG_KEYS}
        return type(self), ({**own, "node_id": self.settings.node_id},)

    async def start(self) -> None:
        """Open the outbox, adopt those that dead processes left, start sending. Needs no broker.

        Concurrent calls have the effect of one. Raises `OutboxError` where `db_path` can't be written.
        """
        await asyncio.to_thread(self.start_here)

    def start_here(self) -> None:
        """`start`, blocking."""
        with self.turn:
            if self.running:
                return
            self.journal.open()
            self.sampler.start()
            try:
                self.sending.start(self.node_metrics)
            except BaseException:
                self.sampler.stop()
                raise
            self.running = True
        logger.info("collector of node %s started, outbox %s", self.settings.node_id, self.outbox.path)

    async def stop(self) -> None:
        """Send what is left, for up to `stop_timeout` seconds as long as the broker accepts it.

        Where no broker answers it returns at once; what is left waits on disk for the next start.
        """
        try:
            if self.running:
                await self.sending.report_health(stops=True)
                self.sending.hurry(True)
                await self.drain_while_it_moves(self.settings.stop_timeout)
        finally:  # also where the wait was cancelled, for example by Ctrl-C
            await asyncio.to_thread(self.stop_here)

    def stop_here(self) -> None:
        """Stop everything; blocking."""
        with self.turn:
            was_running, left = self.running, self.outbox_depth
            self.running = False
            if was_running:
                self.sending.stop()
                self.sampler.stop()
            self.journal.close()
        if left:
            logger.warning(
                "collector stopped; %d events wait in the outbox beside %s for the next start",
                left,
                self.settings.db_path,
            )
        elif was_running:
            logger.info("collector stopped, all events are sent")

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until the broker has everything, adopted outboxes too; False after `timeout` seconds."""
        return await self.sending.drain(timeout)

    async def drain_while_it_moves(self, timeout: float) -> None:
        """`drain`, but only as long as the broker answers, or as a first connection may take."""
        begun = time.monotonic()
        while self.outbox_depth and (waited := time.monotonic() - begun) < timeout:
            if not self.sending.connected and (self.sending.problem or waited > FIRST_CONNECTION):
                return
            await asyncio.sleep(0.01)

    @property
    def metrics_history(self) -> CompletionHistory:
        """The last completions of this process."""
        return self.recording.history

    @property
    def active_collections(self) -> ActiveEvolutions:
        """Open evolutions by evolution_id."""
        return self.recording.active

    @property
    def recorded(self) -> dict[str, int]:
        """Events by topic that reached the outbox, except those shed from it later."""
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

    @property
    def rejected(self) -> int:
        """Events that could not be recorded."""
        return self.journal.rejected

    @property
    def left_out(self) -> dict[str, int]:
        """By field, number of values that were left out of events, truncated or corrected."""
        return dict(self.journal.left_out)

    async def record_evolution_start(
        self, event: object = None, *, evolution_event: object = None, **named: Any
    ) -> str | None:
        """Record that an evolution begins.

        The event is an object, a mapping, or keywords; `EvolutionEvent` lists its fields. Its KPIs are also
        recorded as a snapshot of the phase `pre_evolution`.
        """
        return await self.recording.start(event_of(event, evolution_event, named))

    async def record_evolution_progress(
        self,
        agent_id: Any = None,
        iteration: Any = None,
        fitness: Any = None,
        *,
        evolution_id: Any = None,
        timestamp: Any = None,
        evaluations: Any = None,
        mean: Any = None,
        front_size: Any = None,
        extras: Any = None,
        **metadata: Any,
    ) -> str | None:
        """Record an iteration, counted from 0; by default of the agent's open evolution.

        Where they are known: the evaluations so far, the candidates' mean fitness, the size of the Pareto
        front, and further figures as a map of names to numbers.
        Returns None also for an iteration that `progress_interval` skips; its fitness still counts in the
        completion's trajectory.
        """
        given = SimpleNamespace(
            agent_id=agent_id,
            iteration=iteration,
            fitness=fitness,
            evolution_id=evolution_id,
            timestamp=timestamp,
            evaluations=evaluations,
            mean=mean,
            front_size=front_size,
            extras=extras,
            metadata=metadata,
        )
        return await self.recording.progress(given)

    async def record_evolution_completion(
        self,
        event: object = None,
        *,
        completion_event: object = None,
        evolution_event: object = None,
        **named: Any,
    ) -> str | None:
        """Record that an evolution has ended; values missing from the event come from its recorded start.

        The event is an object, a mapping, or keywords; `EvolutionCompletionEvent` lists its fields. Its KPIs
        are also recorded as snapshots, except those after an evolution that was rolled back, pruned or
        rejected: they do not describe the agent. An identical completion given twice is recorded once.
        """
        other = evolution_event if completion_event is None else completion_event
        return await self.recording.completion(event_of(event, other, named))

    async def record_kpi_snapshot(
        self,
        agent_id: Any,
        kpis: Any,
        *,
        phase: Any = "continuous",
        evolution_id: Any = None,
        timestamp: Any = None,
        objective: Any = None,
        direction: Any = None,
        **metadata: Any,
    ) -> str | None:
        """Record an agent's KPIs; phase: baseline, pre_evolution, post_evolution or continuous.

        `evaluation_count`, `confidence_interval` and `overall_performance` in `kpis` fill the fields of their
        names; without the last it is computed (design section 5). KPIs of a stated `objective` or `direction`
        (`EvolutionEvent`) are not judged by the thresholds; an open evolution's snapshots have its own. A
        snapshot that was already taken from the start of an open evolution is not recorded again.
        """
        return await self.recording.snapshot(
            agent_id, kpis, phase, evolution_id, timestamp, objective, direction, metadata
        )

    async def record_system_event(self, event_type: Any, data: Any = None) -> str | None:
        """Record something about the node or the system; `data`: any value, kept as JSON text.

        Where `data` is a map with an `agent_id`, the event is ordered with that agent's other events.
        """
        return await self.journal.system_event(event_type, data)

    async def record_system_metrics(self, metrics: Any) -> str | None:
        """Record a node's metrics as the SystemEvent `system_metrics`."""
        return await self.journal.system_event("system_metrics", metrics)

    def register_metric(
        self,
        name: str,
        kind: str,
        help: str | None = "",  # noqa: A002 - Prometheus' word
        labels: Iterable[str] | None = (),
        unit: str | None = "",
    ) -> None:
        """Register a metric of your own: counter, gauge, histogram or summary.

        Its observations are events (topic `evometrics.custom.metrics`, table `custom_metrics`), and series
        of `prometheus_registry` and of what is pushed to a Pushgateway. Registering the same metric again has
        no effect.
        Raises `MetricError` where Prometheus' rules forbid it, or where the name is registered with another
        definition; the error names both.
        """
        metric = self.recording.metrics.register(name, kind, help or "", labels or (), unit or "")
        if self.node_metrics is not None:
            self.node_metrics.events.add(metric)
        for exporter in self.sending.exporters:
            exporter.register(metric)

    async def observe(self, name: Any, value: Any, labels: Any = None, *, agent_id: Any = None) -> str | None:
        """Record one observation of a registered metric; for a counter `value` is the increase."""
        return await self.recording.observation(name, value, labels, agent_id)

    @property
    def prometheus_registry(self) -> CollectorRegistry:
        """A registry with this node's figures, the specification's four metrics, and registered ones.

        They are counted from its first use on, or from the beginning with `prometheus_port`.
        Raises `SettingsError` where prometheus_client is not installed.
        """
        if self.node_metrics is None:
            require_client("prometheus_registry", "")
            self.count()
        assert self.node_metrics is not None
        return self.node_metrics.registry

    def count(self) -> None:
        """Start counting for Prometheus."""
        self.node_metrics = NodeMetrics(self.figures)
        self.journal.observers.append(self.node_metrics.events.observe)
        for metric in list(self.recording.metrics.known.values()):
            self.node_metrics.events.add(metric)

    def figures(self) -> NodeFigures:
        """Return this node's figures."""
        return NodeFigures(
            depth=self.outbox_depth,
            bytes=self.outbox.space.bytes,
            oldest=self.sending.oldest(),
            disk_free=self.outbox.room.free(),
            recorded=self.recorded,
            sent=self.published,
            shed=self.shed,
            left_out=self.left_out,
            rejected=self.rejected,
            refused=self.sending.refusals,
            failed=self.outbox.failed,
            publish_errors=self.sending.errors,
            connected=self.sending.connected,
            latency=self.outbox.latency,
        )

    def evolution(
        self,
        agent_id: object,
        *,
        evolution_type: object = "unknown",
        strategy: object = "",
        pre_kpis: object = None,
        evolution_id: object = None,
        generation: object = None,
        risk_level: object = "",
        target_gain: object = None,
        trigger_reason: object = "",
        metadata: object = None,
        run_id: object = None,
        model: object = None,
        objective: object = None,
        direction: object = None,
        **more: object,
    ) -> EvolutionRun:
        """Return an evolution to run as `async with`; without `evolution_id` it gets a new id.

        Keywords that are not fields of an evolution go into its metadata.
        """
        own = f"{text_of(agent_id)}-{new_event_id()}" if evolution_id is None else evolution_id
        start = EvolutionEvent(
            agent_id=agent_id,
            evolution_id=id_of(own),
            evolution_type=evolution_type,
            generation=generation,
            trigger_reason=trigger_reason,
            pre_evolution_kpis=pre_kpis,
            strategy=strategy,
            risk_level=risk_level,
            target_gain=target_gain,
            metadata=with_more(metadata, more),
            run_id=run_id,
            model=model,
            objective=objective,
            direction=direction,
        )
        return EvolutionRun(self, start)
