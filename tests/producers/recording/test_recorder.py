"""The recorder in one process: order, bounds, closing, and what no call may do."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers import LocalMetricsQuery, Recorder
from evometrics.producers.recording import handoff
from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed, EvolutionStarted, KpiSnapshot
from tests.support.history_of import agents, completed, recorded, started, system_events
from tests.support.outboxes import NO_BROKER


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recorded.db"


@pytest.fixture
def recorder(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.delenv("EVOMETRICS_KAFKA_BROKERS", raising=False)
    with Recorder({"db_path": str(file)}) as recorder:
        yield recorder


def test_every_kind_of_event_is_recorded_in_the_order_of_the_calls(recorder: Recorder, file: Path) -> None:
    evolution = recorder.start("a", pre_kpis={"accuracy": 0.5}, strategy="tune")
    recorder.progress("a", 0, 0.6, evolution_id=evolution)
    recorder.complete("a", evolution_id=evolution, status="succeeded", post_kpis={"accuracy": 0.7})
    recorder.kpis("a", {"accuracy": 0.7}, phase="baseline")
    recorder.system_event("noted", {"agent_id": "a", "why": [1, 2]})
    recorder.close()
    events = [event for event in recorded(file) if event.node_id and event.agent_id == "a"]
    kinds = [EvolutionStarted, EvolutionProgressed, EvolutionCompleted, KpiSnapshot]
    assert [type(event) for event in events[:4]] == kinds
    assert json.loads(system_events(file, "noted")[0].data) == {"agent_id": "a", "why": [1, 2]}
    assert recorder.lost == 0


async def test_what_is_recorded_is_found_by_the_nodes_own_query(recorder: Recorder, file: Path) -> None:
    with recorder.evolution("a", evolution_type="toy", pre_kpis={"accuracy": 0.5}) as run:
        run.progress(fitness=0.6)
        run.complete(post_kpis={"accuracy": 0.75})
    await asyncio.to_thread(recorder.close)
    found = await LocalMetricsQuery(file).get_agent_evolution_history("a")
    assert [row.evolution_id for row in found] == [run.evolution_id]


def test_a_completion_without_an_outcome_succeeded_in_a_block_and_outside(
    recorder: Recorder, file: Path
) -> None:
    with recorder.evolution("a") as run:
        run.complete()
    recorder.complete("b", post_kpis={"accuracy": 0.6})
    recorder.complete("c", rollback_performed=True)
    recorder.complete("d", success=False)
    recorder.close()
    statuses = {event.agent_id: event.status for event in completed(file)}
    assert statuses == {"a": "succeeded", "b": "succeeded", "c": "rolled_back", "d": "failed"}


def test_an_evolution_lasts_as_long_as_its_block(recorder: Recorder, file: Path) -> None:
    for _ in range(3):
        with recorder.evolution("a") as run:
            threading.Event().wait(0.05)
            run.complete()
    recorder.close()
    assert all(0.05 <= done.duration_seconds < 60 for done in completed(file))


def test_an_exception_in_a_block_is_recorded_and_propagates(recorder: Recorder, file: Path) -> None:
    with pytest.raises(KeyError), recorder.evolution("a"):
        raise KeyError("gone")
    with recorder.evolution("b"):
        pass
    recorder.close()
    failed, left = completed(file)
    assert (failed.status, failed.insights) == ("failed", ["error: KeyError: 'gone'"])
    assert left.status == "failed"


def test_the_callers_objects_may_change_after_the_call(recorder: Recorder, file: Path) -> None:
    kpis, insights = {"accuracy": 0.5}, ["one"]
    for number in range(100):
        kpis["accuracy"] = number / 100
        insights[0] = str(number)
        recorder.complete(f"a{number}", post_kpis=kpis, insights=insights)
    recorder.close()
    assert [done.post_kpis["accuracy"] for done in completed(file)] == [n / 100 for n in range(100)]
    assert [done.insights for done in completed(file)] == [[str(n)] for n in range(100)]


def test_threads_keep_their_own_order(recorder: Recorder, file: Path) -> None:
    def record(name: str) -> None:
        for number in range(200):
            recorder.complete(f"{name}-{number}")

    threads = [threading.Thread(target=record, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    for name in "abcd":
        assert [a for a in agents(file) if a[0] == name] == [f"{name}-{n}" for n in range(200)]


async def test_it_works_in_a_running_loop_without_holding_it(recorder: Recorder, file: Path) -> None:
    with recorder.evolution("a") as run:
        run.complete()
    assert await asyncio.to_thread(recorder.flush, 10)
    recorder.complete("b")
    assert recorder.flush(10)
    recorder.close()
    assert agents(file) == ["a", "b"]


def test_after_a_flush_all_is_on_disk_without_a_broker_and_with_one_that_is_down(tmp_path: Path) -> None:
    config = {"db_path": str(tmp_path / "down.db"), "brokers": NO_BROKER}
    with Recorder(config) as recorder:
        for number in range(1000):
            recorder.complete(f"a{number}")
        assert recorder.flush(30)
        assert recorder.collector is not None
        assert sum(recorder.collector.recorded.values()) >= 1000
        assert recorder.lost == 0


def test_what_exceeds_the_bound_is_lost_and_counted_and_reported_once(
    recorder: Recorder, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.complete("first")
    assert recorder.flush(10)
    monkeypatch.setattr(handoff, "MOST_EVENTS", 10)
    assert recorder.worker is not None and recorder.worker.signal is not None
    held = threading.Event()
    recorder.worker.signal.loop.call_soon_threadsafe(held.wait)  # a disk that does not answer
    for number in range(100):
        recorder.complete(f"a{number}")
    held.set()
    assert recorder.flush(10)
    assert recorder.lost == 90
    recorder.complete("last")
    recorder.close()
    assert agents(file) == ["first", *(f"a{n}" for n in range(10)), "last"]
    (report,) = system_events(file, "recorder_lost")
    assert json.loads(report.data)["lost"] == 90
    assert sum("90 events were handed in and are lost" in text for text in caplog.messages) == 1


def test_large_events_fill_it_by_their_size(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.complete("first")
    assert recorder.flush(10)
    monkeypatch.setattr(handoff, "MOST_BYTES", 1_000_000)
    assert recorder.worker is not None and recorder.worker.signal is not None
    held = threading.Event()
    recorder.worker.signal.loop.call_soon_threadsafe(held.wait)
    for _ in range(10):
        recorder.complete("large", metadata={"text": "x" * 300_000})
    held.set()
    assert recorder.lost == 7


def test_a_closed_recorder_opens_again_with_the_next_call(recorder: Recorder, file: Path) -> None:
    for name in "abc":
        recorder.complete(name)
        recorder.close()
        recorder.close()
    assert agents(file) == ["a", "b", "c"]


def test_bad_settings_are_logged_and_record_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Recorder({"buffer_size": -1}) as recorder:
        assert recorder.start("a")
        recorder.complete("a")
        with recorder.evolution("b") as run:
            run.complete()
        assert recorder.flush(1) is False
    assert recorder.lost == 4
    assert len([text for text in caplog.messages if "buffer_size" in text]) == 1


def test_a_folder_that_cannot_be_written_loses_nothing_that_memory_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "place").write_text("a file")
    file = tmp_path / "place" / "recorded.db"
    with Recorder({"db_path": str(file)}) as recorder:
        for number in range(50):
            recorder.complete(f"a{number}")
        assert recorder.flush(10) is False
        assert recorder.lost == 0
        (tmp_path / "place").unlink()
        recorder.complete("later")
    assert agents(file) == [*(f"a{n}" for n in range(50)), "later"]
    assert len([text for text in caplog.messages if "nothing can be recorded" in text]) == 1


def test_what_never_reaches_the_disk_is_counted_as_lost(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file")
    with Recorder({"db_path": str(tmp_path / "place" / "recorded.db")}) as recorder:
        for number in range(50):
            recorder.complete(f"a{number}")
    assert recorder.lost == 50


def test_an_event_without_an_agent_raises_nothing(recorder: Recorder, file: Path) -> None:
    recorder.complete("")
    recorder.complete(None, status="succeeded")
    recorder.kpis("a", None)
    recorder.progress("", None, object())
    recorder.system_event("", object())
    recorder.close()
    assert len(system_events(file, "event_rejected")) == 3


def test_a_strict_collector_raises_nothing_either(tmp_path: Path) -> None:
    with Recorder({"db_path": str(tmp_path / "strict.db"), "strict": True}) as recorder:
        recorder.complete("a", post_kpis={"accuracy": float("nan")})
        recorder.complete("")
        recorder.complete("b")
    assert agents(tmp_path / "strict.db") == ["a", "b"]


def test_pickled_in_its_own_process_it_is_itself(recorder: Recorder) -> None:
    assert pickle.loads(pickle.dumps(recorder)) is recorder
    assert copy.deepcopy(recorder) is recorder


class Into(logging.Handler):
    """A handler that records what is logged, our own messages too."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.DEBUG)
        self.recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        self.recorder.system_event("logged", {"text": record.getMessage()})


def test_a_logging_handler_may_record_what_it_is_given(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = logging.getLogger("evometrics.producers.recording.worker")
    while own is not None and own.parent is not None:  # whatever other tests' libraries have made of them
        monkeypatch.setattr(own, "disabled", False)
        monkeypatch.setattr(own, "level", logging.NOTSET)
        monkeypatch.setattr(own, "propagate", True)
        own.manager._clear_cache()  # type: ignore[attr-defined]
        own = own.parent
    root = logging.getLogger()
    before = root.level
    recorder = Recorder({"db_path": str(file)})
    handler = Into(recorder)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("user").info("hello")  # the first call, with the handler's lock held
        assert recorder.flush(10)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    recorder.close()
    texts = [json.loads(event.data)["text"] for event in system_events(file, "logged")]
    assert "hello" in texts
    assert any("records into" in text for text in texts)


def test_the_run_is_the_environments_and_later_runs_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOMETRICS_RUN_ID", "night-7")
    recorder = Recorder({"db_path": str(tmp_path / "x.db")})
    assert recorder.run_id == "night-7"
    assert recorder.new_run_id() == "night-7"
    assert recorder.new_run_id() not in ("night-7", recorder.new_run_id())
    assert Recorder({"db_path": str(tmp_path / "x.db")}, run_id=7).run_id == "7"


def test_a_completion_with_an_id_of_its_own_counts_once(recorder: Recorder, file: Path) -> None:
    own = "6f0f63f0-5f2c-5d58-8d5b-2b1c8f6a7a11"
    for _ in range(2):
        recorder.complete("a", evolution_id="e", event_id=own, timestamp=1.7e9, status="succeeded")
        recorder.close()
    recorder.complete("b", event_id="no id")
    recorder.close()
    first, second = completed(file)
    assert first.event_id == own
    assert len(second.event_id) == 36
    assert "event_id" in second.metadata["evometrics.left_out"]


def test_a_start_has_the_time_of_its_call(recorder: Recorder, file: Path) -> None:
    recorder.start("a", timestamp=1.7e9)
    recorder.close()
    (start,) = started(file)
    assert start.occurred_at == 1_700_000_000_000_000


def test_no_value_whatever_it_is_raises(recorder: Recorder) -> None:
    class Odd:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    odd: Any = Odd()
    recorder.start(odd, evolution_id=odd, pre_kpis=odd, metadata=odd)
    recorder.progress(odd, odd, odd, evolution_id=odd, more=odd)
    recorder.complete(odd, evolution_id=odd, status=odd, post_kpis={odd: odd}, timestamp=odd)
    recorder.kpis(odd, odd, phase=odd)
    recorder.system_event(odd, odd)
    assert recorder.flush(10)


def test_few_events_gather_before_they_are_written_but_not_the_first_and_not_many(
    recorder: Recorder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.producers.recording.worker.SPACING", 3600.0)

    def written(least: int) -> int:
        waited = threading.Event()
        for _ in range(300):
            if (found := len(system_events(file, "noted"))) >= least:
                return found
            waited.wait(0.1)
        raise AssertionError(f"{least} events awaited")

    recorder.system_event("noted", 0)
    assert written(1) == 1
    recorder.system_event("noted", 1)
    threading.Event().wait(0.3)
    assert written(0) == 1
    assert recorder.flush()
    assert written(2) == 2
    for number in range(handoff.MANY_EVENTS + 10):
        recorder.system_event("noted", number)
    assert written(1000) >= 1000
    for _ in range(10):
        recorder.system_event("noted", "x" * (handoff.MANY_BYTES // 8))
    assert written(handoff.MANY_EVENTS + 15)


def test_what_is_left_to_the_thread_is_recorded_before_a_flush_returns_and_when_it_closes(
    recorder: Recorder, file: Path
) -> None:
    callers = set()

    def record(agent: str, phases: tuple[str, ...]) -> None:
        callers.add(threading.current_thread().name)
        for phase in phases:
            recorder.kpis(agent, {"accuracy": 0.7}, phase=phase)

    for number in range(20):
        recorder.later(record, f"a-{number}", ("baseline", "continuous"))
        recorder.kpis(f"b-{number}", {"accuracy": 0.5})
    assert recorder.flush() and recorder.collector is not None
    assert sum(recorder.collector.recorded.values()) == 60
    recorder.later(record, "last", ("baseline",))
    recorder.close()
    found = [(each.agent_id, each.phase) for each in recorded(file) if isinstance(each, KpiSnapshot)]
    assert [each for each in found if each[0].startswith("a-")] == [
        (f"a-{number}", phase) for number in range(20) for phase in ("baseline", "continuous")
    ]
    assert len(found) == 61 and found[-1] == ("last", "baseline")
    assert callers == {"evometrics-recorder"}
    assert recorder.lost == 0


def test_a_call_that_fails_in_the_thread_is_counted_and_hinders_no_other(
    recorder: Recorder, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.later(lambda: recorder.kpis("before", {"accuracy": 0.5}))
    recorder.later(lambda: [].pop())
    recorder.later(lambda: recorder.kpis("after", {"accuracy": 0.5}))
    recorder.close()
    found = [event.agent_id for event in recorded(file) if isinstance(event, KpiSnapshot)]
    assert found == ["before", "after"]
    assert recorder.lost == 1
    assert "pop from empty list" in caplog.text


def test_what_is_left_to_the_thread_is_as_it_was_at_the_call_or_as_it_is_where_it_can_not_be_pickled(
    recorder: Recorder, file: Path
) -> None:
    gate = threading.Event()

    def record(agent: str, given: Any) -> None:
        gate.wait(60)
        recorder.kpis(agent, {"accuracy": given["accuracy"]})

    changed: dict[str, Any] = {"accuracy": 0.5}
    recorder.later(record, "pickled", changed)
    changed |= {"accuracy": 0.7, "lock": threading.Lock()}
    recorder.later(record, "not pickled", changed)
    gate.set()
    recorder.close()
    found = {each.agent_id: each.accuracy for each in recorded(file) if isinstance(each, KpiSnapshot)}
    assert found == {"pickled": 0.5, "not pickled": 0.7}
    assert recorder.lost == 0


def test_what_is_left_to_the_thread_is_taken_in_order_with_its_method_and_is_no_small_value_meanwhile() -> (
    None
):
    def one(*args: object) -> None: ...
    def other(*args: object) -> None: ...

    handed = handoff.HandOff()
    plain = handoff.Entry("record_system_event", ("noted", 1), {}, 10)
    for record, args in ((one, (1,)), (one, ("x" * 2000,)), (other, (3,))):
        assert handed.put_packed(record, args) is False
    handed.put(plain)
    handed.put_packed(other, (5,))
    packed = [value for value in handed.entries if isinstance(value, bytes)]
    assert len(packed) == 4 and all(len(value) >= handoff.LARGE_BYTES for value in packed)
    assert handed.take(3) + handed.take(100) == [
        handoff.Entry(one, packed[0], {}, handoff.EVENT_WEIGHT + len(packed[0])),
        handoff.Entry(one, packed[1], {}, handoff.EVENT_WEIGHT + len(packed[1])),
        handoff.Entry(other, packed[2], {}, handoff.EVENT_WEIGHT + len(packed[2])),
        plain,
        handoff.Entry(other, packed[3], {}, handoff.EVENT_WEIGHT + len(packed[3])),
    ]
    assert [pickle.loads(value) for value in packed] == [(1,), ("x" * 2000,), (3,), (5,)]
    assert handed.bytes == 0 and handed.lost == 0


def test_what_is_left_to_the_thread_and_finds_no_room_is_lost_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handoff, "MOST_BYTES", 3 * (handoff.EVENT_WEIGHT + handoff.LARGE_BYTES))
    handed = handoff.HandOff()
    for number in range(5):
        handed.put_packed(print, (number,))
    assert handed.lost == 2
    assert [pickle.loads(entry.args) for entry in handed.take(10)] == [(0,), (1,), (2,)]  # type: ignore[arg-type]
    assert handed.put_packed(print, (5,)) is False and len(handed.take(10)) == 1
