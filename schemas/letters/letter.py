"""The dead letter of a message that could not be read, computed with or stored; stream and sink write them.

A letter fits its topic whatever the message is: key, value and reason are truncated where they exceed their
room, and the reason says so. The complete message stays in its topic.
"""

from __future__ import annotations

import re

from evometrics.schemas.events import DeadLetter
from evometrics.schemas.ids import derived_id
from evometrics.schemas.rules.validation import NAME_CHARACTERS
from evometrics.schemas.wire.reading import Record

STREAM, SINK = "stream", "sink"
STAGES = (STREAM, SINK)
#: Most bytes of key and value in a letter: with its other fields they stay below 1,048,588, the default size
#: limit of a topic's messages (Kafka's `max.message.bytes`).
ROOM_BYTES = 900_000
#: Of these, most bytes of the key.
KEY_BYTES = 100_000
REASON_CHARACTERS = 1000
CUT_NOTE = " (the first {kept} of its {whole} bytes are kept here)"
KEY_NOTE = " (the first {kept} of its key's {whole} bytes are kept here)"
#: The end of a letter's reason if its message is truncated; the group is the original size.
CUT = re.compile(r" \(the first \d+ of its (\d+) bytes are kept here\)$")
KEY_CUT = re.compile(r" \(the first \d+ of its key's (\d+) bytes are kept here\)")


def dead_letter(message: Record, stage: str, reason: str, node_id: str, room: int = ROOM_BYTES) -> DeadLetter:
    """Return the letter of a message.

    `stage`: `STREAM` or `SINK`; `node_id`: who gave up on the message; `room`: most bytes of its key and
    value.
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
    """Return as many bytes as there is room for, and the note where that is not all of them."""
    if whole is None or len(whole) <= room:
        return whole, ""
    return whole[:room], note.format(kept=room, whole=len(whole))


def letter_id(message: Record, stage: str) -> str:
    """Return a letter's id, which is the same if the message is read again."""
    place = (message.topic, message.partition, message.offset, stage)
    # the two stages keep the ids that they used before they shared this function
    return derived_id(*place) if stage == SINK else derived_id(DeadLetter.record, *place)


def agent_of(key: bytes | None) -> str:
    """Return a message's key if it can be an agent's id, otherwise an empty text."""
    try:
        agent = (key or b"").decode()
    except UnicodeDecodeError:
        return ""
    return agent if len(agent) <= NAME_CHARACTERS else ""
