"""The recorder: the collector for code that can't wait, from any thread, callback and process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from evometrics.producers.collector import forks
from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.collector.evolution_run import success_of
from evometrics.producers.events.values import id_of, text_of
from evometrics.producers.recording import at_exit, processes
from evometrics.producers.recording.block import RecordedEvolution
from evometrics.producers.recording.calls import agent_entry, completion_entry, start_entry, system_entry
from evometrics.producers.recording.handoff import EVENT_WEIGHT, Entry, HandOff
from evometrics.producers.recording.worker import Worker
from evometrics.producers.ticks import ticks
from evometrics.schemas.ids import new_event_id

logger = logging.getLogger(__name__)

#: Most open evolutions whose beginning is remembered.
MOST_OPEN = 10_000
#: Seconds that closing takes at most, besides the collector's `stop_timeout`.
CLOSE_SECONDS = 30.0
#: Seconds between attempts to start a thread where the process can have no more.
THREAD_SECONDS = 1.0


class Recorder:
    """Records like the collector, without `await`: for callbacks of frameworks, threads, and plain code.

    No call raises, `KeyboardInterrupt` excepted, and none waits for the network or the disk, except `flush`
    and `close`. A call takes a snapshot of its values and hands it to a thread with the collector in it, in
    order. Up to 50,000 events or about 64 MB wait there; what exceeds them is lost, counted (`lost`), logged
    and recorded as the SystemEvent `recorder_lost`. Without a broker in `config` or in the environment,
    events go to the SQLite file `db_path`, by default `evolution_metrics.db` in the working folder.

    It may be used in a running event loop, in threads, signal handlers, and children: a forked child has a
    thread and an outbox of its own; where it is pickled to another process, it arrives as one with the same
    config and `run_id`. It is closed when the process ends, except by a signal or `os._exit`; then what was
    handed in during the last second is lost, or since the last `flush`.

    Attributes:
        run_id: what this process records belongs to: `EVOMETRICS_RUN_ID`, else a new id.
        collector: None where the settings are bad: nothing is recorded then.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, *, run_id: object = None) -> None:
        """`config`: as the collector's; what it leaves out comes from `EVOMETRICS_COLLECTOR_*` and
        `EVOMETRICS_KAFKA_*`. Bad settings are logged, and nothing is recorded.
        """
        self.run_id = text_of(run_id) or os.environ.get("EVOMETRICS_RUN_ID") or new_event_id()
        self.token = new_event_id()
        self.collector: EvolutionMetricsCollector | None = None
        self.config: dict[str, Any] = {}
        try:
            self.config = dict(config or {})
            self.collector = EvolutionMetricsCollector(self.config)
        except Exception as error:
            logger.error("nothing is recorded, because of the settings: %s", error)
        self.own()
        processes.recorders.here[self.token] = self
        forks.register(self)

    def own(self) -> None:
        """Make the parts that belong to one process."""
        self.handoff = HandOff()
        self.worker: Worker | None = None
        self.last_words: list[Callable[[], None]] = []
        self.failed = 0
        self.not_before = 0.0
        self.exited = False
        self.run_ids = iter((self.run_id,))
        self.begun: OrderedDict[str, float] = OrderedDict()
        self.closing = threading.RLock()  # a signal handler may close it while it is being closed

    def renew_in_child(self) -> object:
        """In a forked child: leave the parent's thread, and what waits in it, to the parent."""
        old = self.handoff, self.worker, self.closing
        begun, run_ids = self.begun, self.run_ids
        self.own()
        self.begun, self.run_ids = begun, run_ids
        return old

    def __reduce__(self) -> tuple[Any, ...]:
        config = self.config if self.collector is None else self.collector.__reduce__()[1][0]
        return processes.arrived, (type(self), config, self.run_id, self.token)

    @classmethod
    def default(cls) -> Recorder:
        """Return the process's own recorder, made from the environment at its first use."""
        return processes.default(cls)

    def new_run_id(self) -> str:
        """Return the id of one more run: the first has this recorder's."""
        return next(self.run_ids, None) or new_event_id()

    @property
    def lost(self) -> int:
        """Events that were handed in and could not be recorded: too many, no disk, or a full outbox."""
        lost = self.handoff.lost + self.failed
        if self.worker is not None:
            lost += self.worker.failed
        if self.collector is not None:
            lost += self.collector.outbox.failed + sum(self.collector.shed.values())
        return lost

    def start(self, agent_id: object, **fields: object) -> str:
        """Record that an evolution begins; `EvolutionEvent` lists the fields. Returns the evolution's id."""
        try:
            agent = text_of(agent_id)
            given = fields.get("evolution_id")
            own = f"{agent}-{new_event_id()}" if given is None else id_of(given)
            fields["evolution_id"] = own
            call = start_entry(agent, fields)
            self.begun[own] = ticks()
            while len(self.begun) > MOST_OPEN:
                self.begun.popitem(last=False)
            self.put(call)
        except Exception as error:
            self.miss(error)
            own = new_event_id()
        return own

    def progress(
        self, agent_id: object, iteration: object = None, fitness: object = None, **fields: object
    ) -> None:
        """Record an iteration, counted from 0, of `evolution_id` or of the agent's open evolution."""
        try:
            fields.setdefault("timestamp", time.time())
            named = {**fields, "iteration": iteration, "fitness": fitness}
            self.put(agent_entry("record_evolution_progress", text_of(agent_id), named))
        except Exception as error:
            self.miss(error)

    def complete(self, agent_id: object, **fields: object) -> None:
        """Record that an evolution has ended; `EvolutionCompletionEvent` lists the fields.

        Without `success`, `status` or `rollback_performed` it succeeded.
        """
        try:
            outcome = (fields.get(name) for name in ("success", "status", "rollback_performed"))
            fields["success"] = success_of(*outcome)
            begun = self.begun.pop(text_of(fields.get("evolution_id")), None)
            if begun is not None and fields.get("duration_seconds") is None and "timestamp" not in fields:
                fields["duration_seconds"] = ticks() - begun
            self.put(completion_entry(text_of(agent_id), fields))
        except Exception as error:
            self.miss(error)

    def kpis(self, agent_id: object, kpis: object, **fields: object) -> None:
        """Record an agent's KPIs; fields: phase, evolution_id, timestamp, others are metadata."""
        try:
            fields.setdefault("timestamp", time.time())
            self.put(agent_entry("record_kpi_snapshot", text_of(agent_id), {**fields, "kpis": kpis}))
        except Exception as error:
            self.miss(error)

    def system_event(self, event_type: object, data: object = None) -> None:
        """Record something about the system; `data`: any value, kept as JSON text."""
        try:
            self.put(system_entry(text_of(event_type), data))
        except Exception as error:
            self.miss(error)

    def later(self, record: Callable[..., None], *args: object) -> None:
        """Have the recorder's thread call something that records, in its turn and before `flush` returns.

        For callbacks of searches that read all they have found again and again, such as samplers: many calls
        one after another take a fraction of the time there. The arguments are pickled meanwhile, if they can
        be, so that what the search keeps does not lie scattered in memory (`HandOff.put_packed`). Others are
        kept as they are: nothing may change them any more.
        """
        try:
            if (worker := self.ready()) is None:
                return
            try:
                due = self.handoff.put_packed(record, args)
            except Exception:
                due = self.handoff.put(Entry(record, args, {}, EVENT_WEIGHT))
            if due:
                worker.wake()
        except Exception as error:
            self.miss(error)

    def evolution(self, agent_id: object, **fields: object) -> RecordedEvolution:
        """Return an evolution to run in a `with` block; an exception in it is recorded and propagates."""
        return RecordedEvolution(self, agent_id, fields)

    def before_close(self, say: Callable[[], None]) -> None:
        """Have something called when this recorder is closed, once, so that it can record what is left."""
        if say not in self.last_words:
            self.last_words.append(say)

    def put(self, call: Entry) -> None:
        """Hand in a call of the collector."""
        if (worker := self.ready()) is not None and self.handoff.put(call):
            worker.wake()

    def ready(self) -> Worker | None:
        """Return the thread's worker, started where need be; without one, a call is counted as lost."""
        if self.collector is None:
            self.failed += 1
            return None
        worker = self.worker
        if worker is None or worker.ended.is_set():
            worker = self.started()
        if worker is None:
            self.handoff.lose()
        return worker

    def started(self) -> Worker | None:
        """Start the thread; None where that is impossible."""
        assert self.collector is not None
        with self.handoff.lock:
            if self.worker is not None and not self.worker.ended.is_set():
                return self.worker
            if self.exited or time.monotonic() < self.not_before:
                return None
            if self.worker is not None:
                self.failed += self.worker.failed
            self.worker = worker = Worker(self.collector, self.handoff, self.run_id)
            try:
                worker.start()
            except RuntimeError as error:
                self.worker, problem = None, error
                self.not_before = time.monotonic() + THREAD_SECONDS
            else:
                at_exit.close_at_exit(self)
                return worker
        logger.error("nothing can be recorded just now: %s", problem)
        return None

    def miss(self, error: Exception) -> None:
        """Count an event that could not be handed in, whatever the reason."""
        try:
            self.failed += 1
            logger.error("an event could not be recorded: %s: %s", type(error).__name__, error)
        except Exception:
            return

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed in so far is on disk; False after `timeout` seconds, or if it
        can't be.
        """
        try:
            worker = self.worker
            if worker is None:
                return self.collector is not None
            return not worker.is_current and worker.flush().result(timeout)
        except Exception:
            return False

    def close(self) -> None:
        """Put everything on disk, then stop like the collector: send what is left while the broker answers.

        A later call opens it again. At the end of the process it is closed of its own.
        """
        try:
            while self.last_words:
                self.last_words.pop()()
            with self.closing:
                worker = self.worker
                if worker is None or worker.is_current or self.collector is None:
                    return
                if not worker.stop(self.collector.settings.stop_timeout + CLOSE_SECONDS):
                    left = len(self.handoff.entries)
                    logger.error("closing took too long and is given up; %d events are lost", left)
            at_exit.forget(self)
        except Exception as error:
            self.miss(error)

    def close_at_exit(self) -> None:
        """Close it for good."""
        self.close()
        self.exited = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
