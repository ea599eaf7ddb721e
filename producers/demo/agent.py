"""A demo agent: recognizes the digit in an image, and evolves how it does so."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evometrics.producers.demo import data as digits
from evometrics.producers.demo.genome import Genome, mutated, poor_genome
from evometrics.producers.demo.kpis import measure_quality, measure_speed, retention
from evometrics.producers.demo.model import DigitModel, fit
from evometrics.producers.events.kpi import AgentKPI
from evometrics.producers.orchestrator.agent import EvolutionContext, EvolutionFailed
from evometrics.producers.orchestrator.strategies import ROBUSTNESS_TRAINING, Strategy

#: Most candidates tried in one evolution, and how many in a row may bring no improvement.
CANDIDATES, PATIENCE = 5, 2
#: Noise on the validation images when candidates compete in robustness.
VALIDATION_NOISE = 0.25
VALIDATION_SEED = 5


@dataclass(frozen=True, slots=True)
class DigitState:
    """An agent's complete state: the trained model, and what was measured of it."""

    model: DigitModel
    right_before: NDArray[np.bool_] | None
    quality: dict[str, float] | None


class DigitAgent:
    """Implements `EvolvableAgent` with a small scikit-learn ensemble on the digits data set.

    The same id, seed and strategies give the same genomes, predictions and quality KPIs.

    Attributes:
        parent_agent_id: the agent that it was made from; None if it was made from none.
    """

    parent_agent_id: str | None = None

    def __init__(self, agent_id: str, genome: Genome) -> None:
        self._agent_id = agent_id
        self._data = digits.load()
        self._state = DigitState(fit(genome, self._data.train), None, None)

    @classmethod
    def born(cls, agent_id: str, seed: int) -> DigitAgent:
        """Return an agent with a deliberately mediocre genome drawn for its id."""
        return cls(agent_id, poor_genome(random.Random(f"{seed}|{agent_id}")))

    @classmethod
    def made_from(cls, agent_id: str, parent: DigitAgent) -> DigitAgent:
        """Return an agent that has learned what another one has."""
        made = cls.__new__(cls)
        made._agent_id, made._data, made.parent_agent_id = agent_id, parent._data, parent.agent_id
        made._state = DigitState(parent._state.model, None, None)
        return made

    @property
    def agent_id(self) -> str:
        return self._agent_id

    @property
    def genome(self) -> Genome:
        """The agent's current genome."""
        return self._state.model.genome

    @property
    def validated(self) -> float:
        """The accuracy on the validation images."""
        return self._state.model.accuracy(self._data.validation)

    def answers(self, images: digits.Images) -> digits.Labels:
        """Return the digit answered for each image, rows of 64 brightnesses (0-1)."""
        return self._state.model.answers(images)

    def evaluate_kpi(self) -> AgentKPI:
        """Measure all KPIs (each defined in `kpis`).

        knowledge_retention compares with the previous evaluation, so the first has none.
        """
        state, test = self._state, self._data.test
        quality = state.quality or measure_quality(state.model, self._data)
        speed, answers = measure_speed(state.model, test)
        right = answers == test.y
        kept = None if state.right_before is None else retention(state.right_before, right)
        self._state = DigitState(state.model, right, quality)
        measured = {**quality, **speed}
        return AgentKPI(
            agent_id=self.agent_id, **measured, knowledge_retention=kept, evaluation_count=len(test.y)
        )

    def export_state(self) -> DigitState:
        """Return the current state; nothing in it is ever changed in place."""
        return self._state

    def roll_back(self, state: DigitState) -> None:
        """Restore a state."""
        self._state = state

    def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> list[str]:
        """Hill-climb from the current genome: train candidates, keep the fittest on the validation images.

        A high-risk strategy takes its best candidate even if that is less fit than the agent was; any other
        raises `EvolutionFailed` where no candidate is fitter.
        """
        draw = random.Random(context.seed)
        present = self._state.model
        best, best_fitness, insights, idle = None, self._fitness(present, strategy), [], 0
        start_fitness = best_fitness
        if strategy.risk_level == "high":
            best_fitness = -1.0
        for iteration in range(CANDIDATES):
            genome = mutated(strategy.name, (best or present).genome, draw)
            try:
                candidate = fit(genome, self._data.train)
                fitness = self._fitness(candidate, strategy)
            except ValueError as error:  # scikit-learn can't train this one; the next may work
                insights.append(f"warning: candidate {iteration + 1} can't be trained: {error}")
                fitness = 0.0
            context.report(iteration, fitness)
            if fitness > best_fitness:
                best, best_fitness, idle = candidate, fitness, 0
            else:
                idle += 1
                if idle >= PATIENCE:
                    break
        if best is None:
            raise EvolutionFailed(
                f"none of {iteration + 1} candidates is fitter than the agent ({start_fitness:.3f} validated)"
            )
        self._state = DigitState(best, self._state.right_before, None)
        changes = changed(present.genome, best.genome)
        return [f"validation fitness {start_fitness:.3f} -> {best_fitness:.3f}: {changes}", *insights]

    def _fitness(self, model: DigitModel, strategy: Strategy) -> float:
        """Return the validation accuracy; for robustness, its mean with that on noisy images."""
        part = self._data.validation
        clean = model.accuracy(part)
        if strategy.name != ROBUSTNESS_TRAINING.name:
            return clean
        noise = np.random.default_rng(VALIDATION_SEED).normal(0.0, VALIDATION_NOISE, part.x.shape)
        return (clean + model.accuracy(digits.Part(np.clip(part.x + noise, 0.0, 1.0), part.y))) / 2


def changed(before: Genome, after: Genome) -> str:
    """Return the genes that differ, e.g. `members 1 -> 3`."""
    pairs = (
        (name, getattr(before, name), getattr(after, name)) for name in Genome.__slots__ if name != "seed"
    )
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new) or "retrained"
