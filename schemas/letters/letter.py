"""The dead letter of a message that could not be read, computed with or stored; stream and sink write them.

A letter fits its topic whatever the message is: key, value and reason are cut where they are longer than
there is room for, and the reason says so. The whole message stays in its topic.
"""

from __future__ import annotations

import re

from evometrics.schemas.events import DeadLetter
from evometrics.schemas.ids import derived_id
from evometrics.schemas.rules.validation import NAME_CHARACTERS
from evometrics.schemas.wire.reading import Record

STREAM, SINK = "stream", "sink"
STAGES = (STREAM, SINK)
#: Bytes of key and value that a letter keeps: with all else it has they stay below 1,048,588, the largest
#: message that a topic takes unless it is told otherwise (Kafka's `max.message.bytes`).
ROOM_BYTES = 900_000
#: Of these, for the key at most.
KEY_BYTES = 100_000
REASON_CHARACTERS = 1000
CUT_NOTE = " (the first {kept} of its {whole} bytes are kept here)"
KEY_NOTE = " (the first {kept} of its key's {whole} bytes are kept here)"
#: How the reason of a letter ends whose message is not kept whole; the group is how large it was.
CUT = re.compile(r" \(the first \d+ of its (\d+) bytes are kept here\)$")
KEY_CUT = re.compile(r" \(the first \d+ of its key's (\d+) bytes are kept here\)")


def dead_letter(message: Record, stage: str, reason: str, node_id: str, room: int = ROOM_BYTES) -> DeadLetter:
    """Return the letter of a message.

    `stage`: `STREAM` or `SINK`; `node_id`: who gave up on the message; `room`: bytes of its key and value to
    keep.
    """
    words = reason[:REASON_CHARACTERS].encode(errors="backslashreplace").decode()
    key, of_key = kept(message.key, min(KEY_BYTES, room), KEY_NOTE)
    value, of_value = kept(message.value, room - len(key or b""), CUT_NOTE)
    return DeadLetter(
        event_id=letter_id(message, stage),
        agent_id=agent_of(message.key),
        node_id=node_id,
        occurred_at=max(message.timestamp, 0) * 1000,
        source_topic=message.topic,
        source_partition=message.partition,
        source_offset=message.offset,
        stage=stage,
        reason=words + of_key + of_value,
        message_key=key,
        message_value=value,
    )


def kept(whole: bytes | None, room: int, note: str) -> tuple[bytes | None, str]:
    """Return as much of some bytes as there is room for, and the note where that is not all."""
    if whole is None or len(whole) <= room:
        return whole, ""
    return whole[:room], note.format(kept=room, whole=len(whole))


def letter_id(message: Record, stage: str) -> str:
    """Return a letter's id: that of a message read again is the same."""
    place = (message.topic, message.partition, message.offset, stage)
    # the two stages name theirs in the way in which they did before they shared this
    return derived_id(*place) if stage == SINK else derived_id(DeadLetter.record, *place)


def agent_of(key: bytes | None) -> str:
    """Return a message's key where it can be an agent's id, else an empty text."""
    try:
        agent = (key or b"").decode()
    except UnicodeDecodeError:
        return ""
    return agent if len(agent) <= NAME_CHARACTERS else ""
