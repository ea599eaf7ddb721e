"""Reads the dead letters as an operator sees them: by source message, with its retries.

The reports of stream and sink on one message are two letters of one `MessageSource`. A retry is recorded as a
system event of type `dead_letter_retried`; no stored row is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import topic_named
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.letters.dead_message import Bytes, DeadMessage, Letter, MessageSource, Retry
from evometrics.sinks.settings import ClickHouseSettings

RETRIED = "dead_letter_retried"
#: Messages that are read at a time, without their bytes.
LISTED_MESSAGES = 5000
#: Limits for messages that are read at a time with their bytes: number, and total size.
PAGE_MESSAGES = 2000
PAGE_BYTES = 8_000_000

#: The message that a retry was of.
SOURCE_OF_RETRY = """JSONExtractString(data, 'source_topic') AS source_topic,
        JSONExtract(data, 'source_partition', 'Int32') AS source_partition,
        JSONExtract(data, 'source_offset', 'Int64') AS source_offset"""
#: The selected messages; reads only small columns. `place` orders them: ascending, the newest first.
SOURCES_SQL = """
SELECT source_topic, source_partition, source_offset, max(toUnixTimestamp64Micro(occurred_at)) AS at,
    (-at, source_topic, source_partition, -source_offset) AS place
FROM dead_letters WHERE {where}
GROUP BY source_topic, source_partition, source_offset
HAVING {having}
"""
PLACES_SQL = """
SELECT s.source_topic, s.source_partition, s.source_offset, r.retries
FROM ({sources}) AS s
LEFT JOIN (
    SELECT source_topic, source_partition, source_offset,
        arraySort(groupArray((at, node_id, partition, offset))) AS retries
    FROM (
        SELECT {source_of_retry}, toUnixTimestamp64Micro(occurred_at) AS at, node_id,
            JSONExtract(data, 'partition', 'Int32') AS partition,
            JSONExtract(data, 'offset', 'Int64') AS offset
        FROM system_events WHERE event_type = {retried:String}
    )
    GROUP BY source_topic, source_partition, source_offset
) AS r USING (source_topic, source_partition, source_offset)
ORDER BY s.place {order} LIMIT {limit}
"""
#: `{wanted}` is `wanted_sources`.
ABOUT_SQL = """
SELECT source_topic, source_partition, source_offset, max(agent_id) AS agent_id,
    max(toUnixTimestamp64Micro(occurred_at)) AS at, max(length(message_value)) AS bytes,
    arraySort(groupArray((stage, toString(event_id), reason, node_id))) AS letters
FROM dead_letters WHERE {wanted}
GROUP BY source_topic, source_partition, source_offset
"""
MESSAGES_SQL = """
SELECT source_topic, source_partition, source_offset, any(isNull(message_key)), any(hex(message_key)),
    any(isNull(message_value)), argMax(hex(message_value), length(message_value))
FROM dead_letters WHERE {wanted}
GROUP BY source_topic, source_partition, source_offset
"""
RETRIED_SQL = f"SELECT {SOURCE_OF_RETRY} FROM system_events WHERE event_type = {{retried:String}}"


class NoSuchLetter(EvometricsError, ValueError):
    """An event id that no dead letter has; the message names it and a way out."""


class LetterTotals(NamedTuple):
    """Number of messages, and of those that were sent again."""

    messages: int
    retried: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are selected: those that match every given condition.

    Attributes:
        topic: their source topic.
        stage: `stream` or `sink`, even if the other one gave up on them too.
        since: only those that reached the broker at or after this, microseconds since 1970.
        event_ids: ids of letters; any letter of a message stands for the message.
        open_only: leave out messages that were sent again.
    """

    topic: str | None = None
    stage: str | None = None
    since: int | None = None
    event_ids: tuple[str, ...] = ()
    open_only: bool = False

    def sources(self) -> tuple[str, dict[str, Any]]:
        """Return the query for the selected messages, and its parameters."""
        where, having, given = ["1"], ["1"], dict[str, Any](retried=RETRIED)
        if self.topic is not None:
            where.append("source_topic = {topic:String}")
            given["topic"] = self.topic
        if self.stage is not None:
            having.append("countIf(stage = {stage:String}) > 0")
            given["stage"] = self.stage
        if self.since is not None:
            having.append("at >= {since:Int64}")
            given["since"] = self.since
        if self.event_ids:
            having.append("countIf(event_id IN {ids:Array(UUID)}) > 0")
            given["ids"] = list(self.event_ids)
        if self.open_only:
            having.append(f"(source_topic, source_partition, source_offset) NOT IN ({RETRIED_SQL})")
        sql = SOURCES_SQL.replace("{where}", " AND ".join(where)).replace("{having}", " AND ".join(having))
        return sql, given


class Letters:
    """The dead letters in ClickHouse.

    Use it as an async context manager. Every call raises `ClickHouseUnavailable`, naming address and way out,
    if ClickHouse does not answer.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.settings = settings
        self.client: AsyncClient | None = None

    async def __aenter__(self) -> Letters:
        self.client = await open_client(self.settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.client is not None:
            await self.client.close()

    async def find(self, selection: Selection) -> list[DeadMessage]:
        """Return the selected messages, newest first; for selections of few messages.

        Raises `NoSuchLetter` if an id is given that no letter has (or not with the other conditions).
        """
        found = [message async for page in self.pages(selection) for message in page]
        known = {letter.event_id for message in found for letter in message.letters}
        missing = [event_id for event_id in selection.event_ids if event_id not in known]
        if missing:
            raise NoSuchLetter(f"no dead letter {missing[0]}; `evometrics dead-letters list` shows all ids")
        return found

    async def count(self, selection: Selection) -> LetterTotals:
        """Count the selected messages."""
        sources, given = selection.sources()
        sql = (
            f"SELECT count(), countIf((source_topic, source_partition, source_offset) IN ({RETRIED_SQL})) "
            f"FROM ({sources})"
        )
        ((number, retried),) = await self.rows(sql, given)
        return LetterTotals(int(number), int(retried))

    async def pages(
        self, selection: Selection, limit: int | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[list[DeadMessage]]:
        """Yield up to `limit` of the selected messages, newest first, `LISTED_MESSAGES` at a time.

        They are determined once: later dead letters are not among them, and each page costs the same however
        many there are.
        """
        with TemporaryFile("w+", encoding="utf-8") as places:
            await self.note_places(places, selection, limit, oldest_first)
            places.seek(0)
            for line in places:
                page = {
                    MessageSource(*source): tuple(Retry(*retry) for retry in retries)
                    for *source, retries in json.loads(line)
                }
                if found := await self.about(page):
                    yield found

    async def note_places(
        self, places: IO[str], selection: Selection, limit: int | None, oldest_first: bool
    ) -> None:
        """Write the selected messages' sources and retries into a file: one line of JSON per page.

        They are written as they arrive: a server gives up on a slow reader, such as one that sends each page
        to Kafka first, and in memory they would be as many as there are letters.
        """
        sources, given = selection.sources()
        sql = PLACES_SQL.replace("{sources}", sources).replace("{source_of_retry}", SOURCE_OF_RETRY)
        sql = sql.replace("{order}", "DESC" if oldest_first else "ASC")
        sql = sql.replace("LIMIT {limit}", "" if limit is None else f"LIMIT {limit:d}")
        assert self.client is not None, "enter it first"
        page: list[Sequence[Any]] = []
        try:
            async with await self.client.query_row_block_stream(sql, parameters=given) as blocks:
                async for block in blocks:
                    for row in block:
                        page.append(row)
                        if len(page) == LISTED_MESSAGES:
                            places.write(json.dumps(page) + "\n")
                            page = []
        except CLICKHOUSE_ERRORS as error:
            raise ClickHouseUnavailable(explain(self.settings, error)) from error
        if page:
            places.write(json.dumps(page) + "\n")

    async def about(self, page: Mapping[MessageSource, tuple[Retry, ...]]) -> list[DeadMessage]:
        """Return messages without their bytes, given with their retries, in that order."""
        wanted, given = wanted_sources(page)
        found = {
            source: DeadMessage(
                source, agent_id, at, size, tuple(Letter(*letter) for letter in letters), page[source]
            )
            for *place, agent_id, at, size, letters in await self.rows(
                ABOUT_SQL.replace("{wanted}", wanted), given
            )
            if (source := MessageSource(*place)) in page
        }
        # a row may expire (retention) between the two queries
        return [found[source] for source in page if source in found]

    async def messages(self, found: Sequence[DeadMessage]) -> AsyncIterator[list[tuple[DeadMessage, Bytes]]]:
        """Yield the messages with their bytes, in the same order, some megabytes at a time."""
        for page in parts(found):
            wanted, given = wanted_sources([message.source for message in page])
            by_source = {
                MessageSource(topic, partition, offset): Bytes(
                    None if no_key else bytes.fromhex(key), None if no_value else bytes.fromhex(value)
                )
                for topic, partition, offset, no_key, key, no_value, value in await self.rows(
                    MESSAGES_SQL.replace("{wanted}", wanted), given
                )
            }
            yield [(message, by_source[message.source]) for message in page if message.source in by_source]

    async def rows(self, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        assert self.client is not None, "enter it first"
        try:
            return (await self.client.query(sql, parameters=parameters)).result_rows
        except CLICKHOUSE_ERRORS as error:
            raise ClickHouseUnavailable(explain(self.settings, error)) from error


def wanted_sources(sources: Iterable[MessageSource]) -> tuple[str, dict[str, Any]]:
    """Return the condition that a row is of one of these messages, and its parameters.

    By partition, with a list of offsets each: ClickHouse reads a list of numbers at once and finds them by
    the sort key, while 5,000 tuples of topic, partition and offset cost it a second.
    """
    offsets: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in sources:
        offsets.setdefault((topic, partition), []).append(offset)
    wanted, given = [], dict[str, Any]()
    for number, ((topic, partition), those) in enumerate(offsets.items()):
        wanted.append(
            f"(source_topic = {{topic{number}:String}} AND source_partition = {partition:d} "
            f"AND source_offset IN {{offsets{number}:Array(Int64)}})"
        )
        given |= {f"topic{number}": topic, f"offsets{number}": those}
    return " OR ".join(wanted), given


def parts(found: Sequence[DeadMessage]) -> list[list[DeadMessage]]:
    """Split the messages into parts whose bytes fit into memory."""
    made: list[list[DeadMessage]] = []
    size = 0
    for message in found:
        size += message.size or 0
        if not made or len(made[-1]) >= PAGE_MESSAGES or size > PAGE_BYTES:
            made.append([])
            size = message.size or 0
        made[-1].append(message)
    return made


def source_topic(name: str) -> str:
    """Return a topic's name as given. Raises `SettingsError` naming the existing ones."""
    try:
        return topic_named(name).name
    except KeyError as error:
        raise SettingsError(str(error.args[0])) from None
