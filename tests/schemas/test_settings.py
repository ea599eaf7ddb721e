"""Settings come from flags, environment and file, in that order, and errors name where from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from uuid import UUID

import pytest

from evometrics.schemas.ids import derived_id, new_event_id
from evometrics.schemas.settings import KafkaSettings, SettingsError, read_settings


@dataclass(frozen=True)
class Sample:
    count: int = 1
    ratio: float = 0.5
    on: bool = False
    name: str | None = None


def read(**kwargs: object) -> Sample:
    return read_settings(Sample, "sample", **{"environ": {}, **kwargs})  # type: ignore[arg-type]


def test_flags_win_over_environment_over_file_over_default() -> None:
    file = {"sample": {"count": 2, "ratio": 0.2, "name": "file"}}
    environ = {"EVOMETRICS_SAMPLE_COUNT": "3", "EVOMETRICS_SAMPLE_RATIO": "0.3"}
    found = read(file=file, environ=environ, flags={"count": 4, "on": None})
    assert found == Sample(count=4, ratio=0.3, on=False, name="file")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"environ": {"EVOMETRICS_SAMPLE_COUNT": "many"}}, "EVOMETRICS_SAMPLE_COUNT='many'"),
        ({"environ": {"EVOMETRICS_SAMPLE_ON": "perhaps"}}, "EVOMETRICS_SAMPLE_ON='perhaps'"),
        ({"file": {"sample": {"ratio": "x"}}}, "[sample] ratio='x'"),
        ({"file": {"sample": {"coutn": 1}}}, "[sample] coutn"),
        ({"flags": {"count": "x"}}, "--count='x'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_source(given: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)):
        read(**given)


@pytest.mark.parametrize("brokers", ["", "localhost", "localhost:x", "localhost:0", "a:9092,b"])
def test_a_broker_address_that_cannot_be_is_refused(brokers: str) -> None:
    with pytest.raises(SettingsError, match="brokers"):
        KafkaSettings(brokers=brokers)


def test_event_ids_are_version_7_and_sort_by_time() -> None:
    ids = [new_event_id(milliseconds) for milliseconds in range(1000, 1100)]
    assert ids == sorted(ids)
    assert {UUID(i).version for i in ids} == {7}
    assert {UUID(i).variant for i in ids} == {"specified in RFC 4122"}
    assert len({new_event_id() for _ in range(1000)}) == 1000


def test_event_ids_of_a_forked_child_are_its_own() -> None:
    new_event_id()  # there are random digits left now, for the child to inherit
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_event_id(0).encode())
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 36).decode() != new_event_id(0)
    os.waitpid(child, 0)
    os.close(reader)


def test_derived_ids_depend_on_every_part_of_the_identity() -> None:
    assert derived_id("a", "b") == derived_id("a", "b")
    assert (
        len({derived_id("a", "b"), derived_id("ab", ""), derived_id("a", "b", 1), derived_id("b", "a")}) == 4
    )
