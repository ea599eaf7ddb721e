"""Makes `openevolve_trace.jsonl` and its `_failures.jsonl`: what an OpenEvolve run with fixed answers traces.

    pip install openevolve==0.4.1
    python make_openevolve.py FOLDER
    for name in _trace _trace_failures; do cp FOLDER/output/evolution$name.jsonl openevolve$name.jsonl; done

Two workers, so that iterations come out of order; an answer without a change (a failed proposal), one that
fails its evaluation, one that scores below zero.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from loopback_model import serve
from openevolve import run_evolution
from openevolve.config import Config, LLMModelConfig

INITIAL = """# EVOLVE-BLOCK-START
def value():
    return 0.1
# EVOLVE-BLOCK-END
"""
EVALUATOR = """import pathlib
import time


def evaluate(path):
    names = {}
    exec(pathlib.Path(path).read_text(), names)
    score = names["value"]()
    time.sleep(0.5 if score == 0.25 else 0)
    return {"combined_score": score, "speed": 12.5}
"""


def answer(value: str) -> str:
    """Return a rewrite in a block of code."""
    return f"```python\n{INITIAL.replace('0.1', value)}```"


ANSWERS = (
    answer("0.1 + 0.2"),
    answer("0.25"),
    answer("0.1"),
    answer("1 / 0"),
    answer("0.7"),
    answer("-2.5"),
    answer("0.1 + 0.7"),
)

if __name__ == "__main__":
    os.chdir(sys.argv[1])  # so that the file names no path of this machine
    Path("program.py").write_text(INITIAL)
    Path("evaluator.py").write_text(EVALUATOR)
    config = Config()
    config.llm.models = [
        LLMModelConfig(name="loopback", api_base=serve(ANSWERS), api_key="none", weight=1.0, retries=0)
    ]
    config.diff_based_evolution = False
    config.checkpoint_interval = 5
    config.evaluator.parallel_evaluations = 2
    config.evaluator.cascade_evaluation = False
    config.evaluator.max_retries = 0
    config.database.num_islands = 2
    config.database.random_seed = 1
    trace = config.evolution_trace
    trace.enabled = trace.include_failures = trace.include_code = True
    trace.include_prompts = False
    run_evolution("program.py", "evaluator.py", config, iterations=12, output_dir="output", cleanup=False)
    for path in Path("output").glob("evolution_trace*.jsonl"):  # tracebacks name this machine's folders
        path.write_text(re.sub(r'File \\"[^"]*/', r'File \\"', path.read_text()))
