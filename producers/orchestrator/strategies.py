"""Evolution strategies: which exist, and which to try next.

A strategy states its aim; how it is carried out is up to the agent (`apply_strategy`), so the same catalogue
serves a scikit-learn model and a prompt-driven agent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

RiskLevel = Literal["low", "medium", "high"]
RISK_LEVELS: tuple[RiskLevel, ...] = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to evolve an agent.

    Attributes:
        name: recorded as `strategy` and `strategy_used`.
        risk_level: how likely it is to make the agent worse.
        target_gain: the gain in overall performance that it aims at (0-1).
        improves: the KPIs that it works on; it is tried when these are weak.
    """

    name: str
    risk_level: RiskLevel
    target_gain: float
    improves: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("strategy: name is empty; give it a name")
        if self.risk_level not in RISK_LEVELS:
            raise ValueError(
                f"strategy {self.name}: risk_level={self.risk_level!r} is not one of {', '.join(RISK_LEVELS)}"
            )
        if not 0 <= self.target_gain <= 1:
            raise ValueError(f"strategy {self.name}: target_gain={self.target_gain} is not within 0 and 1")
        if not self.improves:
            raise ValueError(f"strategy {self.name}: improves is empty; name at least one KPI")


HYPERPARAMETER_TUNING = Strategy(
    "hyperparameter_tuning", "low", 0.02, ("accuracy", "generalization_ability", "output_quality")
)
EXTENDED_TRAINING = Strategy(
    "extended_training", "low", 0.03, ("success_rate", "adaptation_rate", "bias_score", "accuracy")
)
FEATURE_ENGINEERING = Strategy(
    "feature_engineering", "medium", 0.05, ("accuracy", "energy_efficiency", "output_quality", "bias_score")
)
ENSEMBLE_GROWTH = Strategy(
    "ensemble_growth", "medium", 0.04, ("consistency", "reliability", "generalization_ability")
)
ROBUSTNESS_TRAINING = Strategy("robustness_training", "medium", 0.02, ("reliability", "security_score"))
ARCHITECTURE_CHANGE = Strategy(
    "architecture_change", "high", 0.10, ("accuracy", "success_rate", "interpretability", "security_score")
)


class StrategyRegistry:
    """The strategies an orchestrator may choose from, by name."""

    def __init__(self, strategies: Iterable[Strategy] = ()) -> None:
        self._strategies: dict[str, Strategy] = {}
        for strategy in strategies:
            self.register(strategy)

    def register(self, strategy: Strategy) -> None:
        """Add a strategy; raises `ValueError` where its name is taken by a different one."""
        if strategy.name in self._strategies:
            raise ValueError(f"strategy {strategy.name}: already registered; give the new one another name")
        self._strategies[strategy.name] = strategy

    def __getitem__(self, name: str) -> Strategy:
        try:
            return self._strategies[name]
        except KeyError:
            raise KeyError(
                f"no strategy {name!r}; registered are {', '.join(sorted(self._strategies))}"
            ) from None

    def __iter__(self) -> Iterator[Strategy]:
        return iter(self._strategies.values())

    def __len__(self) -> int:
        return len(self._strategies)


def standard_strategies() -> StrategyRegistry:
    """Return a new registry with the six strategies above."""
    return StrategyRegistry(
        (
            HYPERPARAMETER_TUNING,
            EXTENDED_TRAINING,
            FEATURE_ENGINEERING,
            ENSEMBLE_GROWTH,
            ROBUSTNESS_TRAINING,
            ARCHITECTURE_CHANGE,
        )
    )


#: What an agent should reach; a KPI short of its goal is weak. KPIs in `LOWER_IS_BETTER` have upper limits.
KPI_GOALS: Mapping[str, float] = {
    "accuracy": 0.95,
    "success_rate": 0.95,
    "response_time_ms": 5000.0,
    "throughput_tps": 10.0,
    "energy_efficiency": 0.7,
    "adaptation_rate": 0.6,
    "knowledge_retention": 0.9,
    "generalization_ability": 0.95,
    "output_quality": 0.95,
    "consistency": 0.95,
    "reliability": 0.9,
    "security_score": 0.8,
    "bias_score": 0.15,
    "interpretability": 0.4,
}
LOWER_IS_BETTER = frozenset({"response_time_ms", "bias_score"})


def shortfalls(kpis: Mapping[str, float]) -> dict[str, float]:
    """Return how far each weak KPI is from its goal, as a share of the goal (0-1], weakest first."""
    short = {}
    for name, goal in KPI_GOALS.items():
        if name in kpis:
            value = kpis[name]
            gap = (value - goal) / max(value, goal) if name in LOWER_IS_BETTER else (goal - value) / goal
            if gap > 0:
                short[name] = min(1.0, gap)
    return dict(sorted(short.items(), key=lambda item: -item[1]))


class StrategySelector:
    """Chooses by which KPIs are weak and what has worked for this agent, and explores.

    A strategy's score is the mean shortfall of the KPIs that it works on, halved for each failure in a row
    that this agent has had with it. With probability `exploration` a random strategy is chosen instead. The
    draw is seeded by seed, agent and generation, so the order in which agents are evolved does not matter.
    """

    def __init__(self, registry: StrategyRegistry, *, exploration: float, seed: int) -> None:
        if not len(registry):
            raise ValueError("the strategy registry is empty; register at least one strategy")
        self._registry = registry
        self._exploration = exploration
        self._seed = seed
        self._failures: dict[str, dict[str, int]] = {}

    def select(self, agent_id: str, generation: int, kpis: Mapping[str, float]) -> Strategy:
        """Return the strategy to try; the same inputs and history give the same one."""
        draw = random.Random(f"{self._seed}|{agent_id}|{generation}")
        strategies = sorted(self._registry, key=lambda s: s.name)
        if draw.random() < self._exploration:
            return draw.choice(strategies)
        short = shortfalls(kpis)
        failures = self._failures.get(agent_id, {})
        scores = {
            s.name: math.fsum(short.get(name, 0.0) for name in s.improves)
            / len(s.improves)
            / 2 ** failures.get(s.name, 0)
            for s in strategies
        }
        best = max(scores.values())
        return draw.choice([s for s in strategies if scores[s.name] == best])

    def observe(self, agent_id: str, strategy: Strategy, succeeded: bool) -> None:
        """Note whether a strategy succeeded with an agent."""
        failures = self._failures.setdefault(agent_id, {})
        failures[strategy.name] = 0 if succeeded else failures.get(strategy.name, 0) + 1

    def forget(self, agent_id: str) -> None:
        """Drop a retired agent's history."""
        self._failures.pop(agent_id, None)
