"""What a stream keeps of an event, it keeps as it would write it itself."""

from __future__ import annotations

import random

import pytest

from evometrics.schemas.events import EvolutionStarted, KpiSnapshot
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import newest, released
from evometrics.schemas.wire.datum import write_record
from evometrics.streams.producer import Message
from tests.support.examples import EXAMPLES
from tests.support.pure_stream import WIRE, PureStream


@pytest.mark.parametrize("record", [EvolutionStarted.record, KpiSnapshot.record])
def test_an_event_of_an_older_version_is_kept_in_the_newest(record: str) -> None:
    event = next(each for each in EXAMPLES if each.record == record)
    older = released()[record][0]
    assert older.fingerprint != newest(record).fingerprint
    value = b"\xc3\x01" + older.fingerprint + write_record(older, event.to_record())
    stream = PureStream(partitions=1)
    stream.append(Message(BY_RECORD[record].name, event.key.encode(), value), event.occurred_at // 1000)
    stream.run(random.Random(0))
    kept = b"".join(state for table in stream.tables.values() for state in table.data[0].values())
    assert WIRE.prefixes[record] in kept
    assert older.fingerprint not in kept
