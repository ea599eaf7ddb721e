"""Signatures of the compiled module; its purpose is explained in `id_rings.pyx`."""

from collections.abc import Mapping

from evometrics.streams.states.live import ReadStates

#: Ids in a segment: the unit that a single event rewrites.
SEGMENT_IDS: int
#: Segments of a ring: 4,096 ids, and one segment more, which is being filled.
SEGMENTS: int
#: Rings of one source topic in a partition; the one longest unused makes room for another node's. A full one
#: takes about half a megabyte.
RING_LIMIT: int

def id_number(event_id: str) -> int:
    """Return the 64 bits that identify an id. Raises ValueError if it is not a UUID."""

class Ring:
    """The newest ids of one node.

    Attributes:
        known: the offset of each id, oldest first.
        number: running number of the segment that is being filled.
        used: offset of the last event that was looked up.
    """

    @property
    def known(self) -> Mapping[int, int]: ...
    @property
    def number(self) -> int: ...
    @property
    def used(self) -> int: ...

class Rings:
    """The rings of one partition.

    Args:
        stored: their segments as last written.

    Attributes:
        rings: by source topic and node.

    Raises ValueError or `struct.error` if a segment's bytes are invalid.
    """

    def __init__(self, stored: ReadStates) -> None: ...
    @property
    def rings(self) -> Mapping[tuple[str, str], Ring]: ...
    def new(self, topic: str, node_id: str, event_id: str, offset: int) -> bool:
        """Return whether a message's event is new, and remember it. Raises ValueError as `id_number` does."""

    def writes(self) -> dict[bytes, bytes | None]:
        """Return the changes since the last call: segments by slot, None for those to delete."""
