"""OpenEvolve betters a program; every program is recorded, those too that raise.

    python examples/openevolve_program.py

A class stands for the language model, so it needs no network. The program is a route through eight towns; the
model swaps two of them, and now and then names one twice, which the evaluation refuses. OpenEvolve counts
that as a score of 0.0, the best of all where honest ones are negative; the record does not.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

from openevolve import OpenEvolve
from openevolve.config import Config, LLMModelConfig
from openevolve.llm.base import LLMInterface

from evometrics.producers.integrations.openevolve import EvometricsTracer

PROGRAM = """# EVOLVE-BLOCK-START
ROUTE = [0, 4, 1, 5, 2, 6, 3, 7]
# EVOLVE-BLOCK-END
"""
EVALUATOR = """import math
import runpy

TOWNS = [(math.cos(i * math.pi / 4), math.sin(i * math.pi / 4)) for i in range(8)]


def evaluate(path):
    route = runpy.run_path(path)["ROUTE"]
    if sorted(route) != list(range(8)):
        raise ValueError("each town once")
    length = sum(math.dist(TOWNS[a], TOWNS[b]) for a, b in zip(route, route[1:] + route[:1]))
    return {"combined_score": -length, "length": length}
"""


class Swaps(LLMInterface):  # type: ignore[misc]
    """Answers with two towns swapped; which ones depends on the iteration's seed alone."""

    def __init__(self, config: LLMModelConfig) -> None:
        self.last_usage = {"prompt_tokens": 800, "completion_tokens": 60, "total_tokens": 860}

    async def generate(self, prompt: str, **options: Any) -> str:
        return await self.generate_with_context("", [{"role": "user", "content": prompt}], **options)

    async def generate_with_context(
        self, system_message: str, messages: list[dict[str, str]], **options: Any
    ) -> str:
        old = re.findall(r"ROUTE = \[[\d, ]+\]", messages[-1]["content"])[-1]
        route = [int(town) for town in re.findall(r"\d+", old)]
        first, second = options["seed"] % 8, options["seed"] // 8 % 8
        if first == second:
            route[first] = route[first - 1]  # a town twice: its evaluation raises
        route[first], route[second] = route[second], route[first]
        return f"<<<<<<< SEARCH\n{old}\n=======\nROUTE = {route}\n>>>>>>> REPLACE"


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "program.py").write_text(PROGRAM)
        (folder / "evaluator.py").write_text(EVALUATOR)
        config = Config(max_iterations=24, random_seed=1, log_level="ERROR")
        config.llm.models = [LLMModelConfig(name="swaps", init_client=Swaps)]
        config.evaluator.cascade_evaluation = False
        config.evaluator.max_retries = 0
        config.evaluator.parallel_evaluations = 2
        search = OpenEvolve(
            str(folder / "program.py"), str(folder / "evaluator.py"), config, str(folder / "output")
        )
        tracer = EvometricsTracer.attach(search, agent_id="route")
        best = await search.run()
    print(f"OpenEvolve's best program: {best.metrics if best else None}")
    if tracer.run is not None:
        print(f"best score: {tracer.run.scores.best:.3f}")
        print(f"recorded: {tracer.run.scores.count} candidates, as run {tracer.run.run_id}")


if __name__ == "__main__":
    asyncio.run(main())
