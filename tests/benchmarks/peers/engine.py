"""The ceiling of a sink: containers that were made beforehand, posted to ClickHouse one after the other.

No Kafka and no Python between two posts but the reading of a file: what is left is ClickHouse's own work,
with the settings that our sink inserts with.
"""

from __future__ import annotations

import argparse
import urllib.parse
import urllib.request
from pathlib import Path

from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.schemas.wire.binary import write_block
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse.blocks import block_end, container, row_format
from evometrics.sinks.worker.writer import INSERT_SETTINGS
from tests.benchmarks.events import FRAMING, Events
from tests.benchmarks.fill import partition_of

INSERT_SECONDS = 300
COLUMNS = "columns"


def prepare(folder: Path, events: Events, count: int, rows: int, partitions: int, now_ms: int) -> None:
    """Write the containers of completions 0 up to but without `count`, at most `rows` in each."""
    folder.mkdir()
    fmt = row_format(WireFormat().writers["evolution_completed"])
    end, offsets = block_end(EVOLUTION_COMPLETED.name), [0] * partitions
    for first in range(0, count, rows):
        blocks = []
        for event in events.made(first, min(rows, count - first)):
            partition = partition_of(event.key, partitions)
            offset, offsets[partition] = offsets[partition], offsets[partition] + 1
            blocks.append(write_block(partition, offset, now_ms, event.value, FRAMING, end))
        (folder / f"{first:012d}.avro").write_bytes(container(fmt, blocks))
    (folder / COLUMNS).write_text(", ".join(fmt.columns))


def main() -> None:
    """Post every container, then wait to be ended."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--folder", type=Path, required=True)
    parse.add_argument("--clickhouse-url", required=True)
    args = parse.parse_args()
    columns = (args.folder / COLUMNS).read_text()
    query = f"INSERT INTO {EVOLUTION_COMPLETED.table}_rows ({columns}) FORMAT Avro"
    asked = {"query": query, "database": "evometrics", **INSERT_SETTINGS, "insert_deduplicate": 0}
    target = f"{args.clickhouse_url}/?{urllib.parse.urlencode(asked)}"
    for file in sorted(args.folder.glob("*.avro")):
        request = urllib.request.Request(target, method="POST", data=file.read_bytes())
        with urllib.request.urlopen(request, timeout=INSERT_SECONDS) as answer:
            answer.read()
    (args.folder / "done").touch()


if __name__ == "__main__":
    main()
