"""What came of a seed: every table against what was recorded and what the model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.partitioner import murmur2

from evometrics.schemas.events import Event
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS, TOPICS
from tests.faults.journal import read_journal
from tests.support.model import differences, expected, made_snapshots
from tests.support.tables import client, rows

DERIVED = ("evolution_metrics", "kpi_delta", "success_rate")


@dataclass(frozen=True)
class Result:
    """Counts over one seed.

    Attributes:
        recorded: distinct events whose `record_*` returned.
        lost: those of them that are in no table.
        doubled: rows beyond one per event id in the names analysts use.
        stored_twice: messages of Kafka that are in storage more than once.
        differing: derived rows missing, unexpected or unlike the model's.
        dead_letters: messages set aside; nothing bad was sent.
        taken: recorded events that no sink had read of a topic as it was deleted; they are not `lost`.
        examples: the first differences, in words.
    """

    recorded: int
    lost: int
    doubled: int
    stored_twice: int
    differing: int
    dead_letters: int
    taken: int
    examples: list[str]

    @property
    def right(self) -> bool:
        """Whether no guarantee was broken."""
        return not (self.lost or self.doubled or self.stored_twice or self.differing or self.dead_letters)


def keep_every_row(url: str) -> None:
    """Have ClickHouse merge nothing: a merge would remove what was stored twice before it is counted."""
    none = "max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"
    any_number = "parts_to_delay_insert = 100000, parts_to_throw_insert = 100000"
    with client(url) as sql:
        for topic in TOPICS:
            sql.command(f"ALTER TABLE {topic.table}_rows MODIFY SETTING {none}, {any_number}")


def merge(url: str) -> int:
    """Merge every table's parts into one a month, as would have been done; return what was stored twice."""
    _, _, twice = contents(url, 0.0)
    with client(url) as sql:
        for topic in TOPICS:
            sql.command(f"OPTIMIZE TABLE {topic.table}_rows FINAL")
    return twice


def check(
    url: str,
    folder: Path,
    sent: Mapping[str, Sequence[Event]],
    partitions: int,
    deleted: Mapping[str, float],
    renewed_at: float,
) -> Result:
    """Compare what is stored with the journals in `folder` and with the model.

    `sent` is by node; `deleted` is when topics were gone that were deleted under load, by record;
    `renewed_at` is when all topics were recreated to be filled from ClickHouse (Unix time;
    0 = never), with nothing on its way.
    """
    recorded: dict[str, Event] = {}
    last_at: dict[str, float] = {}
    maybe: dict[str, Event] = {}
    for node, events in sent.items():
        journal = read_journal(folder / f"{node}.journal")
        recorded |= {events[call.number].event_id: events[call.number] for call in journal.calls}
        for call in journal.calls:
            event_id = events[call.number].event_id
            last_at[event_id] = max(call.at, last_at.get(event_id, 0.0))
        maybe |= {events[n].event_id: events[n] for n in journal.begun}
    stored, doubled, stored_twice = contents(url, renewed_at)
    missing = [event for event_id, event in recorded.items() if event_id not in stored]
    lost = [event for event in missing if last_at[event.event_id] >= deleted.get(event.record, 0.0)]
    examples = [f"lost: {event}" for event in lost[:3]]
    # What was under way at a kill may or may not be recorded; where it is, it counts in full. What is lost is
    # told as that, and not once more by what should have come of it.
    facts = {event_id: event for event_id, event in (recorded | maybe).items() if event_id in stored}
    model = expected(facts.values(), lambda agent: (murmur2(agent.encode()) & 0x7FFFFFFF) % partitions)
    differing = 0
    for record in DERIVED:
        wanted = getattr(model, BY_RECORD[record].table)
        said = differences(wanted, rows(url, record, strict=False))
        differing += len(said)
        examples += [f"{record}: {text}" for text in said[:3]]
    all_events = [*facts.values(), *made_snapshots(facts.values())]
    for topic in RAW_TOPICS:
        wanted = {e.event_id: e.to_record() for e in all_events if e.record == topic.record}
        found = rows(url, topic.record, strict=False)
        said = differences(wanted, {i: row for i, row in found.items() if i in wanted})
        differing += len(said)
        examples += [f"{topic.record}: {text}" for text in said[:3]]
    letters = len(rows(url, "dead_letter", strict=False))
    taken = len(missing) - len(lost)
    return Result(len(recorded), len(lost), doubled, stored_twice, differing, letters, taken, examples)


def count_refused(url: str) -> int:
    """Return how many events nodes have refused to record: nothing bad was given to them."""
    with client(url) as sql:
        found = sql.query("SELECT count() FROM system_events WHERE event_type = 'event_rejected'")
    return int(found.result_rows[0][0])


def contents(url: str, renewed_at: float) -> tuple[set[str], int, int]:
    """Return the stored ids of raw events, rows doubled for analysts, offsets stored twice."""
    ids: set[str] = set()
    doubled = stored_twice = 0
    with client(url) as sql:
        for topic in TOPICS:
            counted = sql.query(f"SELECT count(), uniqExact(event_id) FROM {topic.table}")
            total, unique = counted.result_rows[0]
            doubled += total - unique
            # an offset of a topic that was recreated is another message's, be it of the same event: it has
            # another time, or is stored later where `republish` kept that
            place = f"_partition, _offset, event_id, _timestamp, _inserted_at < {renewed_at}"
            counted = sql.query(f"SELECT count(), uniqExact({place}) FROM {topic.table}_rows")
            kept, places = counted.result_rows[0]
            stored_twice += kept - places
        for topic in RAW_TOPICS:
            found = sql.query(f"SELECT toString(event_id) FROM {topic.table}")
            ids.update(row[0] for row in found.result_rows)
    return ids, doubled, stored_twice
