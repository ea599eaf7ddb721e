"""Completions that lack something and came before their start: kept until it comes, the newest first.

The started topic may be read behind the completed one, and a node that was cut off may deliver a start long
after. Each completion is stored once, under a key of its own, and not in its agent's state, which is written
with each event. It is written before that state notes the completion as applied, and stays until newer ones
take its room: a leftover of one that was joined does no harm, as its agent no longer waits for the start.
"""

from __future__ import annotations

import hashlib
from collections import deque

from evometrics.schemas.wire.binary import read_long, write_long
from evometrics.streams.states.live import ReadStates

#: Bytes of one partition's completions; some 7,000 of them are remembered.
WAITING_BYTES = 8 * 1024 * 1024
KEY_BYTES = 16


def waiting_key(agent_id: str, evolution_id: str) -> bytes:
    """Return the key of an agent's evolution."""
    agent = agent_id.encode()
    name = b"%d:%b%b" % (len(agent), agent, evolution_id.encode())
    return hashlib.blake2b(name, digest_size=KEY_BYTES).digest()


class Waiting:
    """One partition's completions that wait for their start.

    Args:
        stored: the completions as last written, each preceded by its offset.
    """

    def __init__(self, stored: ReadStates) -> None:
        self.stored = stored
        self.pending: dict[bytes, bytes | None] = {}
        # oldest first; a key that was put again occurs twice, and goes with the older one
        found = sorted((read_long(value, 0)[0], key, len(value)) for key, value in stored.items())
        self.order = deque((key, size) for _, key, size in found)
        self.bytes = sum(size for _, size in self.order)

    def put(self, agent_id: str, evolution_id: str, offset: int, value: bytes) -> None:
        """Keep a completion's message value; the oldest are dropped to make room."""
        key, kept = waiting_key(agent_id, evolution_id), write_long(offset) + value
        self.pending[key] = kept
        self.order.append((key, len(kept)))
        self.bytes += len(kept)
        while self.bytes > WAITING_BYTES and len(self.order) > 1:
            oldest, size = self.order.popleft()
            self.bytes -= size
            self.pending[oldest] = None

    def get(self, agent_id: str, evolution_id: str) -> tuple[int, bytes] | None:
        """Return a completion's offset and message value, None if it is not kept."""
        key = waiting_key(agent_id, evolution_id)
        kept = self.pending[key] if key in self.pending else self.stored.get(key)
        if kept is None:
            return None
        offset, place = read_long(kept, 0)
        return offset, kept[place:]

    def writes(self) -> dict[bytes, bytes | None]:
        """Return the changes since the last call."""
        changed, self.pending = self.pending, {}
        return changed
