"""What is handed to a recorder is as it was at the call."""

from __future__ import annotations

import dataclasses
import enum
from collections import UserDict, deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from evometrics.producers.recording.snapshot import (
    MOST_DEPTH,
    data_snapshot,
    fields_snapshot,
    map_snapshot,
    snapshot,
)


class Level(enum.Enum):
    HIGH = "high"


@dataclasses.dataclass
class Measured:
    accuracy: float
    note: str = ""


class Pair(NamedTuple):
    accuracy: float
    speed: float


class Bare:
    def __init__(self) -> None:
        self.accuracy = 0.5
        self._hidden = 1


class Odd:
    """Raises wherever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")


PLAIN = [
    "text",
    1,
    1.5,
    None,
    True,
    b"x",
    datetime.now(UTC),
    Path("a"),
    Level.HIGH,
    np.float64(0.5),
    np.int32(3),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_what_nobody_can_change_is_kept(value: object) -> None:
    assert snapshot(value) is value


def test_containers_are_copied_with_all_that_they_contain() -> None:
    inner = {"deep": [1, 2]}
    given = {"map": inner, "list": [inner], "deque": deque([1]), "other": UserDict(a=inner)}
    taken = snapshot(given)
    inner["deep"].append(3)
    given["more"] = 1
    copied = {"deep": [1, 2]}
    assert taken == {"map": copied, "list": [copied], "deque": [1], "other": {"a": copied}}


def test_an_array_is_its_numbers_and_one_of_a_single_element_a_number() -> None:
    fitness = np.array([1.0, 2.0])
    taken = snapshot(fitness)
    fitness[0] = 9
    assert taken == [1.0, 2.0]
    assert snapshot(np.array([0.5])) == 0.5
    assert snapshot(np.array(0.5)) == 0.5


def test_a_generator_is_read_at_the_call() -> None:
    assert snapshot(n * n for n in range(3)) == [0, 1, 4]


def test_an_objects_kpis_are_read_at_the_call() -> None:
    given = Measured(0.5)
    taken = map_snapshot(given)
    given.accuracy = 0.9
    assert taken == {"accuracy": 0.5, "note": ""}
    assert map_snapshot(Pair(0.5, 2.0)) == {"accuracy": 0.5, "speed": 2.0}
    assert map_snapshot(Bare()) == {"accuracy": 0.5}


def test_what_contains_itself_ends_somewhere() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    taken = snapshot(cycle)
    for _ in range(MOST_DEPTH - 1):
        taken = taken[0]
    assert isinstance(taken[0], str)


def test_a_field_that_cannot_be_read_costs_that_field() -> None:
    taken, _ = fields_snapshot({"insights": Odd(), "kpis": Odd(), "status": "failed"})
    assert taken["status"] == "failed"
    assert isinstance(taken["insights"], str) and isinstance(taken["kpis"], str)


def test_the_size_of_a_snapshot_follows_its_texts() -> None:
    _, small = fields_snapshot({"metadata": {"a": "b"}})
    _, large = fields_snapshot(
        {"metadata": {"a": "b" * 10_000}, "candidate": "c" * 10_000, "insights": ["d" * 10_000]}
    )
    assert small < 1000 < 30_000 <= large < 32_000


def test_a_system_events_data_become_what_json_has_of_them() -> None:
    inner = [1]
    taken = data_snapshot({"list": inner, 1: Level.HIGH, "nan": float("nan")})
    inner.append(2)
    assert taken["list"] == [1]
    assert taken["1"] == "high"
    assert data_snapshot("text") == "text"
