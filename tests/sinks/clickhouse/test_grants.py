"""The rights of each role against the statements that its commands send: none is missing, none too many."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry

from evometrics.deploy.history.known import known_ids
from evometrics.deploy.history.staging import Staged
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS, TOPICS
from evometrics.schemas.wire.catalog import writer_schema
from evometrics.sinks.checksums import checksums
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.clickhouse.grants import ALL, ASKED_VIEWS, ROLES, VIEWS, DatabaseRole, grants
from evometrics.sinks.clickhouse.users import make_users
from evometrics.sinks.letters.letters import Letters, Selection
from evometrics.sinks.migrations.migrate import migrate, status
from evometrics.sinks.migrations.registered import fit_registered
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.raw.tables import RawSelection, RawTables
from evometrics.sinks.retention import keep, show
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.writer import TableWriter
from tests.sinks.raw.test_raw_events import fill
from tests.sinks.replay.test_replay import BEGIN, Stored, replayed
from tests.support.changed_schemas import optional, with_fields
from tests.support.clickhouse_front import running_front
from tests.support.generator import Load, history
from tests.support.sinks import WIRE, one_of_each, rows, sent
from tests.support.stack import evometrics_here

COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'", re.DOTALL)
READ = re.compile(r"\b(?:FROM|JOIN)\s+([A-Za-z_][\w.]*)(?!\w*\()")
NAMED = re.compile(r"\b(\w+) AS \(")
CHANGES = {
    "ADD COLUMN": "ALTER ADD COLUMN",
    "MODIFY COLUMN": "ALTER MODIFY COLUMN",
    "COMMENT COLUMN": "ALTER COMMENT COLUMN",
    "ADD CONSTRAINT": "ALTER CONSTRAINT",
    "DROP CONSTRAINT": "ALTER CONSTRAINT",
    "ADD INDEX": "ALTER ADD INDEX",
    "MATERIALIZE INDEX": "ALTER MATERIALIZE INDEX",
    "MODIFY SETTING": "ALTER SETTINGS",
    "MODIFY SQL SECURITY": "ALTER VIEW MODIFY SQL SECURITY",
    "MODIFY TTL": "ALTER TTL",
}
Needed = set[tuple[str, str]]


def needed(statement: str, database: str) -> Needed:
    """Return the privileges that a statement of ours needs, each with the name of a table of the database."""
    text = COMMENT.sub(" ", statement)
    text = " ".join(text.replace(f"{database}.", "").split())
    text = text.removeprefix("DESCRIBE TABLE ").lstrip("( ")
    found: Needed = {("SELECT", name) for name in set(READ.findall(text)) - set(NAMED.findall(text))}
    match text.split()[0], text.split()[1]:
        case "SELECT" | "WITH", _:
            pass
        case "INSERT", _:
            (table,) = re.findall(r"^INSERT INTO (?:TABLE )?`?([\w.]+)", text)
            found.add(("INSERT", table))
        case "DELETE", _:
            (table,) = re.findall(r"^DELETE FROM ([\w.]+)", text)
            found.add(("ALTER DELETE", table))
        case "DROP", "TABLE":
            (table,) = re.findall(r"^DROP TABLE IF EXISTS (\w+)", text)
            found.add(("DROP TABLE", table))
        case "CREATE", "DATABASE":
            found.add(("CREATE DATABASE", ALL))
        case "CREATE", "TABLE":
            (table,) = re.findall(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text)
            found.add(("CREATE TABLE", table))
            found |= {("TABLE ENGINE", engine) for engine in re.findall(r"ENGINE = (\w+)", text)}
            if re.search(r"\bSELECT\b", text):
                found.add(("INSERT", table))
            if copied := re.search(r"\bAS (\w+_rows)$", text):
                found.add(("SELECT", copied[1]))
        case "CREATE", "VIEW" | "OR":
            (table,) = re.findall(r"^CREATE (?:OR REPLACE )?VIEW (?:IF NOT EXISTS )?(\w+)", text)
            found |= {("CREATE VIEW", table)} | ({("DROP VIEW", table)} if "OR REPLACE" in text else set())
        case "ALTER", "TABLE":
            table, rest = re.findall(r"^ALTER TABLE (\w+) (.*)", text)[0]
            commands = re.findall(rf"\b({'|'.join(CHANGES)})\b", rest)
            assert commands, statement
            found |= {(CHANGES[command], table) for command in commands}
        case _:
            raise AssertionError(f"a statement of a kind that is not known here: {statement[:200]}")
    return found


def granted(role: DatabaseRole, privilege: str, table: str) -> bool:
    if privilege == "TABLE ENGINE":
        return role.engines
    return any(
        privilege in grant.privileges
        and (table in grant.on or (ALL in grant.on and not table.startswith("system.")))
        for grant in role.grants
    )


@contextmanager
def as_role(part: str, database: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    """Give the database through a proxy; hold what was asked of it then against the rights of a role."""
    (role,) = (role for role in ROLES if role.part == part)
    with running_front(database.url) as front:
        yield dataclasses.replace(database, url=front.url)
    asked = [(each, text) for text, _ in front.statements for each in needed(text, database.database)]
    lacking = {(each, text[:200]) for each, text in asked if not granted(role, *each)}
    assert not lacking, lacking
    had = {privilege for grant in role.grants for privilege in grant.privileges}
    assert had - {privilege for (privilege, _), _ in asked} == set()


async def test_migrate(empty_database: ClickHouseSettings) -> None:
    newer = writer_schema("kpi_delta", 0, with_fields("kpi_delta", optional("loss", "double")))
    with as_role("migrator", empty_database) as migrator:
        await migrate(migrator)
        await status(migrator)
        assert await fit_registered(migrator, {BY_RECORD["kpi_delta"].table: newer}) == ["kpi_deltas"]
        assert await fit_registered(migrator, {BY_RECORD["kpi_delta"].table: newer}) == []


async def test_writer(database: ClickHouseSettings) -> None:
    with as_role("writer", database) as sink:
        await fill(sink, [sent(event, offset=1) for event in one_of_each("a")])
        writer = TableWriter(sink, Instruments(CollectorRegistry(), OF_SINK))
        for topic in TOPICS:
            assert len(await writer.stored_events(topic.table, 0, 0, 5)) == 1
        await writer.close()


async def test_reader(database: ClickHouseSettings) -> None:
    await fill(database, [sent(event, offset=1) for event in one_of_each("a")])
    with as_role("reader", database) as analyst:
        async with MetricsQuery(analyst) as metrics:
            assert len(await metrics.get_agent_evolution_history("a")) == 1
            await metrics.get_top_performing_evolutions()
            await metrics.get_evolution_success_rate("a")
            for view in VIEWS:
                await metrics.sql(f"SELECT * FROM {view} LIMIT 1")
        await checksums(analyst)
        async with Letters(analyst) as letters:
            found = await letters.find(Selection())
            assert len(found) == 1 and (await letters.count(Selection())).messages == 1
            assert [len(page) async for page in letters.messages(found)] == [1]


async def test_replay(database: ClickHouseSettings) -> None:
    stored = Stored(database)
    await stored.put(history(Load(seed=8, begin=BEGIN, agents=4, evolutions=12, nodes=1)))
    metrics = stored.derived("evolution_metrics")
    await stored.put_derived(dataclasses.replace(metrics[0], occurred_at=metrics[0].occurred_at + 1))
    with as_role("replay", database) as replay:
        found = await replayed(replay, apply=True)
        assert found["evolution_metrics"].counts["gone"] == 1


async def test_retention(database: ClickHouseSettings) -> None:
    with as_role("retention", database) as retention:
        for topic in TOPICS:
            await keep(retention, topic.table, 100)
        assert {each.days for each in await show(retention)} == {100}


async def test_rows(database: ClickHouseSettings) -> None:
    events = one_of_each("a")
    await fill(database, [sent(event, offset=1) for event in events])
    staged = [
        Staged(event.event_id, event.occurred_at, topic.name, "a", WIRE.encode(event), topic.table, False)
        for event in events
        if (topic := BY_RECORD[event.record]) in RAW_TOPICS
    ]
    with as_role("rows", database) as reader:
        async with RawTables(reader, RawSelection(), WIRE) as tables:
            await tables.identity()
            await tables.check_known()
            bounds = await tables.bounds()
            assert bounds is not None and sum((await tables.counts(bounds[0])).values()) > 0
            assert [len(part) async for part in tables.slices(bounds[0], bounds[1] + 1, 100)] != [0]
        client = await open_client(reader)
        assert await known_ids(client, staged) == {each.event_id for each in staged}
        again = [each._replace(event_id=new_event_id()) for each in staged]
        assert await known_ids(client, again) == set()
        await client.close()


async def test_every_view_reads_with_its_makers_rights(migrated: ClickHouseSettings) -> None:
    sql = (
        "SELECT name, create_table_query LIKE '% SQL SECURITY DEFINER %' FROM system.tables "
        f"WHERE database = '{migrated.database}' AND engine = 'View'"
    )
    assert dict(await rows(migrated, sql)) == dict.fromkeys((*VIEWS, *ASKED_VIEWS), 1)


@pytest.mark.parametrize("cluster", ["", "metrics", "{cluster}"])
async def test_clickhouse_reads_every_statement(clickhouse: str, cluster: str) -> None:
    settings = ClickHouseSettings(url=clickhouse, database="d", cluster=cluster)
    client = await open_client(settings, database="default")
    statements = [each for _, some in grants(settings) for each in some]
    assert len(statements) == len(set(statements))
    for statement in statements:
        ((read,),) = (
            await client.query("SELECT formatQuerySingleLine({sql:String})", parameters={"sql": statement})
        ).result_rows
        assert ("ON CLUSTER" in read) == bool(cluster), read
    await client.close()
    rights = " ".join(statements)
    assert "CREATE SETTINGS PROFILE IF NOT EXISTS d_reader" in rights and "readonly = 2" in rights
    assert "TO d_reader" not in rights.partition("GRANT d_migrator")[2], "its profile binds whoever has it"
    assert ("d.evolution_started_rows_local TO d_writer" in rights) == bool(cluster)


async def test_roles_are_made_by_what_is_printed_and_making_them_again_changes_nothing(
    clickhouse: str,
) -> None:
    """Before a proxy that takes the statements, which the engine's parser reads."""
    with running_front(clickhouse, roles={"d_writer", "other"}) as front:
        settings = ClickHouseSettings(url=front.url, database="d")
        made = await make_users(settings)
        assert {role.name: role.new for role in made} == {
            role.name(settings): role.part != "writer" for role in ROLES
        }
        asked = [text for text, _ in front.statements if text.startswith(("CREATE", "GRANT"))]
        assert asked == [each for _, statements in grants(settings) for each in statements]
        assert not any(role.new for role in await make_users(settings))


def test_the_command_says_which_roles_there_are(clickhouse: str) -> None:
    with running_front(clickhouse, roles=set()) as front:
        at = ("migrate", "--users", "--clickhouse-url", front.url, "--database", "d")
        first, again, listed = evometrics_here(*at), evometrics_here(*at), evometrics_here(*at, "--json")
    assert "role d_reader: made, with its rights\n" in first.stdout
    assert again.stdout.count("was there") == len(ROLES) and first.returncode == again.returncode == 0
    found = json.loads(listed.stdout)
    assert [role["name"] for role in found["roles"]] == [f"d_{role.part}" for role in ROLES]
    assert found["roles"][0]["statements"][0] == "CREATE ROLE IF NOT EXISTS d_migrator"


def test_a_server_without_management_of_users_is_named_with_the_way_out(clickhouse: str) -> None:
    said = evometrics_here("migrate", "--users", "--clickhouse-url", clickhouse)
    assert said.returncode == 1 and len(said.stderr.splitlines()) == 1
    assert f"ClickHouse at {clickhouse}: the embedded ClickHouse manages no users: " in said.stderr
    assert "Code:" not in said.stderr and said.stderr.endswith("of section clickhouse_server\n")
    beside = evometrics_here("migrate", "--users", "--dry-run", "--clickhouse-url", clickhouse)
    assert beside.returncode == 2 and "--users makes roles and applies no migration" in beside.stderr
