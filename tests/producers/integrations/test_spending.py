"""What candidates cost: sums of calls, differences of totals, equal shares."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from evometrics.producers.integrations.spending import Spending


def test_calls_add_up_and_answers_from_a_cache_cost_nothing() -> None:
    cached = SimpleNamespace(cache_hit=True)
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    calls = [
        {"cost": 0.5, "usage": usage, "response": SimpleNamespace()},
        {"cost": None, "usage": usage},
        {"cost": 9.0, "usage": {}, "response": cached},
        {"cost": 0.25, "usage": None},
    ]
    assert Spending.of_calls(calls) == Spending(0.75, 20, 6)
    assert Spending.of_calls(calls).fields == {"cost_usd": 0.75, "tokens_in": 20, "tokens_out": 6}
    assert Spending.of_calls([]).fields == {}, "what is not known is not nothing"


@pytest.mark.parametrize("count", range(1, 8))
def test_shares_add_up(count: int) -> None:
    shares = list(Spending(1.0, 100, 5).shares(count))
    assert len(shares) == count
    assert sum(each.tokens_in for each in shares) == 100
    assert sum(each.tokens_out for each in shares) == 5
    assert sum(each.cost_usd for each in shares) == pytest.approx(1.0)


def test_totals_are_those_of_any_object_that_has_them() -> None:
    model = SimpleNamespace(total_cost=2.0, total_tokens_in=7, total_tokens_out=None)
    assert Spending.of_totals(model) == Spending(2.0, 7, 0)
    assert Spending.of_totals(None) == Spending()
    assert Spending(2.0, 7, 3).since(Spending(0.5, 2, 3)) == Spending(1.5, 5, 0)
    assert Spending(0.5, 2, 3).since(Spending(2.0, 7, 3)) == Spending(), (
        "a history that forgot its first calls"
    )
