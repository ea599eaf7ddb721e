"""PyGAD: `with EvometricsRecorder(ga): ga.run()` records every evaluated solution with its parents.

Seen with PyGAD 3.9.2 (`pygad/utils/engine.py`, `pygad/utils/parallel.py`). PyGAD maximises. Its callbacks
come in the thread that calls `run`; your own `on_start`, `on_generation` and `on_stop` are called as
before. The others are left alone: `on_crossover` and `on_mutation` make PyGAD prepare the offspring once
more, which changes a run.

- No callback tells which solutions were evaluated: those kept by elitism or as parents, and children that
  equal one, have the fitness that is known. So this stands around `_map_fitness`, which all evaluations go
  through (serial, batches, threads, processes; those of adaptive mutation, too), as
  `num_fitness_evaluations` counts them.
- A solution is `GENERATION-ROW` of the population; before an adaptive mutation
  `GENERATION-mutating-NUMBER`.
- Parents are known where no `crossover_probability` draws them: child k is made from parents k and k + 1
  of those selected, as all of PyGAD's own crossovers do. With a crossover of your own there are none.
- The exception of an evaluation ends the run, and is recorded with its solution; in processes it is not
  known of which. NaN is a ValueError for PyGAD.
- A second `run()`, and a `pygad.load`, continue the run, whether the loaded GA is given a recorder again or
  not. The population that they begin with may be evaluated anew: it is recorded once.
"""

from __future__ import annotations

import copy
import functools
import logging
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from evometrics.producers.integrations.sessions import continued, guarded
from evometrics.producers.recording import Recorder, Run

logger = logging.getLogger(__name__)
#: Crossovers of which child k comes from parents k and k + 1.
IN_TURN = ("single_point", "two_points", "uniform", "scattered", "sbx")
#: A row of a population: its genes and its solution's name.
Row = tuple[tuple[Any, ...], str]


class EvometricsRecorder:
    """Records the runs of a `pygad.GA` as one.

    `objective`: the KPI; several objectives are `fitness_0`, `fitness_1`, and so on.
    """

    def __init__(
        self,
        ga: Any,
        *,
        recorder: Recorder | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        objective: str = "fitness",
    ) -> None:
        self.objective = objective
        self.named: dict[str, Any] = {"recorder": recorder, "agent_id": agent_id, "run_id": run_id}
        self.run: Run | None = None
        self.evaluations, self.mutating = 0, 0
        self.generation, self.reported = -1, -1
        self.previous, self.rows = list[Row](), list[Row]()
        self.known: dict[tuple[Any, ...], str] = {}
        self.own = {name: getattr(ga, name) for name in ("on_start", "on_generation", "on_stop")}
        before = getattr(ga.on_start, "__self__", None)
        if isinstance(before, EvometricsRecorder):  # as `pygad.load` brings it along
            self.own = before.own
            if before.run is not None and run_id in (None, before.run.run_id):
                self.take_over(before, recorder)
        for name in self.own:
            setattr(ga, name, getattr(self, name))
        if not hasattr(type(ga), "_map_fitness"):
            logger.error("this PyGAD evaluates in another way than 3.9.2: only generations are recorded")
        ga._map_fitness = functools.partial(self.evaluate, ga)

    def take_over(self, before: EvometricsRecorder, recorder: Recorder | None) -> None:
        """Go on where another recorder was when its GA was saved."""
        vars(self).update(vars(before))
        self.run = copy.copy(before.run)
        assert self.run is not None
        self.run.ended = True  # whatever follows is a session of its own
        if recorder is not None:
            self.run.recorder = recorder

    def on_start(self, ga: Any) -> Any:
        """Called before a run's first evaluation."""
        self.resume(ga)
        return self.own["on_start"] and self.own["on_start"](ga)

    def on_generation(self, ga: Any) -> Any:
        """Called after each generation except the initial population; your own may return "stop"."""
        self.report(ga)
        return self.own["on_generation"] and self.own["on_generation"](ga)

    def on_stop(self, ga: Any, fitness: Any) -> Any:
        """Called after the last generation."""
        self.close()
        return self.own["on_stop"] and self.own["on_stop"](ga, fitness)

    def evaluate(self, ga: Any, tasks: Sequence[tuple[Any, Any]]) -> Iterator[Any]:
        """Evaluate as PyGAD does; a task is a solution and its row, or a batch of them."""
        results = type(ga)._map_fitness(ga, tasks)
        self.place(ga, [row for task in tasks for row in rows_of(ga, task)])
        done, begun = 0, time.perf_counter()
        try:
            for result in results:
                seconds = None if ga.parallel_processing or batched(ga) else time.perf_counter() - begun
                self.record(ga, tasks[done], result, seconds)
                yield result
                done, begun = done + 1, time.perf_counter()
        except Exception as error:
            if not ga.parallel_processing or ga.parallel_processing[0] == "thread":
                self.record(ga, tasks[done], error=error)
            self.close(error)
            raise
        finally:
            results.close()

    @guarded
    def resume(self, ga: Any) -> None:
        if self.run is not None and self.run.ended:
            self.run = continued(self.run, ga.generations_completed)

    @guarded
    def place(self, ga: Any, evaluated: Sequence[Any]) -> None:
        """Name the population's rows, of which some are evaluated and others have a known fitness."""
        if None in evaluated:  # children before an adaptive mutation, which are in no population
            return
        generation, new = ga.generations_completed, set(evaluated)
        if generation != self.generation:
            self.previous, self.rows, self.generation, self.mutating = self.rows, [], generation, 0
        kept = [self.previous[row][1] for row in indices_kept(ga)] if self.previous else []
        rows = list[Row]()
        for row, genes in enumerate(map(tuple, ga.population)):
            name = f"{generation}-{row}"
            if row < len(self.rows) and self.rows[row][0] == genes:  # evaluated anew
                name = self.rows[row][1]
            elif row not in new:
                name = kept[row] if row < len(kept) else self.known.get(genes, name)
            rows.append((genes, name))
        self.rows = rows
        if not (ga.save_solutions or ga.save_best_solutions):  # whose fitness is known for ever
            self.known = dict(self.previous)
        self.known.update(rows)

    @guarded
    def record(
        self,
        ga: Any,
        task: tuple[Any, Any],
        result: Any = None,
        seconds: float | None = None,
        error: Exception | None = None,
    ) -> None:
        each = rows_of(ga, task)
        values = [None] * len(each) if error is not None else result if batched(ga) else [result]
        for row, value in zip(each, values, strict=True):
            several = list(value) if hasattr(value, "__len__") else []
            run = self.opened(len(several))
            if row is None:
                name, self.mutating = f"{self.generation + 1}-mutating-{self.mutating}", self.mutating + 1
            else:
                name = self.rows[row][1]
            run.candidate(
                name,
                score=None if run.objective is None else next(iter(several), value),
                scores={f"{self.objective}_{n}": one for n, one in enumerate(several)}
                if len(several) > 1
                else None,
                parents=() if row is None else self.parents(ga, row),
                generation=self.generation + (row is None),
                duration_seconds=seconds,
                insights=[] if error is None else [repr(error)],
                identity=f"{run.run_id}/{name}/{value}",
            )
        self.evaluations += 0 if error is not None else len(each)

    def parents(self, ga: Any, row: int) -> Sequence[str]:
        """Return the names of a row's parents, without doublets."""
        child = row - (len(self.rows) - ga.num_offspring)
        if not self.previous or child < 0 or ga.crossover_probability or ga.crossover_type not in IN_TURN:
            return ()
        selected = ga.last_generation_parents_indices
        both = (selected[number % len(selected)] for number in (child, child + 1))
        return list(dict.fromkeys(self.previous[each][1] for each in both))

    @guarded
    def report(self, ga: Any) -> None:
        if self.generation != ga.generations_completed:  # nothing in it had to be evaluated
            self.place(ga, [])
        if self.reported < self.generation - 1:  # PyGAD has no callback for the initial population
            self.progress(self.generation - 1, ga.previous_generation_fitness)
        self.progress(self.generation, ga.last_generation_fitness)

    def progress(self, generation: int, fitness: Any) -> None:
        self.reported = generation
        if fitness.ndim == 1:
            self.opened().progress(
                generation, best=fitness.max(), mean=fitness.mean(), evaluations=self.evaluations
            )
        else:
            dominated = (((fitness >= one).all(1) & (fitness > one).any(1)).any() for one in fitness)
            front = len(fitness) - sum(map(bool, dominated))
            self.opened().progress(generation, front_size=front, evaluations=self.evaluations)

    def opened(self, objectives: int = 0) -> Run:
        """Return the run, which the first fitness opens."""
        if self.run is None:
            names = [f"direction.{self.objective}_{n}" for n in range(objectives)] if objectives > 1 else []
            direction = "pareto" if names else "maximize"
            ways = dict.fromkeys(names, "maximize")
            self.run = Run(
                "pygad", objective=self.objective, direction=direction, metadata=ways, **self.named
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
        """End the run, failed where an exception ended it."""
        if self.run is not None or error is not None:
            self.opened().end(error, evaluations=self.evaluations)


def batched(ga: Any) -> bool:
    return ga.fitness_batch_size not in (None, 1)


def rows_of(ga: Any, task: tuple[Any, Any]) -> list[int | None]:
    """Return a task's rows of the population; None for each child that is in none yet."""
    solutions, rows = task
    if not batched(ga):
        return [rows]
    return [None] * len(solutions) if rows is None else rows


def indices_kept(ga: Any) -> Sequence[int]:
    """Return which rows of the last population are the first of this one; none where PyGAD does not say."""
    if ga.keep_elitism > 0:
        return list(ga.last_generation_elitism_indices)
    return list(ga.last_generation_parents_indices) if ga.keep_parents == -1 else []
