"""The comparison of a framework's account with ClickHouse names what is lost, doubled or different."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

from tests.frameworks.__main__ import NAMES, ROOT
from tests.frameworks.compared import Compared, Row, compare
from tests.frameworks.expected import Candidate, Expected

EXPECTED = Expected(
    run_ids=("r",),
    objectives=("fitness",),
    candidates=(
        Candidate("r/0", {"fitness": 0.1}),
        Candidate("r/1", {"fitness": 0.30000000000000004}, ("r/0",)),
        Candidate("r/2", {}, ("r/0", "r/1")),
    ),
)
ROWS = [
    Row("r/0", {"fitness": 0.1, "other": 1.0}, ()),
    Row("r/1", {"fitness": 0.30000000000000004}, ("r/0",)),
    Row("r/2", {"minibatch_score": 0.5}, ("r/0", "r/1")),
]
DERIVED = ["r/0", "r/1", "r/2"]


def test_what_is_the_same_is_the_same_after_json_too() -> None:
    read = Expected.of(json.loads(json.dumps(EXPECTED.to_dict())))
    assert read == EXPECTED
    assert compare(read, ROWS, DERIVED) == Compared(3, 3, 0, 0, 0, 0)
    assert compare(read, ROWS, DERIVED).same


def test_a_candidate_without_its_completion_or_without_what_the_stream_made_of_it_is_lost() -> None:
    assert compare(EXPECTED, ROWS[1:], DERIVED).lost == 1
    assert compare(EXPECTED, ROWS, DERIVED[:2]).lost == 1
    assert compare(EXPECTED, ROWS[1:], DERIVED[:2]).lost == 2


def test_rows_that_are_there_twice_are_doubled() -> None:
    assert compare(EXPECTED, [*ROWS, ROWS[0]], DERIVED).doubled == 1
    assert compare(EXPECTED, ROWS, [*DERIVED, "r/2"]).doubled == 1


def test_a_last_digit_and_an_order_of_parents_are_differences() -> None:
    nearly = replace(ROWS[1], kpis={"fitness": 0.3})
    turned = replace(ROWS[2], parents=("r/1", "r/0"))
    assert compare(EXPECTED, [ROWS[0], nearly, turned], DERIVED) == Compared(3, 3, 0, 0, 1, 1)


def test_a_failure_that_has_a_score_is_a_difference_and_so_is_one_candidate_too_many() -> None:
    scored = replace(ROWS[2], kpis={"fitness": 0.0})
    assert compare(EXPECTED, [*ROWS[:2], scored], DERIVED).scores == 1
    assert not compare(EXPECTED, [*ROWS, Row("r/3", {}, ())], [*DERIVED, "r/3"]).same


def test_every_run_is_of_an_adapter() -> None:
    for name in NAMES:
        module = importlib.import_module(f"tests.frameworks.runs.{name}")
        assert (ROOT / "producers" / "integrations" / f"{name}.py").exists()
        assert module.PACKAGES
        assert callable(module.run)
