"""Runs one statement; its rows come block by block, with bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.clickhouse.client import (
    CLICKHOUSE_ERRORS,
    ClickHouseUnavailable,
    error_code,
    explain,
    may_set,
)
from evometrics.sinks.query.binding import bound
from evometrics.sinks.query.result import Block, Header
from evometrics.sinks.query.text import first_word, names_outfile, own_format, without_end
from evometrics.sinks.settings import ClickHouseSettings

#: Rows that ClickHouse sends at a time: its default of 65,000 would be gigabytes if the rows are wide.
BLOCK_ROWS = 2000
BLOCK_SETTING = "max_block_size"
#: So that a server of its own, too, ends a query whose client has gone.
ENDS_WITH_CLIENT = "cancel_http_readonly_queries_on_client_close"
KILL_SECONDS = 3.0
READING = frozenset({"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "VALUES"})
#: What surrounds ClickHouse's own words in an error.
AROUND = re.compile(
    r"^(?:Received ClickHouse exception, code: \d+, server response: )?(?:Code: \d+\. )?(?:DB::Exception: )?"
    r"|\s*\(for url [^)]*\)\s*$| FORMAT Native(?=[.;: ]|$)|(?<=\.) Expected one of: .*?\.(?= \(SYNTAX_ERROR)"
)


class QueryFailed(EvometricsError, ValueError):
    """ClickHouse refused a statement; the message is ClickHouse's own.

    Attributes:
        code: ClickHouse's number of the error; None if the statement was not sent.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


async def blocks(
    client: AsyncClient,
    settings: ClickHouseSettings,
    text: str,
    values: Mapping[str, Any] | None = None,
    query_id: str | None = None,
    aside: AsyncClient | None = None,
) -> AsyncGenerator[Block, None]:
    """Run one statement; yield its rows as they arrive, and an empty block if there are none.

    A statement without a result yields nothing. If the caller is cancelled, or stops reading, the query is
    ended on the server: by `aside`, if `client` has a session, in which one query runs at a time. `query_id`
    is the server's name of the query. Raises `QueryFailed` with ClickHouse's reason, `ParameterError` naming
    a parameter, `ClickHouseUnavailable` if ClickHouse does not answer.
    """
    text = checked(text)
    given: dict[str, Any] = dict(bound(text, values or {}))
    query_id = query_id or str(uuid.uuid4())
    ended = False
    try:
        with named_errors(settings):
            context = client.create_query_context(text, parameters=given)
            if context.is_command and first_word(text) not in READING:
                await client.query(context=context)  # the answer describes the statement, and holds no rows
                ended = True
                return
            wanted = {BLOCK_SETTING: BLOCK_ROWS, ENDS_WITH_CLIENT: 1}
            header, some = Header(), False
            async with await client.query_column_block_stream(
                text,
                parameters=given,
                settings={**may_set(client, wanted), "query_id": query_id},
                query_formats={"IPv*": "string"},
                tz_mode="aware",
            ) as stream:
                names, types = stream.source.column_names, stream.source.column_types
                header = Header(tuple(names), tuple(types), zone_name(client))
                async for columns in stream:
                    some = True
                    yield Block(header, columns)
            ended = True
            if not some:
                header = header if names else await described(client, text, given)
                yield Block(header, [()] * len(header.names))
    finally:
        if not ended:
            await asyncio.shield(kill(aside or client, query_id))


def checked(text: str) -> str:
    """Return a statement as it is sent. Raises `QueryFailed` for what no answer can hold."""
    text = without_end(text)
    if not text:
        raise QueryFailed("the query is empty; give one, such as 'SELECT count() FROM evolution_metrics'")
    if (chosen := own_format(text)) is not None:
        raise QueryFailed(f"omit FORMAT {chosen}; `evometrics sql --format` chooses how rows are written")
    if names_outfile(text):
        raise QueryFailed("omit INTO OUTFILE; `evometrics sql --output FILE` writes rows to a file")
    return text


@contextlib.contextmanager
def named_errors(settings: ClickHouseSettings) -> Iterator[None]:
    """Raise our errors in place of clickhouse-connect's."""
    try:
        yield
    except TypeError as error:
        if not str(error).startswith("unhashable"):
            raise
        raise QueryFailed("has a map whose keys are lists: select its mapKeys and mapValues") from None
    except CLICKHOUSE_ERRORS as error:
        if isinstance(error, EvometricsError):
            raise
        if error_code(error) is None:
            raise ClickHouseUnavailable(explain(settings, error)) from error
        reason = AROUND.sub("", " ".join(str(error).split()))
        raise QueryFailed(reason, error_code(error)) from None


async def described(client: AsyncClient, text: str, given: dict[str, Any]) -> Header:
    """Return the columns of an answer without rows, of which ClickHouse's format Native says nothing."""
    if first_word(text) not in ("SELECT", "WITH", "FROM"):
        return Header()
    found = await client.query(f"DESCRIBE TABLE ({text}\n)", parameters=given)
    rows = [(str(row[0]), get_from_name(str(row[1]))) for row in found.result_rows]
    return Header(tuple(name for name, _ in rows), tuple(kind for _, kind in rows), zone_name(client))


def zone_name(client: AsyncClient) -> str:
    """Return the name of the server's time zone."""
    return getattr(client.server_tz, "key", None) or "UTC"


async def kill(client: AsyncClient, query_id: str) -> None:
    """End a query on the server, as far as that is possible: closing the connection may have done so."""
    with contextlib.suppress(*CLICKHOUSE_ERRORS):
        wanted = client.command("KILL QUERY WHERE query_id = {id:String} ASYNC", parameters={"id": query_id})
        await asyncio.wait_for(wanted, KILL_SECONDS)
