"""ClickHouse on a full disk takes nothing, sets nothing aside, and stores each row once there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.worker.test_writer import TOPIC, group_of, progressed, writer_for
from tests.support.disks import fill, small_disk
from tests.support.migrated import copied
from tests.support.outboxes import until
from tests.support.sinks import WIRE, rows


async def test_an_insert_waits_for_room_and_its_rows_are_stored_once(
    tmp_path: Path, migrated_folder: Path
) -> None:
    with small_disk(tmp_path / "disk", 150) as disk:
        (port,) = free_ports(1)
        data = copied(migrated_folder, disk / "clickhouse")
        child = ChildProcess(clickhouse_process(data, port, tmp_path / "clickhouse.log"))
        await child.start()
        try:
            database = ClickHouseSettings(url=f"http://{HOST}:{port}")
            group = group_of(*(WIRE.encode(progressed(iteration=number)) for number in range(200)))
            writer = writer_for(database)
            await writer.insert(group, group.rows[:50], "before")
            filler = fill(disk)
            inserting = asyncio.create_task(writer.insert(group, group.rows[50:], "meanwhile"))
            await until(lambda: writer.trouble)
            assert not inserting.done()
            filler.unlink()
            await asyncio.wait_for(inserting, 30)
            counted = f"SELECT count(), uniqExact(_offset) FROM {TOPIC.table}_rows"
            assert await rows(database, counted) == [(200, 200)]
            await writer.close()
        finally:
            await child.stop()
