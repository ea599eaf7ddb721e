"""A success rate's window ends at the end of a step, and holds the steps that its length reaches back to."""

from __future__ import annotations

import pytest

from evometrics.streams.formulas.calculations import wilson_interval
from evometrics.streams.formulas.windows import (
    FLEET,
    SECOND,
    WINDOWS,
    Counts,
    Scope,
    Window,
    affected_rows,
    success_rate,
)

#: Three steps of 100 s.
WINDOW = Window(300, 100)
NODE = Scope("node", "n|1")
COUNTS: Counts = {5: (1, 1), 7: (2, 0), 8: (3, 3), 11: (1, 0)}


def test_a_window_has_as_many_steps_as_fit_into_it() -> None:
    assert [window.steps for window in (WINDOW, *WINDOWS)] == [3, 12, 24, 28]


def test_a_scope_is_read_from_its_key() -> None:
    assert NODE.key == "node|n|1"
    assert Scope.from_key(NODE.key) == NODE
    assert Scope.from_key("fleet|all") == FLEET


@pytest.mark.parametrize(
    ("last", "attempts", "successes"),
    [(5, 1, 1), (7, 3, 1), (8, 5, 3), (9, 5, 3), (10, 3, 3), (11, 1, 0)],
)
def test_a_rate_counts_the_steps_of_its_window(last: int, attempts: int, successes: int) -> None:
    row = success_rate(NODE, WINDOW, COUNTS, last)
    assert (row.attempts, row.successes, row.version) == (attempts, successes, attempts)
    assert row.success_rate == pytest.approx(successes / attempts)
    assert (row.wilson_low, row.wilson_high) == wilson_interval(successes, attempts)
    assert row.window_end == row.occurred_at == (last + 1) * 100 * SECOND
    assert row.window_start == (last - 2) * 100 * SECOND


def test_a_rate_names_what_it_is_about() -> None:
    found = {
        scope.kind: success_rate(scope, WINDOW, COUNTS, 5)
        for scope in (NODE, FLEET, Scope("agent", "a"), Scope("strategy", "s"))
    }
    assert {kind: (row.agent_id, row.node_id) for kind, row in found.items()} == {
        "node": ("", "n|1"),
        "fleet": ("", ""),
        "agent": ("a", ""),
        "strategy": ("", ""),
    }
    assert all((row.scope, row.window_seconds) == (kind, 300) for kind, row in found.items())
    assert len({row.event_id for row in found.values()}) == 4
    assert success_rate(NODE, WINDOW, {5: (9, 9)}, 5).event_id == found["node"].event_id, (
        "the newer row replaces"
    )
    assert success_rate(NODE, WINDOW, COUNTS, 7).event_id != found["node"].event_id


@pytest.mark.parametrize(
    ("changed", "rows"),
    [([5], [5, 7]), ([6], [7, 8]), ([8], [8]), ([9], [11]), ([5, 11], [5, 7, 11]), ([], [])],
)
def test_a_step_changes_the_rows_whose_windows_hold_it(changed: list[int], rows: list[int]) -> None:
    found = affected_rows(NODE, WINDOW, COUNTS, changed)
    assert [row.window_end // SECOND // 100 - 1 for row in found] == rows


def test_an_interval_needs_an_attempt() -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        wilson_interval(0, 0)
    assert wilson_interval(1, 1)[1] == 1.0 and wilson_interval(0, 1)[0] == 0.0
