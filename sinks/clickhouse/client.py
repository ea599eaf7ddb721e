"""Opens ClickHouse clients and explains ClickHouse's errors."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.settings import ClickHouseSettings

CONNECT_SECONDS = 5
REQUEST_SECONDS = 300
#: Errors of a request: refused by ClickHouse, or not answered at all.
CLICKHOUSE_ERRORS = (ClickHouseError, aiohttp.ClientError, OSError, TimeoutError)

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


async def open_client(settings: ClickHouseSettings, *, database: str | None = None) -> AsyncClient:
    """Return a connected client for `settings.database` (or another one); close it when done.

    The client may be used by several tasks at once. Raises `ClickHouseUnavailable` within seconds if nothing
    answers, the user is refused or the database does not exist.
    """
    parts = urlsplit(settings.url)
    name = settings.database if database is None else database
    try:
        return await asyncio.wait_for(
            clickhouse_connect.get_async_client(
                host=parts.hostname or "",
                port=parts.port or 0,
                interface=parts.scheme,
                username=settings.user,
                password=settings.password,
                database=name,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=REQUEST_SECONDS,
                autogenerate_session_id=False,
                compress=False,
                client_name="evometrics",
            ),
            timeout=2 * CONNECT_SECONDS,
        )
    except CLICKHOUSE_ERRORS as error:
        raise ClickHouseUnavailable(explain(settings, error)) from error


def explain(settings: ClickHouseSettings, error: BaseException) -> str:
    """Return what went wrong with ClickHouse and a way out, in one line."""
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    way_out = remedy(error, settings)
    if way_out is None and error_code(error) is not None:
        way_out = "ClickHouse answered with an error"
    elif way_out is None:
        way_out = (
            "start it (`evometrics up`), or name another with --clickhouse-url or EVOMETRICS_CLICKHOUSE_URL"
        )
    return f"ClickHouse at {settings.url}: {way_out} ({reason})"


def remedy(error: BaseException, settings: ClickHouseSettings) -> str | None:
    """Return what to do about an error that ClickHouse answered with; None if unknown."""
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


def is_bad_data(error: BaseException) -> bool:
    """Return whether an insert failed because of its data."""
    code = error_code(error)
    return code in BAD_DATA_CODES or (code is not None and AVRO_EXCEPTION in str(error))
