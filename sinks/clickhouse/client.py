"""Opens ClickHouse clients and explains ClickHouse's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.tls import HUNG_UP, causes, tls_context, why_hung_up, why_refused
from evometrics.sinks.settings import TLS_NAMES, ClickHouseSettings

CONNECT_SECONDS = 5
REQUEST_SECONDS = 300.0
#: For statements of people, who end them when they like: a year, as the driver takes no "never".
UNLIMITED_SECONDS = 365 * 86_400.0
#: Errors of a request: refused by ClickHouse, or not answered at all.
CLICKHOUSE_ERRORS = (ClickHouseError, aiohttp.ClientError, OSError, TimeoutError)

#: Raised where ClickHouse hangs up without a word.
LOST = (aiohttp.ServerDisconnectedError, *HUNG_UP)
#: Raised at once where no ClickHouse runs, or where it ends.
NOBODY_THERE = (aiohttp.ClientConnectorError, ConnectionRefusedError, *LOST)
#: ClickHouse error codes for an insert whose data are at fault, so that a retry can't help
#: (src/Common/ErrorCodes.cpp). All other errors, known or not, are retried.
BAD_DATA_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        25,  # CANNOT_PARSE_ESCAPE_SEQUENCE
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        1001,  # STD_EXCEPTION: what the Avro library throws
    }
)
#: Part of the error text if the Avro library refuses the bytes, whatever code the server sends.
AVRO_EXCEPTION = "avro::Exception"


class ClickHouseUnavailable(EvometricsError, ConnectionError):
    """ClickHouse can't be used at present; the message names its address and a way out."""


async def open_client(
    settings: ClickHouseSettings, *, database: str | None = None, read_seconds: float = REQUEST_SECONDS
) -> AsyncClient:
    """Return a connected client for `settings.database` (or another one); close it when done.

    The client may be used by several tasks at once. A request fails if nothing comes for `read_seconds`.
    Raises `ClickHouseUnavailable` within seconds if nothing
    answers, the user is refused or the database does not exist; `SettingsError` if a certificate can't be
    loaded.
    """
    name = settings.database if database is None else database
    try:
        return await asyncio.wait_for(
            clickhouse_connect.get_async_client(
                host=settings.host,
                port=settings.port,
                interface=urlsplit(settings.url).scheme,
                username=settings.user,
                password=settings.password,
                database=name,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=read_seconds,
                autogenerate_session_id=False,
                compress=False,
                client_name="evometrics",
                **tls_arguments(settings),
            ),
            timeout=2 * CONNECT_SECONDS,
        )
    except CLICKHOUSE_ERRORS as error:
        raise ClickHouseUnavailable(await hung_up(settings, error) or explain(settings, error)) from error


def tls_arguments(settings: ClickHouseSettings) -> dict[str, Any]:
    """Return the arguments that secure a client's connections. Raises `SettingsError`."""
    files = {
        name: str(Path(path).expanduser())
        for name in ("ca_cert", "client_cert", "client_cert_key")
        if (path := getattr(settings, name))
    }
    if files:  # so that what can't be loaded is named by its setting
        tls_context(TLS_NAMES, settings.ca_cert, settings.client_cert, settings.client_cert_key)
    if settings.server_host_name:
        files["server_host_name"] = settings.server_host_name
    if settings.client_cert and settings.password:
        files["tls_mode"] = "strict"  # else the certificate alone logs in, and the password is not sent
    return files


async def hung_up(settings: ClickHouseSettings, error: BaseException) -> str | None:
    """Return why ClickHouse hangs up without a word, in one line; None if it answers, or that is unknown."""
    if not any(isinstance(cause, LOST) for cause in causes(error)):
        return None
    secure = settings.url.startswith("https://")
    context = tls_context(TLS_NAMES, settings.ca_cert, settings.client_cert, settings.client_cert_key)
    host = settings.server_host_name or settings.host
    address = (settings.host, settings.port)
    why = await asyncio.to_thread(
        why_hung_up, TLS_NAMES, address, context if secure else None, host, settings.client_cert
    )
    return why and f"ClickHouse at {settings.url} {why}"


def may_set(client: AsyncClient, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings that the server has and the client's user may set."""
    known = client.server_settings
    return {name: value for name, value in wanted.items() if name in known and not known[name].readonly}


def sequential(client: AsyncClient) -> dict[str, Any]:
    """Return the settings of a query that must see every insert that was acknowledged before, on any replica.

    In ClickHouse Cloud they suffice. On a cluster's replicated tables the insert must have had a quorum, one
    at a time. They have no effect on one server's tables, and are left out where the user may set none.
    """
    return may_set(client, {"select_sequential_consistency": 1})


def explain(settings: ClickHouseSettings, error: BaseException) -> str:
    """Return the problem with ClickHouse and a way out, in one line."""
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    way_out = remedy(error, settings)
    host = settings.server_host_name or settings.host
    if (refused := why_refused(error, TLS_NAMES, host, settings.client_cert)) is not None:
        return f"ClickHouse at {settings.url} {refused}"
    if way_out is None and error_code(error) is not None:
        way_out = "ClickHouse answered with an error"
    elif way_out is None and any(isinstance(cause, aiohttp.SocketTimeoutError) for cause in causes(error)):
        way_out = (
            "was reached, but did not answer in time: it may be still at work (system.processes shows "
            "with what), or be overloaded"
        )
    elif way_out is None:
        way_out = (
            "start it (`evometrics up`), or name another with --clickhouse-url or EVOMETRICS_CLICKHOUSE_URL"
        )
    return f"ClickHouse at {settings.url}: {way_out} ({reason})"


def remedy(error: BaseException, settings: ClickHouseSettings) -> str | None:
    """Return the remedy for an error that ClickHouse answered with; None if unknown."""
    code = error_code(error)
    if code in (516, 192, 194):
        return f"user {settings.user!r} was refused: set EVOMETRICS_CLICKHOUSE_USER and _PASSWORD"
    if code == 81:
        return f"database {settings.database!r} does not exist: run `evometrics migrate` first"
    if code == 60:
        return f"a table is missing in database {settings.database!r}: run `evometrics migrate` first"
    if code in (16, 47):
        return f"a column is missing in database {settings.database!r}: run `evometrics migrate` first"
    if code == 497:
        return (
            f"user {settings.user!r} may not do that: grant it the privilege in the error, or run "
            "`evometrics migrate` as a user who has it"
        )
    return None


def error_code(error: BaseException) -> int | None:
    """Return ClickHouse's error number, None if the error is not ClickHouse's."""
    return error.code if isinstance(error, DatabaseError) else None


def is_away(error: BaseException) -> bool:
    """Return whether nobody was there, or hung up, so that asking again soon burdens nobody."""
    return any(isinstance(cause, NOBODY_THERE) for cause in causes(error))


def is_bad_data(error: BaseException) -> bool:
    """Return whether an insert failed because of its data."""
    code = error_code(error)
    return code in BAD_DATA_CODES or (code is not None and AVRO_EXCEPTION in str(error))
