"""KPI snapshots -> differences from the previous snapshot, in event time, and what they recommend.

Each remembered snapshot has a key of its own, in the order of event time; each agent has a state with its
fence and whether older snapshots were dropped. A batch writes new snapshots first, then the agents' states,
then tombstones for dropped snapshots. A crash between any two of these writes changes no row:

- Before an agent's state is written its snapshots are computed again, and some of them are stored already. A
  stored snapshot is not inserted twice, and its rows are made with its present neighbours: the same as the
  first time, or closer ones. A row's version is its predecessor's time, so the closest predecessor ever known
  wins, which is the result of the first time as well. Nothing that the rows need was deleted.
- After it, dropped snapshots may still be stored. `forgotten` says so, and loaded snapshots are checked
  against the limits immediately: the limits depend on the snapshots alone, so the same ones are dropped.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from evometrics.schemas.kpis.performance import KpiThresholds
from evometrics.schemas.topics import KPI_DELTAS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import SECOND
from evometrics.streams.producer import Message
from evometrics.streams.rows.deltas import SnapshotRows
from evometrics.streams.rows.rows import SnapshotKpis
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.agent_states import SnapshotState
from evometrics.streams.states.id_rings import Rings
from evometrics.streams.states.live import Outcome, ReadStates, Sourced

SNAPSHOTS = "snapshots"
SNAPSHOT_IDS = "snapshot-ids"
#: The lane's tables in the order in which they are written.
SNAPSHOT_TABLES = (SNAPSHOTS, SNAPSHOT_IDS)
#: Snapshots remembered per agent, to find the predecessor of a late one.
SNAPSHOT_LIMIT = 128
#: Snapshots of a partition that stay as they are compared, a kB each; reading one again takes microseconds.
RECENT_LIMIT = 4_000
#: First bytes of the keys of agents' states and of snapshots.
AGENT, ENTRY = b"a", b"s"
#: Length of a snapshot's time (big-endian) and of its event_id in a key; the agent follows.
TIME_BYTES, ID_BYTES = 8, 36


def entry_key(event: SnapshotKpis) -> bytes:
    """Return a snapshot's key: an agent's keys are in the order of event time; event_id breaks ties."""
    at = event.occurred_at.to_bytes(TIME_BYTES, "big")
    return b"".join((ENTRY, at, event.event_id.encode(), event.agent_id.encode()))


def agent_of(key: bytes) -> str:
    """Return the agent in a snapshot's key."""
    return key[1 + TIME_BYTES + ID_BYTES :].decode()


def time_of(key: bytes) -> int:
    """Return the time in a snapshot's key."""
    return int.from_bytes(key[1 : 1 + TIME_BYTES], "big")


@dataclass(slots=True)
class Agent:
    """In-memory state of an agent.

    Attributes:
        entries: the keys of its snapshots, oldest first.
    """

    state: SnapshotState = field(default_factory=SnapshotState)
    entries: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class LiveSnapshots:
    """In-memory state of a partition.

    Attributes:
        dropped: keys of stored snapshots that are beyond the limits.
        unwritten: the batch's snapshots by key.
        recent: some snapshots by key, those that were last needed.
    """

    agents: dict[str, Agent]
    rings: Rings
    stored: ReadStates
    dropped: list[bytes]
    unwritten: dict[bytes, bytes] = field(default_factory=dict)
    recent: dict[bytes, SnapshotKpis] = field(default_factory=dict)

    def snapshot(self, key: bytes, rows: SnapshotRows) -> SnapshotKpis:
        """Return an agent's snapshot by key."""
        found = self.recent.get(key)
        if found is None:
            value = self.unwritten.get(key) or self.stored.get(key)
            assert value is not None, "a snapshot is remembered as long as its key"
            found = self.recent[key] = rows.stored(value)
        return found


class SnapshotProcessor:
    """Turns batches of snapshots of one partition into outcomes; pure except for the states in memory.

    As in `evolutions`, these are loaded from the stored states, and dropped by `forget`.
    """

    def __init__(
        self, settings: StreamSettings, wire: WireFormat, thresholds: KpiThresholds | None = None
    ) -> None:
        self.lateness = settings.allowed_lateness_seconds * SECOND
        self.rows = SnapshotRows(wire, thresholds)
        self.live: dict[int, LiveSnapshots] = {}

    def forget(self, partition: int) -> None:
        """Drop the in-memory state of a partition; it is rebuilt from the stored states."""
        self.live.pop(partition, None)

    def process(
        self, partition: int, batch: Iterable[Sourced[SnapshotKpis]], stored: Mapping[str, ReadStates]
    ) -> Outcome:
        """Process a batch of one partition, in offset order."""
        live = self.live.get(partition)
        if live is None:
            live = self.live[partition] = self.load(stored)
        outcome = Outcome()
        changed: dict[str, Agent] = {}
        dropped = dict.fromkeys(live.dropped)
        live.unwritten, live.dropped = {}, []
        for key in list(islice(live.recent, max(0, len(live.recent) - RECENT_LIMIT))):
            del live.recent[key]
        for item in batch:
            event = item.event
            # fenced events are looked up as well: their ids may not have been written
            new = live.rings.new(item.topic, event.node_id, event.event_id, item.offset)
            agent = live.agents.get(event.agent_id)
            if agent is None:
                agent = live.agents[event.agent_id] = Agent()
            if item.offset <= agent.state.applied:
                outcome.fenced += 1
                continue
            changed[event.agent_id] = agent
            agent.state.applied = item.offset
            if not new:
                outcome.duplicates += 1
                continue
            outcome.applied += 1
            self.insert(item, agent, live, outcome)
            dropped.update(dict.fromkeys(self.drop_old(agent)))
        writes: dict[bytes, bytes | None] = {k: v for k, v in live.unwritten.items() if k not in dropped}
        writes.update((AGENT + name.encode(), agent.state.encode()) for name, agent in changed.items())
        writes.update((key, None) for key in dropped if live.stored.get(key) is not None)
        outcome.writes = [
            (SNAPSHOTS, partition, writes),
            (SNAPSHOT_IDS, partition, live.rings.writes()),
        ]
        return outcome

    def insert(
        self, item: Sourced[SnapshotKpis], agent: Agent, live: LiveSnapshots, outcome: Outcome
    ) -> None:
        """Insert a snapshot at its place in event time; emit its delta and its successor's corrected one."""
        now, entries = item.event, agent.entries
        key = entry_key(now)
        place = bisect.bisect_left(entries, key)
        there = place < len(entries) and entries[place] == key
        if place == 0 and not there and agent.state.forgotten:
            outcome.too_late += 1
            self.emit(now, None, outcome)
            return
        following = place + there
        self.emit(now, live.snapshot(entries[place - 1], self.rows) if place else None, outcome)
        if following < len(entries):
            self.emit(live.snapshot(entries[following], self.rows), now, outcome)
        if not there:
            entries.insert(place, key)
            live.unwritten[key] = item.value
            live.recent[key] = now

    def emit(self, now: SnapshotKpis, before: SnapshotKpis | None, outcome: Outcome) -> None:
        """Emit a snapshot's difference from the previous one."""
        row = self.rows.row(now, before)
        outcome.messages.append(Message(KPI_DELTAS.name, now.agent_id.encode(), row))

    def drop_old(self, agent: Agent) -> list[bytes]:
        """Drop an agent's snapshots beyond the limits; return their keys."""
        entries = agent.entries
        horizon = time_of(entries[-1]) - self.lateness if entries else 0
        number = max(0, len(entries) - SNAPSHOT_LIMIT)
        while number + 1 < len(entries) and time_of(entries[number + 1]) < horizon:
            number += 1
        dropped = entries[:number]
        if dropped:
            del entries[:number]
            agent.state.forgotten = True
        return dropped

    def load(self, stored: Mapping[str, ReadStates]) -> LiveSnapshots:
        """Return a partition's in-memory state, loaded from its stored states."""
        agents: dict[str, Agent] = {}
        for key, value in stored[SNAPSHOTS].items():
            if key.startswith(ENTRY):
                agents.setdefault(agent_of(key), Agent()).entries.append(key)
            else:
                agents.setdefault(key[1:].decode(), Agent()).state = SnapshotState.decode(value)
        dropped: list[bytes] = []
        for agent in agents.values():
            agent.entries.sort()
            dropped += self.drop_old(agent)
        return LiveSnapshots(agents, Rings(stored[SNAPSHOT_IDS]), stored[SNAPSHOTS], dropped)
