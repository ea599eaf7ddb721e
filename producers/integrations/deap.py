"""DEAP: every evaluated individual with its parents and its failure, and an object for `stats=`.

    with EvometricsStatistics(toolbox, stats) as stats:
        algorithms.eaSimple(population, toolbox, cxpb=0.5, mutpb=0.2, ngen=40, stats=stats)

Seen with DEAP 1.4.4 (`deap/algorithms.py`, `deap/base.py`, `deap/tools/support.py`). It has no callback:
`stats` sees the survivors of a generation, `halloffame` its offspring, and neither is told the generation,
which of them were evaluated, or whose children they are. So this stands around `toolbox.map`, which DEAP's
algorithms call once a generation with exactly the individuals that they evaluate (the logbook's `nevals`),
and around `toolbox.mate` and `toolbox.mutate`. Calls come in the caller's thread; evaluations run where
the toolbox' `map` runs them (register a pool's before). A loop of your own has to call
`toolbox.map(toolbox.evaluate, individuals)`.

- An evaluation that raises ends the run before `stats` or `halloffame` is called. It is recorded, and the
  rest of a pool's batch too, before the exception goes on.
- A candidate is `GENERATION-INDEX`, counted among those evaluated. Its score is what the evaluation gave:
  `fitness.values` is `wvalues / weights`, which differs in the last digit for weights such as 0.1.
- `tools.History` keeps children with their parents' fitness (DEAP/deap#139). Here an individual has the
  names of those whom it comes from as an attribute, which clones carry (`toolbox.clone` has to copy
  attributes, as `copy.deepcopy` does). `toolbox.generate` (CMA-ES) tells no parents.
- A population that was pickled brings its names and its generation into a run of the same `run_id`.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterable
from multiprocessing.pool import RemoteTraceback  # type: ignore[attr-defined]
from traceback import format_exc
from types import TracebackType
from typing import Any, NamedTuple, Self, SupportsFloat

from evometrics.producers.integrations.sessions import guarded
from evometrics.producers.recording import Recorder, Run

logger = logging.getLogger(__name__)
#: The attribute of an individual: a `Mark` as a plain tuple, so that a pickle of it opens anywhere.
MARK = "evometrics"


class Mark(NamedTuple):
    """Where an individual comes from: after its evaluation, its own name.

    Attributes:
        generation: the newest one that it was seen in.
        operators: what it went through since.
    """

    run_id: str
    generation: int
    names: tuple[str, ...]
    operators: tuple[str, ...] = ()


class EvometricsStatistics:
    """Records what a toolbox evaluates as one run, and the population of each generation.

    `statistics`: your own (`tools.Statistics`, `tools.MultiStatistics`), whose record is handed on; its
    numbers are recorded with the generation. `objective`: the KPI; several are `fitness_0` and so on.
    """

    def __init__(
        self,
        toolbox: Any,
        statistics: Any = None,
        *,
        recorder: Recorder | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        objective: str = "fitness",
    ) -> None:
        self.toolbox, self.statistics, self.objective = toolbox, statistics, objective
        self.named: dict[str, Any] = {"recorder": recorder, "agent_id": agent_id, "run_id": run_id}
        self.run: Run | None = None
        self.generation, self.reported, self.evaluations = -1, -1, 0
        last = getattr(getattr(toolbox.map, "func", None), "__self__", None)
        if isinstance(last, EvometricsStatistics):  # used without `with`
            last.close()
        self.replaced = {name: vars(toolbox).get(name) for name in ("map", "mate", "mutate")}
        toolbox.register("map", self.map, toolbox.map)
        for operator in ("mate", "mutate"):
            if self.replaced[operator] is not None:
                toolbox.decorate(operator, functools.partial(self.operating, operator))

    @property
    def fields(self) -> list[str]:
        return [] if self.statistics is None else list(self.statistics.fields)

    def map(
        self, inner: Callable[..., Iterable[Any]], function: Any, *iterables: Iterable[Any]
    ) -> Iterable[Any]:
        """Map as the toolbox does, and record evaluations of individuals; lazily where it is lazy."""
        if function is not self.toolbox.evaluate or len(iterables) != 1:
            return inner(function, *iterables)
        individuals = list(iterables[0])
        self.advance(individuals)
        outcomes = inner(Evaluation(function), individuals)
        numbered = zip(itertools.count(), individuals, outcomes, strict=False)
        done = map(functools.partial(self.recorded, self.generation), numbered)
        if not isinstance(outcomes, list):
            return (outcome.result() for outcome in done)
        return [outcome.result() for outcome in list(done)]

    @guarded
    def advance(self, individuals: list[Any]) -> None:
        """Begin the next generation; after those that a resumed run's individuals come from."""
        if individuals:
            self.opened(individuals[0])
        self.generation = max([self.generation, *(self.mark(each).generation for each in individuals)]) + 1

    def recorded(self, generation: int, each: tuple[int, Any, Evaluated]) -> Evaluated:
        self.record(generation, *each)
        return each[-1]

    @guarded
    def record(self, generation: int, number: int, individual: Any, outcome: Evaluated) -> None:
        name = f"{generation}-{number}"
        run = self.opened(individual)
        mark = self.mark(individual)
        values = () if outcome.values is None else tuple(outcome.values)
        several = run.objective is None
        run.candidate(
            name,
            score=None if several or not values else values[0],
            scores={f"{self.objective}_{n}": value for n, value in enumerate(values)} if several else None,
            parents=mark.names,
            strategy="+".join(mark.operators),
            generation=generation,
            duration_seconds=outcome.seconds,
            insights=[] if outcome.error is None else [repr(outcome.error)],
            identity=f"{run.run_id}/{name}/{values}",
        )
        self.evaluations += 1
        setattr(individual, MARK, (run.run_id, generation, (name,), ()))

    def operating(self, alias: str, operator: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate `mate` or `mutate`: what they return comes from all individuals that they were given."""
        own = getattr(operator, "__name__", alias)
        name = alias if own == "wrapFunc" else own  # what `History.decorator` calls all of them

        @functools.wraps(operator)
        def operated(*given: Any, **named: Any) -> Any:
            marks = [self.mark(each) for each in given if hasattr(each, "fitness")]
            children = operator(*given, **named)
            self.descend(children, marks, name)
            return children

        return operated

    @guarded
    def descend(self, children: Iterable[Any], marks: list[Mark], operator: str) -> None:
        for number, child in enumerate(children):
            own_first = marks[number:] + marks[:number]
            names = dict.fromkeys(name for mark in own_first for name in mark.names)
            operators = dict.fromkeys(each for mark in own_first for each in mark.operators)
            generation = max(mark.generation for mark in marks)
            run_id = max(mark.run_id for mark in marks)  # an individual from elsewhere has none
            setattr(child, MARK, (run_id, generation, (*names,), (*operators, operator)))

    def compile(self, population: Any) -> dict[str, Any]:
        """Return what your own statistics say of a generation's survivors."""
        record = {} if self.statistics is None else self.statistics.compile(population)
        self.survived([each for each in population if each.fitness.valid], record)
        return record

    @guarded
    def survived(self, population: list[Any], record: dict[str, Any]) -> None:
        if not population:
            return
        run = self.opened(population[0])
        newest = max(self.mark(each).generation for each in population)
        if not self.evaluations and newest > self.generation:  # a resumed run's: that was recorded
            self.generation = self.reported = newest
            return
        if self.generation == self.reported:
            self.generation += 1
            logger.warning(
                "generation %d was not evaluated by toolbox.map as it was: no candidates", self.generation
            )
        self.reported = self.generation
        for each in population:
            setattr(each, MARK, (run.run_id, self.generation, *self.mark(each)[2:]))
        scores = [each.fitness.values[0] for each in population if math.isfinite(each.fitness.values[0])]
        found: dict[str, Any] = {}
        if run.objective is None:
            from deap.tools import sortLogNondominated

            finite = [each for each in population if all(map(math.isfinite, each.fitness.wvalues))]
            front = sortLogNondominated(finite, len(finite), first_front_only=True) if finite else ()
            found["front_size"] = len(front)
        elif scores:
            best = max if run.direction == "maximize" else min
            found |= {"best": best(scores), "mean": math.fsum(scores) / len(scores)}
        extras = {name: float(value) for name, value in record.items() if isinstance(value, SupportsFloat)}
        run.progress(self.generation, evaluations=self.evaluations, extras=extras, **found)

    def mark(self, individual: Any) -> Mark:
        """Return where an individual comes from; nothing where that is not of this run."""
        found = Mark(*getattr(individual, MARK, ("", -1, ())))
        return found if self.run is not None and found.run_id == self.run.run_id else Mark("", -1, ())

    def opened(self, individual: Any) -> Run:
        """Return the run, which the first individual opens: its fitness has the weights."""
        if self.run is None:
            ways = ["maximize" if weight > 0 else "minimize" for weight in individual.fitness.weights]
            several = {f"direction.{self.objective}_{n}": way for n, way in enumerate(ways)}
            if len(ways) == 1:
                self.run = Run("deap", objective=self.objective, direction=ways[0], **self.named)
            else:
                self.run = Run(
                    "deap", objective=self.objective, direction="pareto", metadata=several, **self.named
                )
            self.run.begin()
        return self.run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """End the run, failed where an exception ended it, and leave the toolbox as it was."""
        if self.run is not None:
            self.run.end(error, evaluations=self.evaluations)
        for name, function in self.replaced.items():
            if function is not None:
                setattr(self.toolbox, name, function)


class Evaluation:
    """An evaluation that says how long it took, and returns what it raises; in a pool's process, too."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, individual: Any) -> Evaluated:
        begun = time.perf_counter()
        try:
            return Evaluated(self.function(individual), time.perf_counter() - begun)
        except Exception as error:
            return Evaluated(None, time.perf_counter() - begun, error, format_exc())


class Evaluated(NamedTuple):
    values: Any
    seconds: float
    error: Exception | None = None
    trace: str = ""

    def result(self) -> Any:
        """Return the values, or raise what the evaluation raised, with its traceback."""
        if self.error is None:
            return self.values
        if self.error.__traceback__ is None:  # it comes from another process
            raise self.error from RemoteTraceback(self.trace)
        raise self.error
