"""A dead letter fits its topic whatever its message is, and says what of it is kept."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.letters.letter import CUT, KEY_BYTES, KEY_CUT, ROOM_BYTES, STAGES, dead_letter
from evometrics.schemas.wire.framing import WireFormat

WIRE = WireFormat()
#: What a topic takes unless it is told otherwise, less a record batch's own bytes (Kafka 4.4).
KAFKAS_DEFAULT = 1_048_588 - 100


class Message(NamedTuple):
    """What a letter is made of."""

    key: bytes | None
    value: bytes | None
    timestamp: int = 1_780_000_000_000
    topic: str = "evometrics.kpi.snapshots"
    partition: int = 3
    offset: int = 2**40


def parts(most: int) -> st.SearchStrategy[bytes | None]:
    """Bytes of all kinds and sizes up to twice a limit; the large ones are one piece again and again."""
    piece = st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff", b"\xe2\x82", b"a", b"\0"])
    sizes = st.integers(0, 50) | st.integers(most - 9, most + 9) | st.integers(0, 2 * most)
    return st.none() | st.builds(lambda some, size: (some * size)[:size], piece, sizes)


@given(
    st.tuples(parts(KEY_BYTES), parts(ROOM_BYTES), st.integers(-1, 2**50)).map(lambda each: Message(*each)),
    st.sampled_from(STAGES),
    st.text(st.characters(), max_size=30) | st.sampled_from(["\ud800" * 2000, "€" * 2000]),
    st.text(max_size=5),
)
def test_a_letter_of_any_message_is_taken_by_a_topic_with_kafkas_own_limit(
    message: Message, stage: str, reason: str, node_id: str
) -> None:
    letter = dead_letter(message, stage, reason, node_id)
    value = WIRE.encode(letter)
    assert len(value) + len(letter.key.encode()) < KAFKAS_DEFAULT
    assert WIRE.decode(value) == letter
    for whole, kept, note in (
        (message.key, letter.message_key, KEY_CUT),
        (message.value, letter.message_value, CUT),
    ):
        said = note.search(letter.reason)
        if whole == kept:
            assert said is None
        else:
            assert whole is not None and kept is not None and whole.startswith(kept)
            assert said is not None and int(said[1]) == len(whole)
    assert letter.agent_id in ("", (message.key or b"").decode(errors="replace"))


@pytest.mark.parametrize(
    ("room", "kept"), [(10_000, (2, 9_998)), (1, (1, 0)), (0, (0, 0))], ids=lambda each: str(each)
)
def test_with_less_room_there_is_less_of_it(room: int, kept: tuple[int, int]) -> None:
    letter = dead_letter(Message(b"ab", b"x" * 20_000), "sink", "no room", "n", room)
    assert (len(letter.message_key or b""), len(letter.message_value or b"")) == kept
    assert letter.reason.startswith("no room") and letter.reason.endswith("of its 20000 bytes are kept here)")


def test_what_is_absent_stays_absent_and_the_id_is_the_messages() -> None:
    letter, again = (dead_letter(Message(None, None), "stream", said, "n") for said in ("one", "other"))
    assert (letter.message_key, letter.message_value, letter.reason) == (None, None, "one")
    assert letter.event_id == again.event_id != dead_letter(Message(None, None), "sink", "one", "n").event_id
