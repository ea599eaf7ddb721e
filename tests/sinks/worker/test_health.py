"""The sink's health: ready notices that ClickHouse is unreachable before any insert; live does not mind."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.process.readiness import answers, live_at
from evometrics.schemas.service.health import HealthSettings, Watchdog
from evometrics.schemas.service.http import HttpAddress
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Rejected
from evometrics.sinks.worker.worker import run_sink
from tests.support.migrated import copied
from tests.support.sinks import Kafka, eventually, one_of_each, running, until_stored


async def test_ready_follows_clickhouse_without_any_insert(
    broker: Kafka, tmp_path: Path, migrated_folder: Path
) -> None:
    port, health_port = free_ports(2)
    data = copied(migrated_folder, tmp_path / "data")
    clickhouse = ChildProcess(clickhouse_process(data, port, tmp_path / "clickhouse.log"))
    await clickhouse.start()
    settings = ClickHouseSettings(url=f"http://127.0.0.1:{port}")
    stop = asyncio.Event()
    address = HttpAddress(health_port)
    health = HealthSettings(4)
    sink = asyncio.create_task(run_sink(broker.settings, settings, broker.sink, address, stop, health))
    ready, live = (f"http://127.0.0.1:{health_port}/health/{path}" for path in ("ready", "live"))

    async def not_ready() -> bool:
        return not await answers(ready)()

    try:
        await eventually(answers(ready), "the sink to be ready")
        assert await answers(f"http://127.0.0.1:{port}/health/ready")()
        assert await answers(f"http://127.0.0.1:{port}/health/live")()
        clickhouse.kill()
        await eventually(not_ready, "the sink to notice that ClickHouse is unreachable")
        # there is work now, and nothing moves; but that is not the fault of the sink
        await broker.send(one_of_each("agent-1"))
        await asyncio.sleep(8)
        assert await answers(live)()
        await clickhouse.start()
        await eventually(answers(ready), "the sink to be ready again")
        await until_stored(settings, "evolution_metrics", 1)
    finally:
        stop.set()
        await sink
        await clickhouse.stop()


async def test_a_sink_that_hangs_with_work_to_do_is_not_live(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    async with running(broker, database) as worker:
        assert worker.cycle is None or worker.cycle.flushing is None
        hung = asyncio.Event()

        async def hang(_: object) -> list[Rejected]:
            await hung.wait()
            return []

        async def connected() -> bool:
            return worker.cycle is not None and worker.waiting_for is None

        await eventually(connected, "the sink to be connected")
        assert worker.cycle is not None
        original, worker.cycle.insert = worker.cycle.insert, hang  # type: ignore[method-assign]
        async with Watchdog("sink", HealthSettings(3), worker.look) as watchdog:
            await broker.send(one_of_each("agent-1"))

            async def not_live() -> bool:
                return watchdog.live() is not None

            await eventually(not_live, "the sink to be called stuck")
            assert "messages are not committed" in (watchdog.live() or "")
            worker.cycle.insert = original  # type: ignore[method-assign]
            hung.set()
            await broker.send(one_of_each("agent-2"))

            async def live() -> bool:
                return watchdog.live() is None

            await eventually(live, "the sink to be live again")
        await worker.lag.close()


async def test_a_part_that_is_not_there_does_not_answer(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    found = await live_at(f"http://127.0.0.1:{port}/health/live")()
    assert (found.answered, found.wrong) == (False, None)
