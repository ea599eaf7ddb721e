"""Strategies are chosen by what is weak and by what has worked, and the same seed chooses the same."""

from __future__ import annotations

import pytest

from evometrics.producers.orchestrator.strategies import (
    ARCHITECTURE_CHANGE,
    ENSEMBLE_GROWTH,
    KPI_GOALS,
    LOWER_IS_BETTER,
    ROBUSTNESS_TRAINING,
    Strategy,
    StrategyRegistry,
    StrategySelector,
    shortfalls,
    standard_strategies,
)

STRONG = {name: goal * (0.5 if name in LOWER_IS_BETTER else 1.05) for name, goal in KPI_GOALS.items()}


def test_the_catalogue_has_at_least_four_strategies_of_every_risk() -> None:
    catalogue = list(standard_strategies())
    assert len(catalogue) >= 4
    assert {s.risk_level for s in catalogue} == {"low", "medium", "high"}
    assert all(0 < s.target_gain <= 1 for s in catalogue)
    assert {name for s in catalogue for name in s.improves} <= set(KPI_GOALS)


def test_a_registry_has_each_name_once_and_says_what_there_is() -> None:
    registry = standard_strategies()
    assert registry["ensemble_growth"] is ENSEMBLE_GROWTH
    with pytest.raises(ValueError, match=r"ensemble_growth: already registered"):
        registry.register(Strategy("ensemble_growth", "low", 0.1, ("accuracy",)))
    with pytest.raises(KeyError, match=r"no strategy 'growth'; registered are architecture_change"):
        registry["growth"]


def test_an_empty_registry_is_refused() -> None:
    with pytest.raises(ValueError, match="register at least one"):
        StrategySelector(StrategyRegistry(), exploration=0.2, seed=0)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "name"),
        ({"risk_level": "extreme"}, "risk_level='extreme'"),
        ({"target_gain": 1.5}, "target_gain=1.5"),
        ({"target_gain": 1.01}, "target_gain=1.01"),
        ({"target_gain": -0.01}, "target_gain=-0.01"),
        ({"target_gain": float("nan")}, "target_gain=nan"),
        ({"improves": ()}, "improves"),
    ],
)
def test_a_bad_strategy_is_refused_by_field(fields: dict[str, object], named: str) -> None:
    good = {"name": "x", "risk_level": "low", "target_gain": 0.1, "improves": ("accuracy",)}
    with pytest.raises(ValueError, match=named):
        Strategy(**{**good, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("target_gain", [0.0, 1.0])
def test_a_strategy_may_aim_at_nothing_or_at_all(target_gain: float) -> None:
    assert Strategy("x", "low", target_gain, ("accuracy",)).target_gain == target_gain


@pytest.mark.parametrize(
    ("name", "value", "short"),
    [
        ("accuracy", 0.95, None),
        ("accuracy", 0.0, 1.0),
        ("accuracy", -5.0, 1.0),
        ("response_time_ms", 5000.0, None),
        ("response_time_ms", 10_000.0, 0.5),
        ("bias_score", 0.15, None),
        ("bias_score", 0.2, 0.25),
    ],
)
def test_a_kpi_at_its_goal_is_not_weak_and_one_beyond_all_bounds_counts_whole(
    name: str, value: float, short: float | None
) -> None:
    assert shortfalls({name: value}) == ({} if short is None else {name: pytest.approx(short)})


def test_each_failure_in_a_row_halves_a_strategys_score() -> None:
    # robustness: (0 + 1) / 2, halved to 0.25 and 0.125; ensemble: 0.6 / 3
    kpis = {**STRONG, "security_score": 0.0, "consistency": 0.95 * 0.4}
    selector = StrategySelector(standard_strategies(), exploration=0.0, seed=3)
    for _ in range(9):  # it works on security as well
        selector.observe("a", ARCHITECTURE_CHANGE, False)
    assert selector.select("a", 1, kpis) is ROBUSTNESS_TRAINING
    selector.observe("a", ROBUSTNESS_TRAINING, False)
    assert selector.select("a", 1, kpis) is ROBUSTNESS_TRAINING
    selector.observe("a", ROBUSTNESS_TRAINING, False)
    assert selector.select("a", 1, kpis) is ENSEMBLE_GROWTH


@pytest.mark.parametrize(("short", "chosen"), [(0.2, ROBUSTNESS_TRAINING), (0.8, ENSEMBLE_GROWTH)])
def test_a_success_makes_a_strategys_score_whole_and_no_more(short: float, chosen: Strategy) -> None:
    # robustness: (0 + 1) / 2; ensemble: (1 + short) / 3, that is 0.4 and 0.6
    weak = {"security_score": 0.0, "consistency": 0.0, "generalization_ability": 0.95 * (1 - short)}
    selector = StrategySelector(standard_strategies(), exploration=0.0, seed=3)
    selector.observe("a", ROBUSTNESS_TRAINING, False)
    selector.observe("a", ROBUSTNESS_TRAINING, True)
    assert selector.select("a", 1, {**STRONG, **weak}) is chosen


def test_a_shortfall_is_a_share_of_the_goal_and_the_weakest_comes_first() -> None:
    weak = shortfalls({**STRONG, "accuracy": KPI_GOALS["accuracy"] / 2, "bias_score": 0.2, "unknown": -5.0})
    assert weak == {"accuracy": pytest.approx(0.5), "bias_score": pytest.approx(0.25)}
    assert list(weak) == ["accuracy", "bias_score"]
    assert shortfalls(STRONG) == {}
    assert shortfalls({}) == {}


def test_the_strategy_that_works_on_what_is_weak_is_chosen() -> None:
    selector = StrategySelector(standard_strategies(), exploration=0.0, seed=3)
    assert (
        selector.select("a", 1, {**STRONG, "security_score": 0.1, "reliability": 0.2}) is ROBUSTNESS_TRAINING
    )
    assert selector.select("a", 1, {**STRONG, "consistency": 0.3}) is ENSEMBLE_GROWTH
    assert selector.select("a", 1, {**STRONG, "interpretability": 0.0}) is ARCHITECTURE_CHANGE


def test_what_failed_with_an_agent_gives_way_and_a_success_brings_it_back() -> None:
    kpis = {**STRONG, "security_score": 0.1, "reliability": 0.6}
    selector = StrategySelector(standard_strategies(), exploration=0.0, seed=3)
    for _ in range(3):
        selector.observe("a", ROBUSTNESS_TRAINING, False)
    assert selector.select("a", 1, kpis) is not ROBUSTNESS_TRAINING
    assert selector.select("b", 1, kpis) is ROBUSTNESS_TRAINING, "another agent's failures do not count"
    selector.observe("a", ROBUSTNESS_TRAINING, True)
    assert selector.select("a", 1, kpis) is ROBUSTNESS_TRAINING
    selector.observe("a", ROBUSTNESS_TRAINING, False)
    selector.observe("a", ROBUSTNESS_TRAINING, False)
    selector.forget("a")
    assert selector.select("a", 1, kpis) is ROBUSTNESS_TRAINING


def test_the_same_seed_chooses_the_same_in_any_order_and_another_seed_does_not() -> None:
    cases = [(f"agent-{n % 7}", n) for n in range(60)]

    def choices(seed: int, order: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
        selector = StrategySelector(standard_strategies(), exploration=0.5, seed=seed)
        return {case: selector.select(*case, {"accuracy": 0.5}).name for case in order}

    assert choices(1, cases) == choices(1, cases[::-1])
    assert choices(1, cases) != choices(2, cases)


def test_exploration_reaches_every_strategy_and_without_it_one_is_chosen() -> None:
    def chosen(exploration: float) -> set[str]:
        selector = StrategySelector(standard_strategies(), exploration=exploration, seed=1)
        return {selector.select("a", n, {**STRONG, "consistency": 0.3}).name for n in range(200)}

    assert chosen(1.0) == {s.name for s in standard_strategies()}
    assert chosen(0.0) == {"ensemble_growth"}
