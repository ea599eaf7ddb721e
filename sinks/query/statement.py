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
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

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

#: The driver's words for a type that it can't read.
UNREADABLE = re.compile(
    r"^(.+?) deserialization not supported|Unrecognized ClickHouse type base: \S+ name: (.+)"
)


class QueryFailed(EvometricsError, ValueError):
    """ClickHouse refused a statement; the message is ClickHouse's own.

    Attributes:
        code: ClickHouse's number of the error; None if the statement was not sent.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class UnreadableAnswer(QueryFailed):
    """An answer came of which the driver can't read a column, or more."""


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
    except UnreadableAnswer as error:
        with named_errors(settings):
            columns = await columns_of(client, text, given)
        raise QueryFailed(readable(str(error), columns)) from None
    finally:
        if not ended:
            await asyncio.shield(kill(aside or client, query_id))


def checked(text: str) -> str:
    """Return a statement as it is sent. Raises `QueryFailed` for what no answer can hold."""
    text = without_end(text)
    if not text:
        raise QueryFailed("the query is empty; give one, such as 'SELECT count() FROM evolution_metrics'")
    if (chosen := own_format(text)) is not None:
        raise QueryFailed(
            f"omit FORMAT {chosen}: rows are written by `evometrics sql --format`, and in Python by "
            "as_arrow(), as_pandas() and as_polars()"
        )
    if names_outfile(text):
        raise QueryFailed(
            "omit INTO OUTFILE: rows are written to a file by `evometrics sql --output FILE`, and in Python "
            "by as_pandas().to_csv() and the like"
        )
    return text


@contextlib.contextmanager
def named_errors(settings: ClickHouseSettings) -> Iterator[None]:
    """Raise our errors in place of clickhouse-connect's."""
    try:
        yield
    except TypeError as error:
        if "unhashable" not in str(error):  # Python 3.14 says more before it
            raise
        raise QueryFailed("has a map whose keys are lists: select its mapKeys and mapValues") from None
    except CLICKHOUSE_ERRORS as error:
        if isinstance(error, EvometricsError):
            raise
        reason = AROUND.sub("", " ".join(str(error).split()))
        if error_code(error) is not None:
            raise QueryFailed(reason, error_code(error)) from None
        if isinstance(error, ClickHouseError) and not isinstance(error, OperationalError):
            raise UnreadableAnswer(reason) from error  # it was answered, and the driver can't read that
        raise ClickHouseUnavailable(explain(settings, error)) from error


async def described(client: AsyncClient, text: str, given: dict[str, Any]) -> Header:
    """Return the columns of an answer without rows, of which ClickHouse's format Native says nothing."""
    if first_word(text) not in ("SELECT", "WITH", "FROM"):
        return Header()
    found = await columns_of(client, text, given)
    return Header(tuple(found), tuple(map(get_from_name, found.values())), zone_name(client))


async def columns_of(client: AsyncClient, text: str, given: dict[str, Any]) -> dict[str, str]:
    """Return the names and types of a query's columns."""
    found = await client.query(f"DESCRIBE TABLE ({text}\n)", parameters=given)
    return {str(row[0]): str(row[1]) for row in found.result_rows}


def readable(reason: str, columns: Mapping[str, str]) -> str:
    """Return how to ask for `columns` so that they can be read; `reason` names a type that can't."""
    what = UNREADABLE.search(reason)
    if what is None:
        return f"the answer can't be read ({reason}): select toString() of what is of a rare type"
    kind = what[1] or what[2]
    name = next((name for name, its in columns.items() if kind in its), "")
    if kind.startswith("AggregateFunction("):
        of = f"({name})" if columns.get(name) == kind else "() of it"
        way_out = (
            f"holds a state of an aggregate function: select finalizeAggregation{of}, or the function's "
            "result with -Merge"
        )
    else:
        way_out = f"can't be read: select toString({name})"
    return f"column {name} ({columns.get(name, kind)}) {way_out}"


def zone_name(client: AsyncClient) -> str:
    """Return the name of the server's time zone."""
    return getattr(client.server_tz, "key", None) or "UTC"


async def kill(client: AsyncClient, query_id: str) -> None:
    """End a query on the server, as far as that is possible: closing the connection may have done so."""
    with contextlib.suppress(*CLICKHOUSE_ERRORS):
        wanted = client.command("KILL QUERY WHERE query_id = {id:String} ASYNC", parameters={"id": query_id})
        await asyncio.wait_for(wanted, KILL_SECONDS)
