"""Whatever somebody else writes into the stream's own topic becomes a dead letter, and stops nothing."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.topics import SCOPE_COUNTS
from evometrics.streams.formulas.windows import FLEET, Counts, Scope
from evometrics.streams.offline import record_of
from evometrics.streams.processors.scope_counts import ScopeCounts
from evometrics.streams.producer import Message
from tests.support.model import SECOND
from tests.support.pure_stream import PureStream

AT = 1_760_000_000 * SECOND
NONE: Counts = {}


def counts(*windows: Counts, source: int = 0, scope: Scope = FLEET) -> Message:
    return ScopeCounts(source, list(windows)).message(scope)


def completed(number: int) -> EvolutionCompleted:
    return EvolutionCompleted(
        event_id=f"018f3e1c-0000-7000-8000-{number:012}",
        agent_id=f"agent-{number}",
        node_id="node",
        occurred_at=AT + number * SECOND,
        evolution_id=f"e{number}",
        started_at=AT,
        success=True,
    )


RIGHT = counts({1: (2, 1)}, NONE, NONE)
assert RIGHT.value is not None
FOREIGN = [
    counts(),
    counts(NONE, NONE),
    counts(NONE, NONE, NONE, NONE),
    counts({-1: (1, 1)}, NONE, NONE),
    counts({2**40: (1, 1)}, NONE, NONE),
    counts({1: (1, 2)}, NONE, NONE),
    counts({1: (-1, -2)}, NONE, NONE),
    counts(NONE, NONE, NONE, source=-1),
    counts(NONE, NONE, NONE, scope=Scope("agent", "a")),
    counts(NONE, NONE, NONE, scope=Scope("", "")),
    Message(SCOPE_COUNTS, RIGHT.key, RIGHT.value + b"!"),
    Message(SCOPE_COUNTS, RIGHT.key, bytes(5)),
    Message(SCOPE_COUNTS, b"\xff", RIGHT.value),
]


def rates(*foreign: Message) -> tuple[int, dict[str, Any]]:
    """Return how many dead letters foreign messages make among evolutions, and the rates of these."""
    stream = PureStream(partitions=1)
    log = stream.logs[SCOPE_COUNTS, 0]
    for number in range(3):
        stream.publish(completed(number))
        for message in foreign:
            assert message.value is not None
            log.append(record_of(SCOPE_COUNTS, 0, len(log), message.key, message.value, 0))
        stream.run(random.Random(number))
    return len(stream.letters), stream.rows("success_rate")


def test_what_no_stream_has_counted_is_a_dead_letter_and_changes_no_rate() -> None:
    letters, rows = rates()
    assert letters == 0 and rows
    assert rates(*FOREIGN) == (3 * len(FOREIGN), rows)


@given(st.binary(max_size=30), st.sampled_from([b"fleet|all", b"node|n", b"", b"\xff", b"agent|a"]))
@settings(max_examples=150, deadline=None)
def test_bytes_of_any_kind_stop_nothing(value: bytes, key: bytes) -> None:
    rates(Message(SCOPE_COUNTS, key, value))
