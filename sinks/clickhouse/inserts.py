"""How rows are inserted, whoever inserts them."""

from __future__ import annotations

#: One insert is one block per month of the table whatever it spans, stored before it is acknowledged, on a
#: cluster (where the table is a Distributed one) by the shards. What is in a block twice is found where any
#: duplicate is, when parts merge and by FINAL, and not looked for at each insert, whose third that is. More
#: threads find nothing to share in one block: making them ready takes a fifth of a small insert.
INSERT_SETTINGS = {
    "async_insert": 0,
    "optimize_on_insert": 0,
    "max_threads": 1,
    "insert_deduplicate": 1,
    "max_partitions_per_insert_block": 0,
    "distributed_foreground_insert": 1,
}
