"""A small search for OpenEvolve, without a language model: numbers in a program, replaced by others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from openevolve import OpenEvolve
from openevolve.config import Config, LLMModelConfig
from openevolve.controller import EvolutionFailedError as EvolutionFailedError
from openevolve.evolution_trace import EvolutionTracer as EvolutionTracer
from openevolve.llm.base import LLMInterface
from openevolve.population import PopulationStrategy as PopulationStrategy

from tests.frameworks.expected import Candidate

PROGRAM = """# EVOLVE-BLOCK-START
def answer():
    return 0
# EVOLVE-BLOCK-END
"""
EVALUATOR = """import importlib.util


def evaluate(path):
    spec = importlib.util.spec_from_file_location("candidate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    value = module.answer()
    return {"combined_score": -float(abs(value - 70)) / 3, "value": float(value)}
"""


class Numbers(LLMInterface):  # type: ignore[misc]
    """A model that answers with the parent's number and a little more; some of its answers are of no use."""

    def __init__(self, config: LLMModelConfig) -> None:
        self.last_usage: dict[str, int] | None = None

    async def generate(self, prompt: str, **options: Any) -> str:
        return await self.generate_with_context("", [{"role": "user", "content": prompt}], **options)

    async def generate_with_context(
        self, system_message: str, messages: list[dict[str, str]], **options: Any
    ) -> str:
        turn = options["seed"] % 6  # of the iteration, whatever worker it is in
        self.last_usage = {"prompt_tokens": 100 + turn, "completion_tokens": 10, "total_tokens": 110 + turn}
        if turn == 0:
            raise ConnectionError("the model is unreachable")
        if turn == 1:
            return "I have no idea."
        value = int(re.findall(r"return (-?\d+)", messages[-1]["content"])[-1])
        new = "1 / 0" if turn == 2 else str(value + turn - 2)
        return f"<<<<<<< SEARCH\n    return {value}\n=======\n    return {new}\n>>>>>>> REPLACE"


def controller(folder: Path, iterations: int = 12, workers: int = 2, **options: Any) -> OpenEvolve:
    """Return a controller of a search in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.py").write_text(PROGRAM)
    (folder / "evaluator.py").write_text(EVALUATOR)
    config = Config(max_iterations=iterations, random_seed=3, log_level="ERROR", checkpoint_interval=4)
    config.llm.models = [LLMModelConfig(name="numbers", init_client=Numbers)]
    config.evaluator.parallel_evaluations = workers
    config.evaluator.cascade_evaluation = False
    config.evaluator.max_retries = 0
    config.database.num_islands = 2
    config.database.migration_interval = 2
    return OpenEvolve(
        str(folder / "program.py"), str(folder / "evaluator.py"), config, str(folder / "output"), **options
    )


class Account:
    """What a controller did, by what it tells its tracer and its database: attached before anything else."""

    def __init__(self, search: OpenEvolve) -> None:
        self.programs: dict[str, Any] = {}
        self.refused: list[str] = []
        self.traced: list[int] = []
        self.failures: list[dict[str, Any]] = []
        self.add = search.database.add
        search.evolution_tracer, search.database.add = self, self.added

    def added(self, program: Any, **where: Any) -> str | None:
        admitted: str | None = self.add(program, **where)
        self.programs[program.id] = program
        if admitted is None:
            self.refused.append(program.id)
        return admitted

    def log_trace(self, **trace: Any) -> None:
        assert trace["child_program"].id in self.programs
        self.traced.append(trace["iteration"])

    def log_failure(self, **failure: Any) -> None:
        self.failures.append(failure)

    def close(self) -> None:
        pass

    def candidates(self, run_id: str, after: str = "") -> list[Candidate]:
        """Return all programs, and the iterations without one."""
        every = [candidate(run_id, each.id, each.metrics, each.parent_id) for each in self.programs.values()]
        for failure in self.failures:
            name = f"iteration-{failure['iteration']}{after}"
            every.append(candidate(run_id, name, {}, failure.get("parent_id")))
        return every


def candidate(run_id: str, name: str, metrics: dict[str, float], parent: str | None) -> Candidate:
    """Return a program, or what became of an iteration, as a candidate."""
    scores = {"combined_score": metrics["combined_score"]} if "combined_score" in metrics else {}
    return Candidate(f"{run_id}/{name}", scores, (f"{run_id}/{parent}",) if parent else ())
