"""Any data becomes JSON: at its limits it is whole, beyond them it is cut, and that is said."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest

from evometrics.producers.events import jsontext
from evometrics.producers.events.jsontext import MOST_CHARACTERS, MOST_DEPTH, json_text
from evometrics.producers.events.left_out import LEFT_OUT, LeftOut


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


def written(data: Any) -> tuple[Any, LeftOut]:
    """Return the data as it reads from the JSON, and what was left out."""
    left_out = LeftOut()
    return json.loads(json_text(data, left_out)), left_out


def test_nothing_is_an_empty_map_unless_something_was_left_out() -> None:
    left_out = LeftOut()
    assert json_text(None, left_out) == "{}"
    left_out.add("labels", 5, "is no map")
    assert json.loads(json_text(None, left_out)) == {
        "data": None,
        LEFT_OUT: {"labels": "5: is no map"},
    }


@pytest.mark.parametrize(
    ("data", "read"),
    [
        ({"a": [1, 0.5, True, None, "x"]}, {"a": [1, 0.5, True, None, "x"]}),
        (Level.HIGH, 3),
        ({Level.HIGH: Name("x")}, {"3": "x"}),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**64), str(-(2**64))),
        (b"caf\xe9", "caf\\xe9"),
        ({3}, [3]),
    ],
)
def test_data_reads_back_as_it_was_or_as_text(data: Any, read: Any) -> None:
    found, left_out = written(data)
    assert found == read
    assert left_out.count == 0


def test_what_is_no_json_number_is_null_and_named_by_its_place() -> None:
    found, left_out = written({"a": {"b": [1.0, float("nan")]}})
    assert found["a"] == {"b": [1.0, None]}
    assert found[LEFT_OUT].keys() == {"data[a.b[1]]"}
    assert found[LEFT_OUT]["data[a.b[1]]"].startswith("nan: ")
    found, _ = written(float("inf"))
    assert found["data"] is None and list(found[LEFT_OUT]) == ["data[value]"]
    assert left_out.fields == {"data": 1}


def nested(levels: int) -> list[Any]:
    """Return lists in one another, the innermost empty."""
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


def test_lists_in_lists_are_kept_to_the_greatest_depth() -> None:
    found, left_out = written(nested(MOST_DEPTH))
    assert (found, left_out.count) == (nested(MOST_DEPTH), 0)
    found, left_out = written(nested(MOST_DEPTH + 1))
    assert left_out.count == 1 and list(found) == ["data", LEFT_OUT]


def test_maps_in_maps_are_kept_to_the_greatest_depth() -> None:
    data: dict[str, Any] = {}
    for _ in range(MOST_DEPTH - 1):
        data = {"a": data}
    found, left_out = written(data)
    assert (found, left_out.count) == (data, 0)
    found, left_out = written({"a": data})
    assert list(left_out.named) == [f"data[{'.'.join('a' * MOST_DEPTH)}]"]


def test_what_holds_itself_is_said_and_what_is_there_twice_is_written_twice() -> None:
    inner = [1]
    found, left_out = written([inner, inner])
    assert (found, left_out.count) == ([[1], [1]], 0)
    inner.append(inner)  # type: ignore[arg-type]
    found, left_out = written({"inner": inner})
    assert found["inner"][0] == 1 and found["inner"][1].startswith("[1, [")
    assert list(left_out.named) == ["data[inner[1]]"]


def test_a_text_is_cut_beyond_its_length_not_at_it() -> None:
    data = "x" * (MOST_CHARACTERS - 2)
    assert written(data)[0] == data
    found, left_out = written(data + "x")
    assert found["cut"] == '"' + "x" * (MOST_CHARACTERS // 4 - 1)
    assert left_out.named == {"data": f"{MOST_CHARACTERS + 1} characters: too large for an event; cut"}


def test_values_beyond_the_greatest_number_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "MOST_VALUES", 5)
    found, left_out = written([1, 2, 3, 4])
    assert (found, left_out.count) == ([1, 2, 3, 4], 0)
    assert written(range(9))[0] == [0, 1, 2, 3]
    assert written({str(n): n for n in range(9)})[0] == {"0": 0, "1": 1, "2": 2, "3": 3}
    found, left_out = written([1, 2, 3, [4]])
    assert found["data"] == [1, 2, 3, "[4]"]
    assert list(left_out.named) == ["data[[3]]"]
