"""The engine's own configuration: how its background merges share a machine with inserts and their clients.

As it comes, chDB runs four merges at once, of up to a hundred parts each. A merge holds a granule of every
part that it reads, so merges alone could take more memory than all else in the process.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

# Two merges at once: where one of them is long, the other keeps the number of small parts down.
SERVER = {
    "background_pool_size": "2",
    "background_merges_mutations_concurrency_ratio": "1",
}
# Few parts in a merge hold little memory, and a row is merged a little more often. While one merge runs a
# second one is of 400 MB at most (halfway between the engine's least and most, on a logarithmic scale): two
# long ones at once would leave new parts unmerged until inserts are slowed down.
MERGE_TREE = {
    "max_parts_to_merge_at_once": "6",
    "number_of_free_entries_in_pool_to_lower_max_size_of_merge": "2",
}


@contextlib.contextmanager
def configured(folder: Path) -> Iterator[str]:
    """Yield what to connect to for the folder's engine to have this configuration.

    The first connection of a process decides; the file is unnamed and nothing is left of it. A `?` in the
    folder's path would begin options of chDB's.
    """
    with tempfile.TemporaryFile(prefix="evometrics-engine-") as file:
        file.write(document(SERVER, MERGE_TREE).encode())
        file.flush()
        yield f"{folder}?config-file=/dev/fd/{file.fileno()}"


def document(server: Mapping[str, str], merge_tree: Mapping[str, str]) -> str:
    """Return a configuration file of ClickHouse's."""
    return f"<clickhouse>{elements(server)}<merge_tree>{elements(merge_tree)}</merge_tree></clickhouse>\n"


def elements(settings: Mapping[str, str]) -> str:
    """Return each setting as an XML element."""
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in settings.items())
