"""What a collector does in the background: publish, adopt, report its health, export."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from evometrics.producers.collector.journal import Journal
from evometrics.producers.exporters.configured import configured_exporters
from evometrics.producers.exporters.exporter import Exporter
from evometrics.producers.history.copied_backlog import CopiedBacklog
from evometrics.producers.history.publisher import LocalPublisher
from evometrics.producers.history.store import SQLiteMetricsBackend
from evometrics.producers.metrics.node import NodeMetrics
from evometrics.producers.metrics.server import serve_metrics
from evometrics.producers.outbox.rebuilding import Damage
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.producers.publisher.framing import Framing
from evometrics.producers.publisher.publisher import Publisher
from evometrics.producers.publisher.refused import RefusedMessages
from evometrics.producers.publisher.thread import BackgroundLoop
from evometrics.producers.settings import CollectorSettings
from evometrics.schemas.events import Event
from evometrics.schemas.rules.validation import InvalidEvent
from evometrics.schemas.service.http import HealthServer
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.wire.registry import open_registry

logger = logging.getLogger(__name__)

LAST_EXPORT_TIMEOUT = 5.0
DRAIN_POLL = 0.01


class Sending:
    """Owns the background thread and everything that runs in it.

    Attributes:
        history: this node's own file, which events go to instead of the broker or as well; None = there is
            none.
        published: events by topic that the broker has acknowledged, or, without a broker, the history.
        refused: messages that the broker permanently refuses.
        refusals: how many there were since this object was made.
    """

    def __init__(self, settings: CollectorSettings, kafka: KafkaSettings | None, journal: Journal) -> None:
        """`kafka`: None where no broker is configured; events then go to the history.

        What waits in the journal's outbox is sent; what the background has to report goes into the journal.
        """
        self.settings = settings
        self.kafka = kafka
        self.journal = journal
        self.outbox = journal.outbox
        self.db_path = Path(settings.db_path)
        self.refused = RefusedMessages.beside(self.db_path)
        self.exporters: list[Exporter] = configured_exporters(settings)
        self.history = (
            SQLiteMetricsBackend(settings.history_db, settings.retention_days)
            if settings.history_db
            else None
        )
        if kafka is not None and self.history is not None:
            self.exporters.append(self.history)
        self.background = BackgroundLoop("evometrics-publisher")
        self.published: Counter[str] = Counter()
        self.refusals = 0
        self.backlog: Backlog | None = None
        self.publisher: Publisher | LocalPublisher | None = None
        self.server: HealthServer | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def depth(self) -> int:
        """Events that the broker does not have yet."""
        return self.outbox.space.depth if self.backlog is None else self.backlog.depth

    async def drain(self, timeout: float | None) -> bool:
        """Wait until all events are delivered, adopted outboxes included; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        # Two threads count what is left; neither can set an event of this loop.
        self.hurry(True)
        try:
            while self.depth:
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                await asyncio.sleep(DRAIN_POLL)
            return True
        finally:
            self.hurry(False)

    def hurry(self, on: bool) -> None:
        """Have the history written without a pause, as long as somebody waits."""
        if isinstance(self.publisher, LocalPublisher):
            self.publisher.hurry(on)

    @property
    def errors(self) -> int:
        """How many times sending failed and was retried."""
        return 0 if self.publisher is None else self.publisher.failures

    def oldest(self) -> float | None:
        """Return when the oldest waiting event was recorded, Unix seconds; None where none waits."""
        return self.outbox.oldest()

    @property
    def connected(self) -> bool:
        """Whether a broker answers."""
        return self.publisher is not None and self.publisher.connected

    @property
    def problem(self) -> str:
        """Why the broker can't be used just now; empty where it can."""
        return self.publisher.problem if self.publisher else ""

    def observe(self, event: Event) -> None:
        """Pass an event to the exporters; their exceptions are suppressed, so that it is recorded anyway."""
        for exporter in self.exporters:
            try:
                exporter.observe(event)
            except Exception:
                logger.exception("%s: failed to process a %s", exporter.address, event.record)

    def start(self, metrics: NodeMetrics | None = None) -> None:
        """Start the thread, and serve metrics if there are any; blocking, but not for the broker."""
        self.background.start()
        if metrics is not None and self.settings.prometheus_port is not None:
            self.server = serve_metrics(self.settings.prometheus_port, self.settings.prometheus_host, metrics)
        try:
            self.background.call(self.begin())
        except BaseException:
            self.background.stop()
            raise

    async def begin(self) -> None:
        """In the thread: adopt, and start the tasks."""
        loop = asyncio.get_running_loop()
        beside = self.history if self.kafka is not None else None
        self.backlog = (
            CopiedBacklog(self.outbox, beside, self.damaged) if beside else Backlog(self.outbox, self.damaged)
        )
        self.outbox.on_damage = lambda damage: from_thread(loop, self.damaged, damage)
        self.backlog.adopt(self.db_path)
        self.publisher = self.new_publisher(self.backlog)
        self.outbox.on_commit = self.publisher.wake
        for work in (self.publisher.run(), self.look_after(), *(e.run() for e in self.exporters)):
            self.keep(asyncio.create_task(work))

    def new_publisher(self, backlog: Backlog) -> Publisher | LocalPublisher:
        """Return the publisher of the backlog: to the broker, or to this node's history."""
        if self.kafka is None:
            assert self.history is not None, "settings without a broker name a history"
            return LocalPublisher(backlog, self.history, self.refuse, self.published)
        framing = Framing(open_registry(self.kafka))
        return Publisher(backlog, self.kafka, self.refuse, framing, self.published)

    def stop(self) -> None:
        """Stop sending; what is left stays in the outbox. Blocking."""
        self.background.call(self.end())
        if self.server is not None:
            self.server.end()
            self.server = None
        self.background.stop()

    async def end(self) -> None:
        """In the thread: end the tasks and close what they used."""
        if self.exporters:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.gather(
                        *(e.export() for e in self.exporters if not e.problem), return_exceptions=True
                    ),
                    LAST_EXPORT_TIMEOUT,
                )
        self.outbox.on_commit = lambda: None
        self.outbox.on_damage = Damage.say
        await end_tasks(list(self.tasks))
        await asyncio.gather(*(self.withdraw(e) for e in self.exporters if not e.problem))
        if isinstance(self.backlog, CopiedBacklog):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.backlog.copied(), LAST_EXPORT_TIMEOUT)
        if self.history is not None:
            await asyncio.to_thread(self.history.close)
        if self.backlog is not None:
            self.backlog.close()
        self.backlog = None

    async def withdraw(self, exporter: Exporter) -> None:
        """Close an exporter; what stays where it sends to is logged."""
        try:
            await asyncio.wait_for(asyncio.to_thread(exporter.close), LAST_EXPORT_TIMEOUT)
        except (OSError, TimeoutError) as error:
            logger.warning("%s: what this process has sent stays there: %s", exporter.address, error)

    async def look_after(self) -> None:
        """Every `flush_interval`: report health, adopt outboxes, delete old refused messages."""
        while True:
            await asyncio.sleep(self.settings.flush_interval)
            try:
                await self.report_health()
                if self.backlog is not None and self.backlog.adopt(self.db_path) and self.publisher:
                    self.publisher.wake()
                await asyncio.to_thread(self.refused.forget, self.settings.retention_days)
            except (OSError, sqlite3.Error) as error:
                logger.error("maintenance of %s failed: %s; it is retried later", self.db_path, error)

    def refuse(self, row: Row, reason: str) -> None:
        """Keep a message that the broker permanently refuses, and report it."""
        logger.error(
            "%s: the broker permanently refused an event of %s (%d bytes): %s. It is kept in %s",
            row.topic,
            row.key,
            len(row.value),
            reason,
            self.refused.path,
        )
        self.refused.add(row, reason)
        self.refusals += 1
        report = {"topic": row.topic, "agent_id": row.key, "bytes": len(row.value), "reason": reason}
        self.keep(asyncio.create_task(self.report("event_refused", {**report, "process": os.getpid()})))

    def damaged(self, damage: Damage) -> None:
        """Report what was lost with a damaged outbox, and record it."""
        damage.say()
        self.keep(asyncio.create_task(self.report("outbox_damaged", damage.data())))

    async def report(self, event_type: str, data: dict[str, object]) -> None:
        """Record a system event from the background."""
        with contextlib.suppress(InvalidEvent):  # `strict` is for callers; the journal has counted it
            await self.journal.system_event(event_type, data)

    async def report_health(self, *, stops: bool = False) -> None:
        """Record the SystemEvent `collector_health`; the last one says that the collector `stops`."""
        await self.report("collector_health", self.health() | ({"stops": True} if stops else {}))

    def health(self) -> dict[str, object]:
        """Return what this process has recorded and sent so far, and what waits."""
        return {
            "outbox_depth": self.depth,
            "outbox_bytes": self.outbox.space.bytes,
            "shed": dict(self.outbox.space.shed),
            "rejected": self.journal.rejected,
            "left_out": dict(self.journal.left_out),
            "failed": self.outbox.failed,
            "published": dict(self.published),
            "recorded": dict(self.outbox.space.recorded),
        }

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a reference to a task until it ends, and log its exception."""
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task of the collector failed", exc_info=error)


def from_thread(loop: asyncio.AbstractEventLoop, tell: Callable[[Damage], None], damage: Damage) -> None:
    """Report damage in the loop, or only in the log where the loop has ended."""
    try:
        loop.call_soon_threadsafe(tell, damage)
    except RuntimeError:
        damage.say()
