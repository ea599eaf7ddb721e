"""A snapshot is compared with the one before it in event time, as far back as snapshots are remembered."""

from __future__ import annotations

import random
from typing import Any

import pytest

from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.processors import snapshots as module
from evometrics.streams.processors.snapshots import (
    SNAPSHOT_IDS,
    SNAPSHOT_LIMIT,
    SNAPSHOTS,
    Agent,
    SnapshotProcessor,
    agent_of,
    entry_key,
    time_of,
)
from evometrics.streams.rows.deltas import SnapshotRows
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.live import Sourced
from tests.support.pure_stream import PureStream

WIRE = WireFormat()
SECOND = 1_000_000
BEGIN = 1_780_000_000 * SECOND
LATENESS = 10


def taken(number: int, second: float, agent: str = "a", **kpis: float) -> KpiSnapshot:
    return KpiSnapshot(
        event_id=f"00000000-0000-7000-8000-{number:012d}",
        agent_id=agent,
        node_id="n",
        occurred_at=BEGIN + round(second * SECOND),
        phase="continuous",
        accuracy=number / 8,
        **kpis,  # type: ignore[arg-type]
    )


@pytest.fixture
def stream() -> PureStream:
    return PureStream(1, StreamSettings(allowed_lateness_seconds=LATENESS))


def read(stream: PureStream, *snapshots: KpiSnapshot, restart: bool = False) -> None:
    for snapshot in snapshots:
        stream.publish(snapshot)
        stream.run(random.Random(0))
        if restart:
            stream.restart()


def predecessors(stream: PureStream) -> dict[int, int | None]:
    """Return the number of each snapshot's predecessor, by the snapshot's."""

    def number(event_id: str | None) -> int | None:
        return None if event_id is None else int(event_id[-12:])

    rows = stream.rows("kpi_delta").values()
    found = {number(row["snapshot_event_id"]): number(row["previous_event_id"]) for row in rows}
    return {key: found[key] for key in sorted(found, key=lambda key: key or 0) if key is not None}


@pytest.mark.parametrize("restart", [False, True])
def test_a_late_snapshot_comes_between_its_neighbours(stream: PureStream, restart: bool) -> None:
    read(stream, taken(1, 0), taken(2, 4), taken(3, 2), taken(4, -1), taken(5, 6), restart=restart)
    assert predecessors(stream) == {1: 4, 2: 3, 3: 1, 4: None, 5: 2}
    row = next(r for r in stream.rows("kpi_delta").values() if r["previous_event_id"] is None)
    assert (row["deltas"], row["previous_at"], row["version"]) == ({}, None, 0)


def test_agents_are_compared_with_themselves(stream: PureStream) -> None:
    read(stream, taken(1, 0), taken(2, 1, "b"), taken(3, 2), taken(4, 3, "b"))
    assert predecessors(stream) == {1: None, 2: None, 3: 1, 4: 2}


def test_of_snapshots_at_one_time_the_event_id_decides(stream: PureStream) -> None:
    read(stream, taken(2, 0), taken(3, 0), taken(1, 0))
    assert predecessors(stream) == {1: None, 2: 1, 3: 2}


@pytest.mark.parametrize("restart", [False, True])
def test_the_last_snapshot_before_the_horizon_is_kept_as_a_predecessor(
    stream: PureStream, restart: bool
) -> None:
    read(stream, taken(1, 0), taken(2, 5), taken(3, 20), restart=restart)
    read(stream, taken(4, 7), restart=restart)  # 3 s beyond the lateness, its predecessor is still known
    assert predecessors(stream) == {1: None, 2: 1, 3: 4, 4: 2}


def test_a_snapshot_that_does_not_stay_in_memory_is_read_again(
    stream: PureStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT_LIMIT", 0)
    read(stream, taken(1, 0), taken(2, 10), taken(3, 5), taken(4, 7), taken(5, -5))
    assert predecessors(stream) == {1: 5, 2: 4, 3: 1, 4: 3, 5: None}


@pytest.mark.parametrize("restart", [False, True])
def test_before_all_that_is_remembered_a_snapshot_has_no_predecessor_and_is_none(
    stream: PureStream, restart: bool
) -> None:
    read(stream, taken(1, 0), taken(2, 5), taken(3, 20), restart=restart)
    read(stream, taken(4, 4), restart=restart)
    assert predecessors(stream) == {1: None, 2: 1, 3: 2, 4: None}
    assert [outcome.too_late for outcome in stream.outcomes] == [0, 0, 0, 1]


def test_nothing_is_forgotten_within_the_lateness(stream: PureStream) -> None:
    read(stream, taken(1, 0), taken(2, 10), taken(3, -5))
    assert predecessors(stream) == {1: 3, 2: 1, 3: None}
    assert [outcome.too_late for outcome in stream.outcomes] == [0, 0, 0]


def remembered(seconds: list[float], lateness: int = LATENESS) -> tuple[list[float], bool]:
    """Return the seconds of the snapshots that are kept of those, and whether it is known that some were."""
    processor = SnapshotProcessor(StreamSettings(allowed_lateness_seconds=lateness), WIRE)
    agent = Agent(entries=[entry_key(taken(n, second)) for n, second in enumerate(seconds)])
    entries = list(agent.entries)
    dropped = processor.drop_old(agent)
    assert dropped + agent.entries == entries
    return [(time_of(key) - BEGIN) / SECOND for key in agent.entries], agent.state.forgotten


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ([], []),
        ([0], [0]),
        ([0, 20], [0, 20]),
        ([0, 5, 20], [5, 20]),
        ([0, 10, 20], [0, 10, 20]),
        ([0, 9.999999, 20], [9.999999, 20]),
        ([0, 1, 2, 9, 10, 11, 20], [9, 10, 11, 20]),
        ([0, 1, 2, 30], [2, 30]),
    ],
)
def test_snapshots_before_the_horizon_are_dropped_except_the_last(
    seconds: list[float], kept: list[float]
) -> None:
    assert remembered(seconds) == (kept, len(kept) < len(seconds))


def test_a_number_of_snapshots_is_remembered_however_close_they_are() -> None:
    seconds = [float(n) for n in range(SNAPSHOT_LIMIT)]
    assert remembered(seconds, 10_000) == (seconds, False)
    assert remembered([*seconds, 500.0, 501.0], 10_000) == ([*seconds[2:], 500.0, 501.0], True)


def test_a_key_names_time_and_agent() -> None:
    key = entry_key(taken(1, 3, "agent-ü"))
    assert (time_of(key), agent_of(key)) == (BEGIN + 3 * SECOND, "agent-ü")
    assert entry_key(taken(9, 3)) < entry_key(taken(1, 3.000001)) < entry_key(taken(2, 3.000001))


def test_what_was_applied_before_a_crash_is_fenced_and_what_comes_twice_is_a_duplicate() -> None:
    stored: dict[str, dict[bytes, bytes]] = {SNAPSHOTS: {}, SNAPSHOT_IDS: {}}
    events = [taken(1, 0), taken(2, 1), taken(2, 1), taken(3, 2)]
    read = [SnapshotRows(WIRE).stored(WIRE.encode(event)) for event in events]
    batch: list[Any] = [Sourced("t", 0, n, each, each.value) for n, each in enumerate(read)]

    def counted(processor: SnapshotProcessor) -> tuple[int, int, int]:
        outcome = processor.process(0, batch, stored)
        for name, _, values in outcome.writes:
            for key, value in values.items():
                assert value is not None
                stored[name][key] = value
        return outcome.applied, outcome.duplicates, outcome.fenced

    assert counted(SnapshotProcessor(StreamSettings(), WIRE)) == (3, 1, 0)
    assert counted(SnapshotProcessor(StreamSettings(), WIRE)) == (0, 0, 4)
