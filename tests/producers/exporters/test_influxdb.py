"""Completions in InfluxDB: they arrive once, wait for their server, and none is lost in silence."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from evometrics.producers import EvolutionMetricsCollector, InfluxDBBackend
from evometrics.producers.exporters.exporter import TryLater
from evometrics.producers.exporters.influxdb import MOST_LINES, line, target_of
from evometrics.schemas.service.settings import SettingsError
from tests.support.influxdb import TAKEN, StandIn, completion, filled, number_of, stand_in
from tests.support.outboxes import config, until

DEFAULT = "/api/v2/write?bucket=aivillage_evolution&org=aivillage"


@pytest.fixture
def influx() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.mark.parametrize(
    ("query", "arguments", "path", "authorization"),
    [
        ("?db=evo", {}, "/write?db=evo&precision=ns", None),
        (
            "",
            {"token": "t"},
            f"{DEFAULT}&precision=ns",
            "Token t",
        ),
        ("", {"bucket": "b", "org": "o"}, "/api/v2/write?bucket=b&org=o&precision=ns", None),
        ("?bucket=u&org=v", {"bucket": "b"}, "/api/v2/write?bucket=u&org=v&precision=ns", None),
        ("/proxy/write?db=evo&rp=year", {}, "/proxy/write?db=evo&rp=year&precision=ns", None),
    ],
)
def test_the_url_says_which_interface_is_meant(
    influx: StandIn, query: str, arguments: dict[str, str], path: str, authorization: str | None
) -> None:
    filled(influx.url + query, 2, **arguments).send()
    ((request),) = influx.requests
    assert (request.path, request.authorization) == (path, authorization)
    assert [number_of(each) for each in request.lines] == [0, 1]


def test_a_user_in_the_url_becomes_a_header_and_not_a_part_of_the_address(influx: StandIn) -> None:
    filled(f"http://me:p%40ss@127.0.0.1:{influx.port}?db=evo", 1).send()
    assert influx.requests[0].authorization == "Basic bWU6cEBzcw=="
    assert "p@ss" not in target_of("http://me:p%40ss@h?db=x", "", "", "").host


def test_what_was_not_measured_is_left_out_of_the_point() -> None:
    made = line(completion(memory_used_mb=0.0, unmeasured=["memory_used_mb", "network_bytes_transferred"]))
    assert "memory_used_mb" not in made and "network_bytes" not in made and "gpu_memory" not in made
    assert "cpu_percent_avg=0" in made and "improvement_delta=0.25" in made
    unknown = line(completion(pre_kpis={}))
    assert "improvement_delta" not in unknown and "performance_score=0.75" in unknown


def test_no_name_breaks_the_line_and_every_name_stays_apart() -> None:
    made = line(completion(agent_id="a\nb=c,d\\", evolution_id='e "1"\n2'))
    assert "\n" not in made
    assert made.startswith(r"evolution_metrics,agent_id=a\ b\=c\,d\ ,")
    assert r'evolution_id="e \"1\" 2"' in made


def test_two_evolutions_of_one_moment_are_two_points_and_one_sent_again_is_one() -> None:
    first, second = completion(), completion()
    assert line(first) == line(first)
    assert len({line(completion()).rpartition(" ")[2] for _ in range(50)}) > 40
    assert line(first).rpartition(" ")[2].startswith("1700000000000000")
    assert line(second).rpartition(" ")[0] == line(first).rpartition(" ")[0]


def test_of_a_refused_batch_the_good_lines_go_in_and_the_bad_ones_are_named(
    influx: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {3, 250, 251, 999}
    stored: set[int] = set()

    def answer(request: object) -> tuple[int, dict[str, str], str]:
        numbers = {number_of(each) for each in influx.requests[-1].lines}
        stored.update(numbers - bad)  # as InfluxDB does: what it can take of a batch is in
        return (400, {}, '{"error":"partial write: field type conflict"}') if numbers & bad else TAKEN

    influx.answer = answer
    backend = filled(influx.url + "?db=x", 1500)
    with caplog.at_level(logging.ERROR):
        backend.send()
    assert stored == set(range(1500)) - bad
    assert not backend.lines
    assert backend.refused == len(bad)
    assert {number_of(refused) for refused, _ in backend.refused_lines} == bad
    assert all("field type conflict" in reason for _, reason in backend.refused_lines)
    assert len(re.findall(r"permanently refused: 400 .*field type conflict.*e-250\"", caplog.text)) == 1


def test_a_server_lost_while_a_batch_is_sifted_loses_no_line_and_counts_none_twice(influx: StandIn) -> None:
    answers = iter([(400, {}, "partial write"), (500, {}, "down")])
    influx.answer = lambda request: next(answers)
    backend = filled(influx.url + "?db=x", 8)
    with pytest.raises(OSError, match="500 down"):
        backend.send()
    assert [number_of(each) for each in backend.lines] == list(range(8))
    influx.answer = lambda request: TAKEN
    backend.observe(completion(8))
    backend.send()
    assert [number_of(each) for each in influx.requests[-1].lines] == list(range(9))
    assert backend.refused == backend.dropped == 0


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (503, {"Retry-After": "0.5"}, 0.5),
        (503, {}, 5),
        (429, {"Retry-After": "x"}, 5),
    ],
)
def test_a_server_that_asks_for_a_pause_gets_it(
    influx: StandIn, status: int, headers: dict[str, str], seconds: float
) -> None:
    influx.answer = lambda request: (status, headers, "busy")
    backend = filled(influx.url, 3)
    with pytest.raises(TryLater, match=f"{status} busy") as caught:
        backend.send()
    assert caught.value.seconds == seconds
    assert len(backend.lines) == 3


async def test_nothing_is_sent_before_the_pause_has_passed(influx: StandIn) -> None:
    times: list[float] = []
    loop = asyncio.get_running_loop()

    def answer(request: object) -> tuple[int, dict[str, str], str]:
        times.append(loop.time())
        return (429, {"Retry-After": "1"}, "") if len(times) == 1 else TAKEN

    influx.answer = answer
    backend = filled(influx.url, 1, interval=0.05)
    running = asyncio.create_task(backend.run())
    await until(lambda: len(times) >= 2 and not backend.lines)
    running.cancel()
    assert len(times) == 2 and 1.0 <= times[1] - times[0] < 4


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502])
def test_what_the_operator_can_mend_is_waited_for(influx: StandIn, status: int) -> None:
    influx.answer = lambda request: (status, {}, "no")
    backend = filled(influx.url, 2)
    with pytest.raises(OSError, match=f"{status} no"):
        backend.send()
    influx.answer = lambda request: TAKEN
    backend.send()
    assert [number_of(each) for each in influx.requests[-1].lines] == [0, 1]


def test_of_lines_for_a_server_that_stays_away_the_newest_are_kept_in_order() -> None:
    backend = filled("http://127.0.0.1:1?db=x", MOST_LINES - 10)
    for more in range(3):
        with pytest.raises(OSError):
            backend.send()
        for number in range(100):
            backend.observe(completion(MOST_LINES - 10 + 100 * more + number))
    kept = [number_of(each) for each in backend.lines]
    assert len(kept) == MOST_LINES
    assert kept == list(range(290, MOST_LINES + 290))
    assert backend.dropped == 290


async def test_a_collectors_completions_arrive(influx: StandIn, tmp_path: Path) -> None:
    given = config(tmp_path, influxdb_url=influx.url, influxdb_token="secret", flush_interval=0.1)
    collector = EvolutionMetricsCollector(given)
    await collector.start()
    async with collector.evolution('agent "7", a=b', pre_kpis={"accuracy": 0.5}) as run:
        await run.complete(post_kpis={"accuracy": 0.9})
    await collector.stop()
    (made,) = influx.lines
    assert made.startswith('evolution_metrics,agent_id=agent\\ "7"\\,\\ a\\=b,evolution_type=unknown,')
    assert influx.requests[0].authorization == "Token secret"
    assert "secret" not in repr(collector.settings)


def test_without_its_library_the_setting_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evometrics.producers.exporters.influxdb.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"influxdb_url.*evometrics\[influxdb\]"):
        InfluxDBBackend("http://127.0.0.1:8086")
