"""Makes the roles of `grants` on a server, with the reader's settings profile."""

from __future__ import annotations

from dataclasses import dataclass

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.clickhouse.client import (
    CLICKHOUSE_ERRORS,
    ClickHouseUnavailable,
    error_code,
    explain,
    open_client,
)
from evometrics.sinks.clickhouse.grants import grants
from evometrics.sinks.settings import ClickHouseSettings

#: ClickHouse's codes for a user who may not manage users, and for a server that can't keep any.
NO_MANAGEMENT = (497, 514)


class UsersRefused(EvometricsError, RuntimeError):
    """The server manages no users, or not for this user; the message says which, and the way out."""


@dataclass(frozen=True, slots=True)
class MadeRole:
    """A role that is there now with its rights.

    Attributes:
        new: whether it was not there before.
        statements: what was run for it.
    """

    name: str
    new: bool
    statements: list[str]


async def make_users(settings: ClickHouseSettings) -> list[MadeRole]:
    """Make the roles and grant them their rights; doing it again changes nothing.

    Raises `UsersRefused`, or `ClickHouseUnavailable` where ClickHouse does not answer.
    """
    client = await open_client(settings, database="default")
    try:
        found = (await client.query("SELECT name FROM system.roles")).result_rows
        before = {name for (name,) in found}
        made = []
        for role, statements in grants(settings):
            for statement in statements:
                await client.command(statement)
            name = role.name(settings)
            made.append(MadeRole(name, name not in before, statements))
        return made
    except CLICKHOUSE_ERRORS as error:
        if error_code(error) not in NO_MANAGEMENT:
            raise ClickHouseUnavailable(explain(settings, error)) from error
        raise UsersRefused(
            f"ClickHouse at {settings.url}: {await way_out(client, settings, error)}"
        ) from None
    finally:
        await client.close()


async def way_out(client: AsyncClient, settings: ClickHouseSettings, error: Exception) -> str:
    """Return what to do where users can't be managed, with the server's words if it is one that could."""
    if await client.command("SELECT count() FROM system.functions WHERE name = 'chdb'"):
        return (
            "the embedded ClickHouse manages no users: its writer and its reader are settings of section "
            "clickhouse_server"
        )
    why = " ".join(str(error).split())[:300]
    return (
        f"user {settings.user!r} may not manage roles: set EVOMETRICS_CLICKHOUSE_USER and _PASSWORD to "
        f"one who may, or have an administrator run what `evometrics migrate --grants` prints ({why})"
    )
