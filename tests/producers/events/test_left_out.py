"""A bad value costs that value, never the event: it is left out, named in the event, and counted."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import uuid
from collections import namedtuple
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evometrics.producers import AgentKPI, EvolutionMetricsCollector
from evometrics.producers.events.left_out import LEFT_OUT, LeftOut, said
from evometrics.schemas.events import (
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.rules.validation import MAX_EVENT_BYTES
from tests.support.outboxes import waiting


class Kind(enum.Enum):
    NIGHTLY = "nightly"


class Grade(enum.Enum):
    HALF = 0.5


def left_out(event: Event) -> dict[str, str]:
    """Return what an event says was left out of it."""
    metadata: Mapping[str, str] = getattr(event, "metadata")  # noqa: B009
    found: dict[str, str] = json.loads(metadata.get(LEFT_OUT, "{}"))
    return found


async def completed(collector: EvolutionMetricsCollector, **fields: Any) -> EvolutionCompleted:
    """Record a completion of an agent with these fields; return the event."""
    assert await collector.record_evolution_completion(SimpleNamespace(**{"agent_id": "a", **fields}))
    found = [e for e in waiting(collector) if isinstance(e, EvolutionCompleted)][-1]
    assert collector.rejected == 0
    return found


@pytest.mark.parametrize(
    "value",
    [
        1,
        True,
        Decimal("0.5"),
        Fraction(1, 2),
        "0.5",
        np.float32(0.5),
        np.bool_(True),
        np.int8(3),
        np.array(0.5),
        np.array([0.5]),
        Grade.HALF,
    ],
    ids=repr,
)
async def test_a_kpi_may_be_any_number(collector: EvolutionMetricsCollector, value: Any) -> None:
    event = await completed(collector, post_kpis={"x": value})
    wanted = value.value if isinstance(value, Grade) else value
    assert event.post_kpis == {"x": float(np.asarray(wanted, dtype=float).reshape(-1)[0])}
    assert type(event.post_kpis["x"]) is float
    assert not left_out(event)


@pytest.mark.parametrize(
    "value",
    [
        None,
        math.nan,
        -math.inf,
        np.float32("nan"),
        "fast",
        "nan",
        10**400,
        Decimal("NaN"),
        1 + 2j,
        np.complex64(1 + 2j),
        {"deep": 1},
        [0.1, 0.2],
        np.array([0.1, 0.2]),
        object(),
        "9" * 5000,
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_no_number_is_left_out_named_and_counted(
    collector: EvolutionMetricsCollector, value: Any
) -> None:
    event = await completed(collector, post_kpis={"loss": value, "accuracy": 0.8}, success=True)
    assert event.post_kpis == {"accuracy": 0.8}
    (entry,) = left_out(event).items()
    assert entry[0] == "post_kpis[loss]"
    assert entry[1].startswith(said(value))
    assert collector.left_out == {"post_kpis": 1}


async def test_kpis_may_come_in_whatever_holds_names_and_numbers(
    collector: EvolutionMetricsCollector,
) -> None:
    @dataclasses.dataclass
    class Measured:
        accuracy: float = 0.5

    class Exporting:
        def to_dict(self) -> dict[str, float]:
            return {"accuracy": 0.5}

    class Plain:
        def __init__(self) -> None:
            self.accuracy = 0.5
            self._cache = "private"

    pair = namedtuple("pair", ["accuracy"])
    for kpis in (
        MappingProxyType({"accuracy": 0.5}),
        AgentKPI(accuracy=0.5),
        Measured(),
        Exporting(),
        Plain(),
        SimpleNamespace(accuracy=0.5),
        pair(0.5),
        {Kind.NIGHTLY: 1.0, "accuracy": 0.5},
    ):
        event = await completed(collector, post_kpis=kpis)
        assert event.post_kpis["accuracy"] == 0.5, kpis
        assert not left_out(event), kpis


async def test_an_agents_own_id_among_its_kpis_is_none_and_nothing_is_lost_by_that(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(collector, post_kpis={"agent_id": "a", "accuracy": 0.5})
    assert (event.post_kpis, left_out(event)) == ({"accuracy": 0.5}, {})
    event = await completed(collector, post_kpis={"agent_id": "another", "accuracy": 0.5})
    assert list(left_out(event)) == ["post_kpis[agent_id]"]


async def test_ids_and_names_may_be_anything_that_has_a_text(collector: EvolutionMetricsCollector) -> None:
    own = uuid.UUID(int=7)
    await collector.record_evolution_start(
        SimpleNamespace(agent_id=7, evolution_id=own, evolution_type=Kind.NIGHTLY, strategy=Path("a/b"))
    )
    await collector.record_evolution_progress(7, np.int64(0), 0.5, evolution_id=own)
    await collector.record_evolution_completion(
        SimpleNamespace(agent_id=np.int32(7), evolution_id=str(own), success=True, risk_level=b"low")
    )
    assert not collector.active_collections
    started, progressed, done = [e for e in waiting(collector) if not isinstance(e, KpiSnapshot)]
    assert isinstance(started, EvolutionStarted)
    assert isinstance(progressed, EvolutionProgressed)
    assert isinstance(done, EvolutionCompleted)
    assert {e.agent_id for e in (started, progressed, done)} == {"7"}
    assert {e.evolution_id for e in (started, progressed, done)} == {str(own)}
    assert (done.evolution_type, done.strategy_used, done.risk_level) == ("nightly", "a/b", "low")


async def test_zero_is_an_id(collector: EvolutionMetricsCollector) -> None:
    async with collector.evolution(0, evolution_id=0) as run:
        await run.progress(fitness=0.1)
        await run.complete()
    assert {(e.agent_id, getattr(e, "evolution_id")) for e in waiting(collector)} == {("0", "0")}  # noqa: B009


async def test_a_name_too_long_to_group_by_is_cut_and_an_id_stays_unique(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(collector, strategy="s" * 5000, evolution_id="e" * 5000)
    assert event.strategy_used == "s" * 1000
    assert list(left_out(event)) == ["strategy_used"]
    other = await completed(collector, evolution_id="e" * 5000 + "x")
    assert len(event.evolution_id) <= 1000 and event.evolution_id != other.evolution_id


async def test_text_that_utf8_cannot_hold_is_written_as_an_escape(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(collector, agent_id="a\ud800", insights=["\udfff!"], metadata={"k\ud800": "é"})
    assert (event.agent_id, event.insights) == ("a\\ud800", ["\\udfff!"])
    assert event.metadata == {"k\\ud800": "é"}
    assert await collector.record_system_event("x\ud800", {"agent_id": "\ud800"})


@pytest.mark.parametrize(
    "when",
    [
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        "2026-03-01T13:00:00+01:00",
        1772366400,
        np.float64(1772366400),
        Decimal(1772366400),
        np.datetime64("2026-03-01T12:00:00"),
        np.datetime64(1772366400_000_000_000, "ns"),
    ],
    ids=repr,
)
async def test_a_time_may_be_a_datetime_or_seconds(collector: EvolutionMetricsCollector, when: Any) -> None:
    event = await completed(collector, timestamp=when, duration_seconds=timedelta(minutes=2))
    assert event.occurred_at == 1772366400_000_000
    assert (event.started_at, event.duration_seconds) == (1772366280_000_000, 120.0)


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        (1772366400_000, "milliseconds; give seconds"),
        (1772366400_000_000, "microseconds; give seconds"),
        (1772366400_000_000_000, "nanoseconds; give seconds"),
        (4e9, "more than a day ahead"),
        (-5, "before 1970"),
        (math.nan, "not a time"),
        ("soon", "not a time"),
        (True, "not a time"),
        ([], "not a time"),
    ],
)
async def test_a_time_that_cannot_be_is_named_and_now_is_taken(
    collector: EvolutionMetricsCollector, when: Any, reason: str
) -> None:
    before = datetime.now(UTC).timestamp()
    event = await completed(collector, timestamp=when)
    assert before - 0.1 <= event.occurred_at / 1e6 <= before + 10
    (said_of,) = left_out(event).values()
    assert reason in said_of and said(when) in said_of


@pytest.mark.parametrize(
    ("fields", "status", "noted"),
    [
        ({"success": True}, "succeeded", []),
        ({"success": False}, "failed", []),
        ({}, "failed", []),
        ({"success": "false"}, "failed", []),
        ({"success": np.bool_(True)}, "succeeded", []),
        ({"success": [], "status": "Succeeded"}, "succeeded", ["success"]),
        ({"success": np.array([1, 2])}, "failed", ["success"]),
        ({"status": "failed", "success": True}, "failed", ["success"]),
        ({"status": "rolled-back"}, "rolled_back", []),
        ({"status": "succeeded", "rollback_performed": True}, "succeeded", ["rollback_performed"]),
        ({"rollback_performed": True, "success": True}, "rolled_back", ["success"]),
        ({"rollback_performed": True, "success": False}, "rolled_back", []),
        ({"status": "failed", "rollback_performed": True}, "failed", []),
        ({"status": "done", "success": True}, "succeeded", ["status"]),
        ({"status": 7}, "failed", ["status"]),
    ],
)
async def test_status_success_and_rollback_never_contradict_each_other(
    collector: EvolutionMetricsCollector, fields: dict[str, Any], status: str, noted: list[str]
) -> None:
    event = await completed(collector, **fields)
    assert (event.status, event.success) == (status, status == "succeeded")
    assert not (event.success and event.rollback_performed)
    assert event.rollback_performed or status != "rolled_back"
    assert list(left_out(event)) == noted


async def test_insights_may_be_one_text_and_a_trajectory_any_numbers(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(
        collector, insights="error: diverged", fitness_trajectory=(x for x in (0.1, "0.4", None, 0.2))
    )
    assert (event.insights, event.error_count) == (["error: diverged"], 1)
    assert (event.fitness_trajectory, event.convergence_iterations) == ([0.1, 0.4, 0.2], 2)
    assert list(left_out(event)) == ["fitness_trajectory[2]"]


async def test_an_attribute_that_raises_counts_as_absent(collector: EvolutionMetricsCollector) -> None:
    class Lazy:
        agent_id = "a"
        success = True

        @property
        def post_evolution_kpis(self) -> dict[str, float]:
            raise ConnectionError("the evaluation server is away")

        @property
        def duration_seconds(self) -> float:
            raise ZeroDivisionError

    assert await collector.record_evolution_completion(Lazy())
    (event,) = waiting(collector)
    assert isinstance(event, EvolutionCompleted)
    assert (event.success, event.post_kpis) == (True, {})
    assert set(left_out(event)) == {"post_evolution_kpis", "duration_seconds"}
    assert "the evaluation server is away" in left_out(event)["post_evolution_kpis"]


async def test_an_event_may_be_a_mapping_or_keywords_and_what_no_event_knows_is_metadata(
    collector: EvolutionMetricsCollector,
) -> None:
    await collector.record_evolution_completion({"agent_id": "m", "success": True, "seed": 7})
    await collector.record_evolution_completion(agent_id="k", status="failed", post_kpis={"x": 1})
    tagged = SimpleNamespace(agent_id="o", metadata={"tag": "x"})
    await collector.record_evolution_completion(tagged, success=True, note="late")
    await collector.record_evolution_start(evolution_event={"agent_id": "s", "strategy": "tune"})
    events = [e for e in waiting(collector) if not isinstance(e, KpiSnapshot)]
    assert [(e.agent_id, getattr(e, "success", None)) for e in events] == [
        ("m", True),
        ("k", False),
        ("o", True),
        ("s", None),
    ]
    assert [getattr(e, "metadata") for e in events] == [{"seed": "7"}, {}, {"tag": "x", "note": "late"}, {}]  # noqa: B009


async def test_progress_is_recorded_with_what_it_says(collector: EvolutionMetricsCollector) -> None:
    async with collector.evolution("a") as run:
        await run.progress()
        await run.progress(fitness=math.nan)
        await run.progress("third", 0.5)
        await run.progress(7, "0.75")
    events = [e for e in waiting(collector) if isinstance(e, EvolutionProgressed)]
    assert [(e.iteration, e.fitness, e.unmeasured) for e in events] == [
        (0, 0.0, ["fitness"]),
        (1, 0.0, ["fitness"]),
        (2, 0.5, []),
        (7, 0.75, []),
    ]
    assert [list(left_out(e)) for e in events] == [[], ["fitness"], ["iteration"], []]
    done = [e for e in waiting(collector) if isinstance(e, EvolutionCompleted)][-1]
    assert done.fitness_trajectory == [0.5, 0.75], "only what was measured"


async def test_a_snapshot_names_what_it_lost(collector: EvolutionMetricsCollector) -> None:
    await collector.record_kpi_snapshot(
        "a", {"accuracy": math.inf, "own": 2, "evaluation_count": 2.5}, phase="x"
    )
    (event,) = waiting(collector)
    assert isinstance(event, KpiSnapshot)
    assert (event.accuracy, event.extra, event.phase, event.evaluation_count) == (
        None,
        {"own": 2.0, "evaluation_count": 2.5},
        "continuous",
        None,
    )
    assert set(left_out(event)) == {"kpis[accuracy]", "phase"}


class Endless(Mapping[str, Any]):
    """A mapping that never ends, and holds itself."""

    def __getitem__(self, key: str) -> Any:
        return self

    def __iter__(self) -> Iterator[str]:
        return map(str, count())

    def __len__(self) -> int:
        return 3


async def test_system_events_take_any_data(collector: EvolutionMetricsCollector) -> None:
    cyclic: dict[str, Any] = {"x": 1}
    cyclic["self"] = cyclic
    doubling: list[Any] = [1]
    for _ in range(40):
        doubling = [doubling, doubling]
    data: list[Any] = [
        {"load": math.nan, "at": datetime(2026, 1, 1, tzinfo=UTC), "path": Path("x"), 3: {4}},
        cyclic,
        doubling,
        Endless(),
        {"big": 10**5000},
        {"array": np.arange(3)},
        object(),
        "text",
        "y" * 3_000_000,
        b"\xff",
    ]
    for each in data:
        assert await collector.record_system_event("any", each), said(each)
    assert await collector.record_system_event("", {})
    assert await collector.record_system_event(None)
    events = [e for e in waiting(collector) if isinstance(e, SystemEvent)]
    found = [json.loads(e.data) for e in events]
    assert found[0]["load"] is None and found[0]["at"] == "2026-01-01T00:00:00+00:00"
    assert found[0]["3"] == [4]
    assert found[0][LEFT_OUT] == {"data[load]": "nan: is not a JSON number"}
    assert found[1]["x"] == 1 and LEFT_OUT in found[1]
    assert found[5] == {"array": [0, 1, 2]}
    assert found[7] == "text"
    assert len(found) == len(data) + 2
    assert [e.event_type for e in events[-2:]] == ["unknown", "unknown"]
    assert collector.rejected == 0


async def test_what_is_too_large_for_an_event_is_thinned_or_cut(collector: EvolutionMetricsCollector) -> None:
    rising = [float(i) for i in range(400_000)]
    rising[123_456] = 1e9
    event = await completed(collector, fitness_trajectory=rising)
    kept = event.fitness_trajectory
    assert (kept[0], max(kept), kept[-1]) == (0.0, 1e9, 399_999.0)
    assert 10_000 < len(kept) < 125_000
    assert event.convergence_iterations == 123_457
    assert list(left_out(event)) == ["fitness_trajectory"]

    event = await completed(
        collector,
        trigger_reason="r" * 3_000_000,
        metadata={f"key-{i}": "v" * 100 for i in range(30_000)},
        post_kpis={f"kpi-{i}": float(i) for i in range(80_000)},
        insights=["i" * 2_000_000],
    )
    assert event.trigger_reason.startswith("rrr") and event.insights[0].startswith("iii")
    assert len(event.post_kpis) > 100 and len(event.metadata) > 100
    assert {"trigger_reason", "post_kpis", "insights"} <= set(left_out(event))
    assert len(collector.encoder.encode(event, LeftOut())) <= MAX_EVENT_BYTES


async def test_a_very_long_run_keeps_first_last_and_best_of_its_fitness(
    collector: EvolutionMetricsCollector,
) -> None:
    async with collector.evolution("long") as run:
        active = collector.active_collections[run.evolution_id]
        for i in range(300_000):
            active.fitness.append(2.0 if i == 100_001 else i / 300_000)
        active.reported = 300_000
    done = waiting(collector)[-1]
    assert isinstance(done, EvolutionCompleted)
    kept = done.fitness_trajectory
    assert (kept[0], max(kept), kept[-1]) == (0.0, 2.0, 299_999 / 300_000)
    assert kept.index(2.0) == next(i for i, value in enumerate(kept) if value > 100_001 / 300_000)
    assert done.convergence_iterations == 100_002
    assert list(left_out(done)) == ["fitness_trajectory"]


async def test_many_bad_values_are_counted_and_the_first_of_them_named(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(collector, post_kpis={f"k{i}": None for i in range(500)})
    named = left_out(event)
    assert len(named) == 51 and named["more"] == "450 further values"
    assert collector.left_out == {"post_kpis": 500}


async def test_what_does_not_even_answer_whether_it_is_true_ends_no_evolution(
    collector: EvolutionMetricsCollector,
) -> None:
    class Unsure:
        def __bool__(self) -> bool:
            raise RuntimeError("ask me later")

    for given in ({"rollback_performed": Unsure()}, {"success": Unsure()}, {"status": Unsure()}):
        async with collector.evolution("a") as run:
            await run.complete(**given)
    statuses = [e.status for e in waiting(collector) if isinstance(e, EvolutionCompleted)]
    assert statuses == ["succeeded", "failed", "failed"]


async def test_counts_of_errors_that_are_given_win_over_those_of_the_insights(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(collector, error_count=2, warning_count="3", insights=["error: one"])
    assert (event.error_count, event.warning_count) == (2, 3)


@pytest.mark.parametrize(
    ("word", "kept"),
    [("success", True), ("OK", True), ("on", True), ("Failed", False), (b"False", False), (b"true", True)],
)
async def test_success_may_be_a_word(collector: EvolutionMetricsCollector, word: Any, kept: bool) -> None:
    event = await completed(collector, success=word)
    assert (event.success, left_out(event)) == (kept, {})


async def test_keywords_that_nothing_has_are_metadata_at_every_door(
    collector: EvolutionMetricsCollector,
) -> None:
    async with collector.evolution("a", island=3) as run:
        await run.progress(fitness=0.5, temperature=0.7)
        await run.complete(error_message="none")
    await collector.record_kpi_snapshot("a", {"x": 1}, source="probe")
    events = {e.record: getattr(e, "metadata") for e in waiting(collector)}  # noqa: B009
    assert events["evolution_started"] == {"island": "3"}
    assert events["evolution_progressed"] == {"temperature": "0.7"}
    assert events["evolution_completed"] == {"island": "3", "error_message": "none"}
    assert events["kpi_snapshot"] == {"source": "probe"}


async def test_metadata_of_its_own_is_kept_with_and_without_what_nothing_has(
    collector: EvolutionMetricsCollector,
) -> None:
    own = {"tag": "x"}
    for more in ({}, {"seed": 7}, {"seed": 7, "tag": "y"}):
        await collector.record_evolution_completion({"agent_id": "m", "metadata": own, **more})
    async with collector.evolution("a", metadata=own) as run:
        await run.complete(metadata=own)
    assert own == {"tag": "x"}
    found = [getattr(e, "metadata") for e in waiting(collector)]  # noqa: B009
    with_seed = {"tag": "x", "seed": "7"}
    assert found == [own, with_seed, with_seed, own, own], "own metadata win over other entries"


async def test_durations_of_numpy_and_insights_by_name_are_taken(
    collector: EvolutionMetricsCollector,
) -> None:
    event = await completed(
        collector, duration_seconds=np.timedelta64(90, "s"), insights={"error": "diverged"}
    )
    assert (event.duration_seconds, event.insights, event.error_count) == (90.0, ["error: diverged"], 1)


async def test_an_event_may_tell_itself_by_a_dictionary_alone(collector: EvolutionMetricsCollector) -> None:
    class Told:
        def to_dict(self) -> dict[str, Any]:
            return {"agent_id": "told", "success": True, "loss": 0.5}

    assert await collector.record_evolution_completion(Told())
    (event,) = waiting(collector)
    assert isinstance(event, EvolutionCompleted)
    assert (event.agent_id, event.success, event.metadata) == ("told", True, {"loss": "0.5"})
