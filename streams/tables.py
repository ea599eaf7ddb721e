"""State tables: Faust tables whose values are bytes per partition, written after their outputs.

The values' changelog topics, their recovery and their place in rebalances are Faust's. Writing is ours:
`write` waits for the broker's acknowledgement, because the source offset may be committed right after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import faust
from faust.stores import memory
from faust.types import TP, EventT

from evometrics.schemas.validation import MAX_EVENT_BYTES
from evometrics.streams.outputs import Message, OutputProducer
from evometrics.streams.state import rank_of


class PartitionStore(memory.Store):
    """Values by partition and key; of two values for one key the higher rank stays."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.data: dict[int, dict[bytes, bytes]] = {}

    def apply_changelog_batch(self, batch: Iterable[EventT], to_key: Any, to_value: Any) -> None:
        """Take over recovered values, whatever the order in which a stale worker's writes came."""
        for event in batch:
            message = event.message
            values = self.data.setdefault(message.partition, {})
            known = values.get(message.key)
            if message.value is not None and (known is None or rank_of(message.value) >= rank_of(known)):
                values[message.key] = message.value

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Forget partitions that are another worker's now."""
        mine = {tp.partition for tp in active_tps | standby_tps}
        for partition in self.data.keys() - mine:
            del self.data[partition]


class PartitionView:
    """One partition of a table, to read from."""

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self.values = values

    def get(self, key: bytes) -> bytes | None:
        """Return a value, None where there is none."""
        return self.values.get(key)

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Return all keys and values."""
        return self.values.items()


class StateTable(faust.Table):
    """A Faust table of state bytes."""

    def _new_store(self) -> PartitionStore:
        return PartitionStore(
            "memory://", self.app, self, table_name=self.name, key_type=bytes, value_type=bytes
        )

    def partition(self, number: int) -> PartitionView:
        """Return one partition's values."""
        return PartitionView(self.data.data.setdefault(number, {}))

    async def write(
        self, producer: OutputProducer, writes: Iterable[tuple[int, Mapping[bytes, bytes]]]
    ) -> None:
        """Write values to the changelog, wait until the broker has them, then take them over."""
        writes = list(writes)
        topic = self.changelog_topic_name
        await producer.send_all(
            Message(topic, key, value, partition)
            for partition, values in writes
            for key, value in values.items()
        )
        for partition, values in writes:
            self.data.data.setdefault(partition, {}).update(values)


def add_table(app: faust.App, name: str, partitions: int) -> StateTable:
    """Add a state table to an app."""
    table = StateTable(
        app,
        name=name,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        extra_topic_configs={
            "max.message.bytes": str(2 * MAX_EVENT_BYTES),
            # a write counts once it would outlive the loss of any one of its copies' brokers
            "min.insync.replicas": str(max(1, app.conf.topic_replication_factor - 1)),
        },
    )
    app.tables.add(table)
    return table
