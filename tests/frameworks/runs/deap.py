"""DEAP: one run of each kind that its algorithms know, in processes, with a failure, and in two parts."""

from __future__ import annotations

import functools
import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from deap import algorithms, base, creator, tools

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected

PACKAGES = ("deap",)
MOST = 10


def weigh(bits: list[int]) -> tuple[float]:
    """To be maximised."""
    return (sum(bits) * 0.1,)


def trade(bits: list[int]) -> tuple[float, float]:
    """One to be maximised, one to be minimised."""
    return sum(bits) * 0.3, sum(bits[:6]) * 0.7


def refuse(bits: list[int]) -> tuple[float]:
    """Raises for good ones, which come late."""
    if sum(bits) > MOST:
        raise ValueError("too good")
    return weigh(bits)


def individuals_of(*weights: float) -> type:
    """Return DEAP's kind of individual for objectives with these weights."""
    name = "_".join(str(int(weight)) for weight in weights).replace("-", "m")
    if not hasattr(creator, f"Bits{name}"):
        creator.create(f"Fitness{name}", base.Fitness, weights=weights)
        creator.create(f"Bits{name}", list, fitness=getattr(creator, f"Fitness{name}"))
    found: type = getattr(creator, f"Bits{name}")
    return found


class Lineage(tools.History):  # type: ignore[misc]
    """DEAP's own history, which also keeps whose clone a child was before the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.own_first: dict[int, tuple[int, ...]] = {}

    def update(self, individuals: Any) -> None:
        super().update(individuals)
        for number, each in enumerate(individuals):
            found = self.genealogy_tree[each.history_index]
            self.own_first[each.history_index] = (*found[number:], *found[:number])


class Witness:
    """What DEAP evaluates, seen where its algorithms ask for it, and whose children that is."""

    def __init__(self, run_id: str, toolbox: base.Toolbox) -> None:
        self.run_id, self.generation, self.history = run_id, -1, Lineage()
        self.names: dict[int, str] = {}
        self.candidates: list[Candidate] = []
        toolbox.decorate("mate", self.history.decorator)
        toolbox.decorate("mutate", self.history.decorator)

    def map(
        self, inner: Callable[..., Iterable[Any]], function: Any, individuals: list[Any]
    ) -> Iterator[Any]:
        self.generation += bool(individuals) or self.generation < 0
        results = iter(inner(function, individuals))
        for number, each in enumerate(individuals):
            name = f"{self.run_id}/{self.generation}-{number}"
            parents = tuple(dict.fromkeys(self.ancestors(each.history_index)))
            self.names[each.history_index] = name
            try:
                values = next(results)
            except ValueError:
                self.candidates.append(Candidate(name, {}, parents))
                raise
            names = ("fitness",) if len(values) == 1 else ("fitness_0", "fitness_1")
            self.candidates.append(Candidate(name, dict(zip(names, values, strict=True)), parents))
            yield values

    def ancestors(self, index: int) -> Iterator[str]:
        for parent in self.history.own_first.get(index, ()):
            if parent in self.names:
                yield self.names[parent]
            else:
                yield from self.ancestors(parent)


def toolbox_of(evaluate: Any, *weights: float) -> base.Toolbox:
    """Return a toolbox for bits."""
    toolbox = base.Toolbox()
    toolbox.register(
        "individual", tools.initRepeat, individuals_of(*weights), lambda: random.randint(0, 1), 12
    )
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament if len(weights) == 1 else tools.selNSGA2)
    if len(weights) == 1:
        toolbox.register("select", tools.selTournament, tournsize=3)
    return toolbox


def run(recorder: Recorder, folder: Path) -> Expected:
    from evometrics.producers.integrations.deap import EvometricsStatistics

    simple = functools.partial(algorithms.eaSimple, cxpb=0.5, mutpb=0.3, ngen=12, verbose=False)
    plus = functools.partial(
        algorithms.eaMuPlusLambda, mu=20, lambda_=30, cxpb=0.5, mutpb=0.3, ngen=12, verbose=False
    )
    candidates: list[Candidate] = []
    kinds = {
        "deap-simple": (simple, toolbox_of(weigh, 1.0), 1),
        "deap-processes": (simple, toolbox_of(weigh, 1.0), 1),
        "deap-front": (plus, toolbox_of(trade, 1.0, -1.0), 1),
        "deap-failing": (simple, toolbox_of(refuse, 1.0), 1),
        "deap-resumed": (plus, toolbox_of(weigh, 1.0), 3),
    }
    with get_context("fork").Pool(4) as pool:
        for run_id, (algorithm, toolbox, parts) in kinds.items():
            random.seed(1)
            if run_id == "deap-processes":
                toolbox.register("map", pool.map)
            witness, population = Witness(run_id, toolbox), toolbox.population(n=20)
            witness.history.update(population)
            nevals = 0
            for _ in range(parts):
                try:
                    with EvometricsStatistics(toolbox, recorder=recorder, run_id=run_id) as stats:
                        toolbox.register("map", witness.map, toolbox.map)
                        population, logbook = algorithm(population, toolbox, stats=stats)
                except ValueError:
                    break
                nevals += sum(logbook.select("nevals"))
                population = pickle.loads(pickle.dumps(population))
            assert nevals in (0, len(witness.candidates)), "the witness differs from the logbook"
            candidates += witness.candidates
    return Expected(tuple(kinds), ("fitness", "fitness_0", "fitness_1"), tuple(candidates))
