"""What the compiled module takes and returns; `rings.pyx` says what it is for."""

from collections.abc import Mapping

from evometrics.streams.states.live import ReadStates

#: Ids in a segment: what a single event rewrites.
SEGMENT_IDS: int
#: Segments of a ring: 4,096 ids, and one segment more, which is being filled.
SEGMENTS: int
#: Rings of one source topic in a partition; the one longest unused makes room for another node's. A full one
#: takes about half a megabyte.
RING_LIMIT: int

def id_number(event_id: str) -> int:
    """Return the 64 bits that an id is known by. Raises ValueError where it is no UUID."""

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
        stored: their segments, as they were written last.

    Attributes:
        rings: by source topic and node.

    Raises ValueError or `struct.error` where a segment's bytes are none.
    """

    def __init__(self, stored: ReadStates) -> None: ...
    @property
    def rings(self) -> Mapping[tuple[str, str], Ring]: ...
    def new(self, topic: str, node_id: str, event_id: str, offset: int) -> bool:
        """Tell whether a message's event is new, and remember it. Raises ValueError as `id_number` does."""

    def writes(self) -> dict[bytes, bytes | None]:
        """Return what has changed since this was last asked: segments by slot, None for those to delete."""
