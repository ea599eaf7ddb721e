"""`evometrics migrate` as operators run it: from many nodes at once, killed at any moment and run again."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

from evometrics.schemas.events import CustomMetric, Event, field_names
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, open_client
from evometrics.sinks.migrations.files import migrations
from evometrics.sinks.migrations.history import read_history
from evometrics.sinks.migrations.lock import newest_term
from evometrics.sinks.migrations.migrate import migrate, status
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.migrations.test_upgrade import insert, stored, tables_of
from tests.support.sinks import eventually, one_of_each, rows, structure

NODES = 6
KILLS = 3
SEED = 3
#: The command, with a shorter wait for a dead run's lock.
COMMAND = """
import sys
from evometrics.deploy.cli.main import main
from evometrics.sinks.migrations import lock as lock
lock.BEAT_SECONDS, lock.DEAD_SECONDS = 0.2, float(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""


def command(settings: ClickHouseSettings, *flags: str, dead: float = 10.0) -> list[str]:
    """Return the command line of `evometrics migrate` on a database."""
    where = ["--clickhouse-url", settings.url, "--database", settings.database]
    return [sys.executable, "-c", COMMAND, str(dead), "migrate", *where, *flags]


def started(settings: ClickHouseSettings, *flags: str, dead: float = 10.0) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command(settings, *flags, dead=dead), stdout=pipe, stderr=pipe, text=True)


async def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = await asyncio.to_thread(process.communicate, timeout=120)
    return process.returncode, out, err


async def applied(settings: ClickHouseSettings) -> list[int]:
    """Return the numbers of what is applied to the end."""
    client = await open_client(settings)
    history = await read_history(client, settings)
    await client.close()
    return sorted(row.number for row in history.recorded.values() if not row.begun)


async def nothing_is_left(settings: ClickHouseSettings) -> None:
    """Every migration is applied, the lock is given back, and ClickHouse has nothing of it to do any more."""
    assert [s.state for s in await status(settings)] == ["applied"] * len(migrations())
    client = await open_client(settings)
    newest = await newest_term(client, settings)
    await client.close()
    assert newest is not None and newest.ended
    mutations = f"SELECT count() FROM system.mutations WHERE database = '{settings.database}' AND NOT is_done"
    assert await rows(settings, mutations) == [(0,)]


async def test_many_nodes_that_start_at_once_all_succeed(
    empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    nodes = [started(empty_database, "--json") for _ in range(NODES)]
    results = await asyncio.gather(*(finished(node) for node in nodes))
    assert [code for code, _, _ in results] == [0] * NODES, results
    numbers = [number for _, out, _ in results for number in json.loads(out)["applied"]]
    assert numbers == [m.number for m in migrations()]
    assert await structure(empty_database) == whole
    await nothing_is_left(empty_database)


def measured(event: Event) -> Event:
    """Return an event with its memory measured, where it has a figure for that."""
    names = {"memory_mb", "memory_used_mb"} & set(field_names(type(event)))
    return replace(event, **dict.fromkeys(names, 12.0))


async def test_killed_at_random_moments_and_run_again_it_leaves_the_right_tables_and_every_row(
    empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    draw = random.Random(SEED)
    await migrate(empty_database, to=3)
    # that level has no table for custom metrics, and later ones show memory of 0 as unknown
    events = [measured(event) for event in one_of_each("agent-1") if not isinstance(event, CustomMetric)]
    await insert(empty_database, events, offset=1)
    before = await stored(empty_database, tables_of(events))
    unfinished = 0
    for _ in range(KILLS):
        run = started(empty_database, dead=1.0)
        await until_it_has_the_lock(empty_database, run)
        await asyncio.sleep(draw.uniform(0, 0.5))
        run.kill()
        code, out, err = await finished(run)
        assert code in (-9, 0), (out, err)
        unfinished += len(await applied(empty_database)) < len(migrations())
    assert unfinished, "no kill came before the end"
    code, out, err = await finished(started(empty_database, dead=1.0))
    assert code == 0, err
    assert await structure(empty_database) == whole
    assert await stored(empty_database, tables_of(events)) == before
    await nothing_is_left(empty_database)


async def test_one_that_was_stopped_and_taken_for_dead_changes_nothing_when_it_goes_on(
    empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    stopped = started(empty_database, "--json", dead=1.0)
    client = await open_client(empty_database, database="default")

    async def has_begun() -> bool:
        return bool((await read_history(client, empty_database)).recorded)

    await eventually(has_begun, "the run's first statements")
    await client.close()
    stopped.send_signal(signal.SIGSTOP)
    code, out, err = await finished(started(empty_database, "--json", dead=1.0))
    assert code == 0 and "has sent no heartbeat for 1 s; taking over" in err, err
    successors = json.loads(out)["applied"]
    stopped.send_signal(signal.SIGCONT)
    code, out, err = await finished(stopped)
    assert code == 0 and "this run was paused and lost its lock; starting over" in err, err
    assert json.loads(out)["applied"] + successors == [m.number for m in migrations()]
    assert await structure(empty_database) == whole
    await nothing_is_left(empty_database)


async def until_it_has_the_lock(settings: ClickHouseSettings, run: subprocess.Popen[str]) -> None:
    """Wait until a run may change the database, or has ended."""
    client = await open_client(settings, database="default")

    async def has_it() -> bool:
        if run.poll() is not None:
            return True
        try:
            newest = await newest_term(client, settings)
        except CLICKHOUSE_ERRORS:
            return False
        return newest is not None and f"-{run.pid}-" in newest.owner

    await eventually(has_it, "the run's lock")
    await client.close()


async def test_what_cannot_be_done_is_named(empty_database: ClickHouseSettings) -> None:
    await migrate(empty_database, to=3)
    wrong: list[tuple[list[str], int, str]] = [
        (["--status", "--to", "3"], 2, "--status --to 3"),
        (["--status", "--dry-run"], 2, "--status --dry-run"),
        (["--to", "0"], 2, "--to: '0'"),
        (["--to", "999"], 1, "--to 999: there is no migration 0999"),
        (["--to", "2", "--dry-run"], 1, "can't be undone"),
        (["--cluster", "a b"], 2, "cluster='a b'"),
        (["--cluster", "metrics"], 1, "created on a single server"),
    ]
    results = await asyncio.gather(*(finished(started(empty_database, *flags)) for flags, _, _ in wrong))
    for (flags, code, named), result in zip(wrong, results, strict=True):
        assert result[0] == code and named in result[2] and "Traceback" not in result[2], (flags, result)


async def test_it_shows_a_person_what_is_to_be_done_and_does_it(empty_database: ClickHouseSettings) -> None:
    async def told(*flags: str) -> Any:
        code, out, err = await finished(started(empty_database, *flags))
        assert code == 0, err
        return out

    assert await told("--to", "1") == "applied 0001 raw tables\n"
    lines = (await told("--status")).splitlines()
    assert [line.split()[:4] for line in lines[2:4]] == [
        ["0001", "raw", "tables", "applied"],
        ["0002", "derived", "tables", "pending"],
    ]
    dry = await told("--dry-run", "--to", "2")
    assert "-- == 0002_derived_tables\n" in dry and "0003" not in dry and dry.rstrip().endswith(";")
    assert f"CREATE TABLE IF NOT EXISTS {empty_database.database}.success_rates_rows\n" in dry
    statements = json.loads(await told("--dry-run", "--json"))["statements"]
    assert [s["sql"] for s in statements if s["number"] == 2] == migrations()[1].statements(empty_database)
    assert await told("--status") == "\n".join(lines) + "\n"
