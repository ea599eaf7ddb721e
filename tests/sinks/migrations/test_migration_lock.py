"""The lock of the migrations: one at a time, whoever is slow, stopped or dead."""

from __future__ import annotations

import asyncio
import time

import pytest

from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.migrations import lock as migration_lock
from evometrics.sinks.migrations.lock import LockLost, MigrationLock, Term, is_held, newest_term
from evometrics.sinks.migrations.migrate import own_tables
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.sinks import run_statements


@pytest.fixture
def unlocked(empty_database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> ClickHouseSettings:
    """A database with the lock's table; whoever shows no life for a second and a half is dead."""
    monkeypatch.setattr(migration_lock, "BEAT_SECONDS", 0.25)
    monkeypatch.setattr(migration_lock, "DEAD_SECONDS", 1.5)
    monkeypatch.setattr(migration_lock, "POLL_SECONDS", 0.02)
    asyncio.run(run_statements(empty_database, own_tables(empty_database)))
    return empty_database


async def test_of_many_one_at_a_time_has_it(
    unlocked: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_lock, "DEAD_SECONDS", 60.0)
    inside, most, turns = 0, 0, 0

    async def take_turns() -> None:
        nonlocal inside, most, turns
        client = await open_client(unlocked)
        for _ in range(3):
            async with MigrationLock(client, unlocked) as lock:
                inside, turns = inside + 1, turns + 1
                most = max(most, inside)
                await asyncio.sleep(0.01)
                await lock.check()
                inside -= 1
        await client.close()

    await asyncio.gather(*(take_turns() for _ in range(6)))
    assert (most, turns) == (1, 18)
    client = await open_client(unlocked)
    newest = await newest_term(client, unlocked)
    assert newest is not None and (newest.number, newest.ended) == (18, True)
    await client.close()


async def test_of_those_who_claim_a_term_together_one_gets_it(unlocked: ClickHouseSettings) -> None:
    clients = [await open_client(unlocked) for _ in range(8)]
    for _ in range(3):
        newest = await newest_term(clients[0], unlocked)
        locks = [MigrationLock(client, unlocked) for client in clients]
        assert (await asyncio.gather(*(lock.claim(newest) for lock in locks))).count(True) == 1
    for client in clients:
        await client.close()


async def test_a_dead_owner_is_succeeded_and_one_that_was_only_stopped_hears_of_it(
    unlocked: ClickHouseSettings,
) -> None:
    client = await open_client(unlocked)
    stopped = MigrationLock(client, unlocked)
    assert await stopped.claim(None)  # and shows no life from here on
    assert not await is_held(client, unlocked)
    async with MigrationLock(client, unlocked) as successor:
        assert await is_held(client, unlocked)
        await successor.check()
        await stopped.write(98)  # a sign of life that comes too late is none
        with pytest.raises(LockLost, match=successor.owner):
            await stopped.check()
        await stopped.write(99, ended=True)  # what it gives back is not the successor's
        await successor.check()
    await client.close()


async def test_an_owner_asks_only_where_it_may_be_presumed_dead(
    unlocked: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_lock, "DEAD_SECONDS", 3.0)
    client, asked = await open_client(unlocked), list[float]()

    class Counting(MigrationLock):
        async def newest(self) -> Term | None:
            asked.append(time.monotonic())
            return await super().newest()

    async with Counting(client, unlocked) as owner:
        at_first = len(asked)
        for _ in range(8):  # longer than it would be believed alive without a beat
            await owner.check()
            await asyncio.sleep(0.25)
        assert len(asked) == at_first
        assert owner.beating is not None
        owner.beating.cancel()
        await asyncio.sleep(1.75)
        await owner.check()
        assert len(asked) == at_first + 1
    await client.close()


async def test_a_living_owner_is_waited_for_however_long_it_takes(unlocked: ClickHouseSettings) -> None:
    client = await open_client(unlocked)
    async with MigrationLock(client, unlocked) as owner:
        waiting = asyncio.create_task(MigrationLock(client, unlocked).__aenter__())
        done, _ = await asyncio.wait({waiting}, timeout=3 * migration_lock.DEAD_SECONDS)
        assert not done
        await owner.check()
    next_one = await asyncio.wait_for(waiting, 60)
    await next_one.check()
    await next_one.__aexit__(None, None, None)
    await client.close()
