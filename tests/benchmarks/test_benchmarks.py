"""What the benchmarks rest on: events that are valid, unique and full-size, and figures that are right."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from evometrics.schemas.kpis.performance import KPI_NAMES
from evometrics.schemas.rules.validation import validate
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.streams.formulas.calculations import wilson_interval
from evometrics.streams.formulas.windows import WINDOWS, Scope, success_rate
from evometrics.streams.states.window_counts import WindowCounts
from tests.benchmarks import __main__ as command_line
from tests.benchmarks import before as earlier
from tests.benchmarks.before import figures, this
from tests.benchmarks.checks import Expected, WorkNotDone, check_rates
from tests.benchmarks.compiled import Slice
from tests.benchmarks.events import CHUNK, SECOND, TRAJECTORY, Events, start_of
from tests.benchmarks.figures import Round, compared, percentile, rounded, spread, waits
from tests.benchmarks.settings import Settings
from tests.benchmarks.slices import PARTS
from tests.benchmarks.table import tables
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import Sample, TooShort, whole_span, work_span

COUNT = CHUNK + 500


@pytest.fixture(scope="module")
def events() -> Events:
    return Events(seed=7, agents=50, begin=begin_of(COUNT))


def test_generated_bytes_are_those_of_the_wire_format(events: Events) -> None:
    for made, done in zip(events.made(0, 300), events.completed(0, 300), strict=True):
        assert events.wire.encode(done) == made.value
        assert made.key == done.key.encode()


def test_generated_events_are_valid_unique_and_full_size(events: Events) -> None:
    found = events.completed(0, COUNT)
    assert len({done.event_id for done in found}) == len({done.evolution_id for done in found}) == COUNT
    assert len({done.agent_id for done in found}) == 50
    for done in found[:300]:
        validate(done)
        validate(start_of(done, done.event_id))
        assert set(done.pre_kpis) == set(done.post_kpis) == set(KPI_NAMES)
        assert len(done.fitness_trajectory) == TRAJECTORY
        assert len(done.insights) > 1
        assert done.metadata
    assert len({struct.pack("<32d", *e.pre_kpis.values(), *e.post_kpis.values()) for e in found}) == COUNT


def test_an_event_is_the_same_wherever_one_begins_to_generate(events: Events) -> None:
    again = Events(seed=7, agents=50, begin=events.begin)
    assert list(again.made(CHUNK - 3, 6)) == list(events.made(0, CHUNK + 3))[-6:]
    other = Events(seed=8, agents=50, begin=events.begin)
    assert next(other.made(0, 1)).value != next(events.made(0, 1)).value


def test_expected_rates_are_those_of_one_count_after_the_other(events: Events) -> None:
    expected, found = Expected(events, COUNT), events.completed(0, COUNT)
    rates = []
    for scope in expected.scopes():
        counts = WindowCounts(WINDOWS)
        field = {"agent": "agent_id", "strategy": "strategy_used", "node": "node_id"}.get(
            scope.kind, scope.kind
        )
        for done in found:
            if scope.kind == "fleet" or getattr(done, field) == scope.value:
                counts.add(done.occurred_at, done.success, 0)
        for window, totals in zip(WINDOWS, counts.counts, strict=True):
            rates.append(success_rate(scope, window, totals, max(totals)))
            attempts, successes = rates[-1].attempts, rates[-1].successes
            assert expected.newest(scope, window) == (rates[-1].window_end, attempts, successes)
    check_rates(rates, expected)
    rates[0].attempts -= 1
    with pytest.raises(WorkNotDone, match="fleet"):
        check_rates(rates, expected)
    assert wilson_interval(1, 2)[0] < 0.5 < wilson_interval(1, 2)[1]
    assert Scope("fleet", "all") in expected.scopes()


def test_begin_lies_in_the_past_and_at_the_start_of_a_step() -> None:
    begin = begin_of(1_000_000)
    assert begin % (6 * 3600 * SECOND) == 0
    assert EVOLUTION_COMPLETED.name.endswith("completed")


def test_percentiles_and_spreads() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([3.0], 0.99) == 3.0
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert waits([0.001, 0.003, 0.002]) == {"p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0}
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_span_begins_at_the_first_output_and_ends_where_all_is_there() -> None:
    counts = [(0, 0), (10, 5), (60, 9), (60, 20), (60, 20)]
    samples = [Sample(float(n), each, {"us": n / 10}) for n, each in enumerate(counts)]
    span = work_span(samples)
    assert (span.events, span.seconds) == (50, 2.0)
    assert span.events_per_s == 25
    assert span.cpu_us_per_event["us"] == pytest.approx(4000)
    assert span.cores["us"] == pytest.approx(0.1)
    assert (whole_span(samples).events, whole_span(samples).seconds) == (60, 3.0)
    with pytest.raises(TooShort):
        work_span(samples, not_before=3.0)


def test_a_comparison_has_medians_ratios_and_every_round() -> None:
    ours = [
        Round(100.0, {"us": 1.0}),
        Round(300.0, {"us": 3.0}),
        Round(200.0, {"us": 2.0}, {"events": 10, "seconds": 4.0}),
    ]
    report = compared("us", {"us": ours, "them": [Round(50.0), Round(50.0, {}, {"events": 1})]}, events=10)
    assert report["events_per_s"] == 200.0
    assert report["ratio"] == {"them": 4.0}
    found = report["contenders"]["us"]
    assert found["events_per_s"] == {"median": 200.0, "min": 100.0, "max": 300.0}
    assert found["rounds"] == [100.0, 300.0, 200.0]
    assert found["cpu_us_per_event"] == {"us": 2.0}
    assert found["seconds"] == 4.0
    assert json.loads(json.dumps(report)) == report
    text = tables("stream", report | {"machine": {"cores": 2, "load_before": 0.5}})
    assert "4 times as fast" in text
    assert "them" in text


def test_figures_say_no_more_than_was_measured() -> None:
    assert rounded({"a": 1234567.8, "b": [0.000123456], "c": 3, "d": 0.0}) == {
        "a": 1234568.0,
        "b": [0.0001235],
        "c": 3,
        "d": 0.0,
    }


def test_a_missing_library_is_named_and_nothing_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command_line.main(["stream", "--folder", str(tmp_path)]) == 2
    assert "quixstreams" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_benchmark_that_fails_has_an_error_and_the_next_one_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def measure(module: Any, _: Settings) -> dict[str, Any]:
        if module.__name__.endswith("stream"):
            raise WorkNotDone("3 rows, not 4")
        return {"events_per_s": 5.0}

    monkeypatch.setattr(command_line, "measure", measure)
    monkeypatch.setattr(command_line, "needed", lambda module: [])
    assert command_line.main(["stream", "growth", "--json", "--folder", str(tmp_path)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {"stream": {"error": "3 rows, not 4"}, "growth": {"events_per_s": 5.0}}


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["nonsense"])
    assert "scale-out" in capsys.readouterr().err


@pytest.mark.parametrize("part", PARTS)
def test_a_slice_works_as_often_as_it_is_told_to(part: str) -> None:
    with Slice(part, this()) as mine:
        assert 0.1 < mine.microseconds() < 10_000
        assert 0.1 < mine.microseconds() < 10_000


def test_a_slice_that_ends_is_named() -> None:
    with pytest.raises(RuntimeError, match="no_such_part"), Slice("no_such_part", this()):
        pass


def test_figures_of_a_report_are_named_by_where_they_stand() -> None:
    told = {
        "events_per_s": 10,
        "contenders": {"us": {"events_per_s": {"median": 2.5, "min": 2, "max": 3}, "rounds": [2, 3]}},
        "parts": [{"part": "kafka", "cores": 0.5, "right": True}, {"cores": 1.5}],
        "machine": {"cores": 2},
    }
    assert dict(figures(told)) == {
        "events_per_s": 10.0,
        "contenders us events_per_s median": 2.5,
        "parts kafka cores": 0.5,
        "parts 1 cores": 1.5,
    }


def test_two_builds_take_turns_and_are_compared_by_their_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"old": [100.0, 90.0, 500.0], "new": [200.0, 210.0, 50.0]}
    turns = []

    def told(build: str, name: str, arguments: list[str]) -> dict[str, Any]:
        turns.append(build)
        return {"events_per_s": speeds[build][len(turns) // 2 - (build == "new")], build: 1.0}

    monkeypatch.setattr(earlier, "before", lambda commit: "old")
    monkeypatch.setattr(earlier, "this", lambda: "new")
    monkeypatch.setattr(earlier, "one_round", told)
    rows = earlier.beside("abc", "stream", [], 3)["figures"]
    assert turns == ["old", "new"] * 3
    assert rows == [{"figure": "events_per_s", "before": 100.0, "now": 200.0, "times": 2.0}]
