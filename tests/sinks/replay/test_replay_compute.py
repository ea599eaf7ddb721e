"""What a replay computes: the same rows whether one process computes or several do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from evometrics.schemas.topics import BY_RECORD, EVOLUTION_COMPLETED
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.replay.compute import Computing
from evometrics.streams.settings import StreamSettings
from tests.support.generator import Load, history
from tests.support.model import SECOND, differences, expected
from tests.support.pure_stream import SOURCES, PureStream

WIRE = WireFormat()
LOAD = Load(seed=6, begin=1_780_000_000 * SECOND, agents=20, evolutions=100, nodes=3)
PLACE = PureStream(3).partition_of
SENT = [event for _, event in history(LOAD) if isinstance(event, SOURCES)]
EVENTS = [
    RawEvent(
        event.occurred_at // 1000,
        event.occurred_at,
        BY_RECORD[event.record].name,
        event.event_id.encode(),
        event.key.encode(),
        WIRE.encode(event),
        PLACE(event.key),
    )
    for event in SENT
]
RUBBISH = RawEvent(1, 1, EVOLUTION_COMPLETED.name, b"", b"", b"rubbish", 1)


async def computed(
    processes: int, events: Sequence[RawEvent] = EVENTS
) -> tuple[dict[str, dict[str, dict[str, object]]], int]:
    """Return the rows by record and id, as analysts would see them, and how many events were unreadable."""
    rows: dict[str, dict[str, dict[str, object]]] = {}
    async with Computing(StreamSettings(), WIRE, processes) as computing:
        for first in range(0, len(events), 150):
            for message in await computing.step([*events[first : first + 150], RUBBISH]):
                event = WIRE.decode(message.value)
                row = event.to_record()
                known = rows.setdefault(event.record, {}).get(event.event_id, {})
                if row.get("version", 0) >= known.get("version", 0):
                    rows[event.record][event.event_id] = row
        assert (len(computing.children) > 1) == (processes > 1)
        return rows, computing.unreadable


async def test_rows_are_the_models_however_many_processes_compute() -> None:
    alone, together = await asyncio.gather(computed(1), computed(2))
    assert alone == together and alone[1] == -(-len(EVENTS) // 150)
    wanted = expected(SENT, PLACE)
    for record, rows in alone[0].items():
        assert len(rows) > 90
        assert differences(getattr(wanted, BY_RECORD[record].table), rows) == []


@pytest.mark.parametrize("processes", [1, 2])
async def test_an_agents_events_count_together_though_partitions_were_added(
    processes: int,
) -> None:
    grown = len(EVENTS) // 2
    events = [
        RawEvent(
            e.timestamp, e.occurred_at, e.topic, e.event_id, e.key, e.value, e.partition + 3 * (n >= grown)
        )
        for n, e in enumerate(EVENTS)
    ]
    homes: dict[str, int] = {}
    for event in events:
        homes.setdefault(event.key.decode(), event.partition)
    assert any(event.partition != homes[event.key.decode()] for event in events)
    wanted = expected(SENT, homes.__getitem__)
    rows, _ = await computed(processes, events)
    assert set(rows) == {"evolution_metrics", "kpi_delta", "success_rate"}
    for record, found in rows.items():
        assert differences(getattr(wanted, BY_RECORD[record].table), found) == []


async def test_a_process_that_dies_or_fails_ends_the_replay_with_a_word() -> None:
    async with Computing(StreamSettings(), WIRE, 2) as computing:
        with pytest.raises(KeyError, match="reads no topic other"):
            await computing.step([RawEvent(1, 1, "other", b"", b"", b"", 1)])
        for child in computing.children:
            child.process.kill()
        with pytest.raises(RuntimeError, match="has ended"):
            await computing.step(EVENTS[:9])
