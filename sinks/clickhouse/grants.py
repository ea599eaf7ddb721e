"""What each part may do in ClickHouse: a role for each, with the rights that its statements need and no more.

Found from the statements that every command sends; a test compares them. The statements here were read by the
engine's parser, and never run as users of a server: the embedded engine has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evometrics.schemas.topics import DERIVED_TOPICS, TOPICS
from evometrics.sinks.settings import ClickHouseSettings

#: Views that are no topic's.
MORE_VIEWS = (
    "evolution_strategies",
    "evolution_hourly",
    "evolution_daily",
    "evolution_runs",
    "agent_parents",
)
VIEWS = (*(topic.table for topic in TOPICS), *MORE_VIEWS)
#: Views that take a parameter, and are read like a table function.
ASKED_VIEWS = ("agent_ancestors", "agent_descendants", "evolution_metrics_as_of", "kpi_snapshots_as_of")
ROWS = tuple(f"{topic.table}_rows" for topic in TOPICS)
DERIVED_ROWS = tuple(f"{topic.table}_rows" for topic in DERIVED_TOPICS)
CONTROL = ("schema_migrations", "schema_migrations_lock")
#: Of tables and columns a user sees in these only those that are granted to it in some way.
CATALOG = ("system.tables", "system.columns", "system.databases", "system.settings")
ALL = "*"
ONE_SERVERS_ENGINES = ("MergeTree", "ReplacingMergeTree")
CLUSTERS_ENGINES = ("ReplicatedReplacingMergeTree", "Distributed")


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges, by ClickHouse's names, on tables.

    Attributes:
        on: names of tables and views in the database, of system tables (`system.…`), or `*`: the database.
        words: what `on` is, for people.
    """

    privileges: tuple[str, ...]
    on: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """A role.

    Attributes:
        part: the end of its name, which begins with the database's.
        commands: whose it is.
        engines: whether it creates tables.
        includes: roles whose rights it has as well.
    """

    part: str
    commands: str
    grants: tuple[Grant, ...] = ()
    engines: bool = False
    includes: tuple[str, ...] = ()

    def name(self, settings: ClickHouseSettings) -> str:
        """Return the role's name for a database."""
        return f"{settings.database}_{self.part}"


#: The role of people who ask; a settings profile of the same name bounds what they ask.
READER = "reader"
#: `readonly = 2`: it may set what changes nothing else, within these limits (seconds, bytes, statements).
READERS_LIMITS = {
    "max_execution_time": 600,
    "max_memory_usage": 10_000_000_000,
    "max_concurrent_queries_for_user": 50,
}

SEES = Grant(("SELECT",), CATALOG, "`system.tables`, `.columns`, `.databases`, `.settings`")
READS_ROWS = Grant(("SELECT",), ROWS, "every `<table>_rows`")

ROLES = (
    DatabaseRole(
        "migrator",
        "`evometrics migrate`; the views read with its user's rights",
        (
            Grant(
                (
                    "CREATE DATABASE",
                    "CREATE TABLE",
                    "CREATE VIEW",
                    "DROP VIEW",
                    "ALTER ADD COLUMN",
                    "ALTER MODIFY COLUMN",
                    "ALTER COMMENT COLUMN",
                    "ALTER CONSTRAINT",
                    "ALTER ADD INDEX",
                    "ALTER MATERIALIZE INDEX",
                    "ALTER SETTINGS",
                    "ALTER VIEW MODIFY SQL SECURITY",
                    "SELECT",
                ),
                (ALL,),
                "the database",
            ),
            Grant(("INSERT",), CONTROL, "`schema_migrations`, `schema_migrations_lock`"),
            SEES,
        ),
        engines=True,
    ),
    DatabaseRole(
        "writer",
        "`evometrics sink`, on a database that is migrated",
        (
            Grant(("SELECT", "INSERT"), ROWS, "every `<table>_rows`"),
            Grant(("SELECT",), ("dead_letters",), "the view `dead_letters`"),
            SEES,
        ),
    ),
    DatabaseRole(
        READER,
        "`evometrics sql`, `checksums`, `dead-letters`, `MetricsQuery`, dashboards",
        (Grant(("SELECT",), (*VIEWS, *ASKED_VIEWS), "every view"), SEES),
    ),
    DatabaseRole(
        "rows",
        "`evometrics republish`, `import`",
        (READS_ROWS, SEES),
    ),
    DatabaseRole(
        "replay",
        "`evometrics replay`",
        (
            Grant(("SELECT", "INSERT", "CREATE TABLE", "DROP TABLE"), (ALL,), "the database"),
            Grant(("ALTER DELETE",), DERIVED_ROWS, "every derived `<table>_rows`, for `--apply`"),
            SEES,
        ),
        engines=True,
    ),
    DatabaseRole(
        "retention",
        "`evometrics retention`",
        (
            READS_ROWS,
            Grant(("ALTER TTL",), ROWS, "every `<table>_rows`, for `set`"),
            Grant(("SELECT",), ("system.parts",), "`system.parts`"),
            SEES,
        ),
    ),
    # Not the reader's role: its profile would bind the administrator too.
    DatabaseRole(
        "admin",
        "all of these commands",
        includes=("migrator", "writer", "rows", "replay", "retention"),
    ),
)


def grants(settings: ClickHouseSettings) -> Iterator[tuple[DatabaseRole, list[str]]]:
    """Yield each role with the statements that create it and grant it its rights; they may run twice."""
    on = f" ON CLUSTER '{settings.cluster}'" if settings.cluster else ""
    for role in ROLES:
        name = role.name(settings)
        statements = [f"CREATE ROLE IF NOT EXISTS {name}{on}"]
        for grant in role.grants:
            listed = ", ".join(grant.privileges)
            statements += [f"GRANT{on} {listed} ON {table} TO {name}" for table in tables(grant, settings)]
        if role.engines:
            engines = ONE_SERVERS_ENGINES + (CLUSTERS_ENGINES if settings.cluster else ())
            statements += [f"GRANT{on} TABLE ENGINE ON {engine} TO {name}" for engine in engines]
        if role.includes:
            included = ", ".join(f"{settings.database}_{part}" for part in role.includes)
            statements.append(f"GRANT{on} {included} TO {name}")
        if role.part == READER:
            limits = (f"{limit} = {most} MIN 1 MAX {most}" for limit, most in READERS_LIMITS.items())
            statements.append(
                f"CREATE SETTINGS PROFILE IF NOT EXISTS {name}{on} "
                f"SETTINGS readonly = 2, {', '.join(limits)} TO {name}"
            )
        if settings.cluster and role.part == "migrator":
            statements.append(f"GRANT{on} CLUSTER, REMOTE ON *.* TO {name}")
        yield role, statements


def tables(grant: Grant, settings: ClickHouseSettings) -> Iterator[str]:
    """Yield what a grant is on; on a cluster the tables of the shards, too."""
    for name in grant.on:
        if name.startswith("system."):
            yield name
            continue
        yield f"{settings.database}.{name}"
        if settings.cluster and name.endswith("_rows"):
            yield f"{settings.database}.{name}_local"
