"""Settings of all inserts of rows."""

from __future__ import annotations

#: One insert is one block per month of the table whatever it spans, stored before it is acknowledged, on a
#: cluster (where the table is a Distributed one) by the shards. Duplicates within a block are found like all
#: others, when parts merge and by FINAL, instead of being looked for at each insert, which takes a third of
#: its time. More threads have nothing to share in one block: setting them up takes a fifth of a small insert.
INSERT_SETTINGS = {
    "async_insert": 0,
    "optimize_on_insert": 0,
    "max_threads": 1,
    "insert_deduplicate": 1,
    "max_partitions_per_insert_block": 0,
    "distributed_foreground_insert": 1,
}
