"""Makes `shinka.sqlite`: the `programs.sqlite` of a ShinkaEvolve run, with a model that gives fixed answers.

    pip install shinka-evolve==0.0.7
    python make_shinka.py FOLDER && gzip -9cn FOLDER/results/programs.sqlite > shinka.sqlite.gz

Two islands; an answer without code (its proposal fails), one that fails its evaluation, one that gains
nothing.
"""

from __future__ import annotations

import os
import sqlite3
import sys

from loopback_model import serve
from shinka.core import EvolutionConfig, ShinkaEvolveRunner
from shinka.database import DatabaseConfig
from shinka.launch import LocalJobConfig

INITIAL = """# EVOLVE-BLOCK-START
def value():
    return 0.1
# EVOLVE-BLOCK-END


def run_experiment():
    return value()
"""
#: Writes the two files that Shinka reads; its own `run_shinka_eval` imports for seconds.
EVALUATE = """import argparse
import json
import pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--program_path")
parser.add_argument("--results_dir")
args = parser.parse_args()
found, names = {"correct": True, "error": None}, {}
metrics = {"combined_score": 0.0, "public": {}, "private": {}}
try:
    exec(pathlib.Path(args.program_path).read_text(), names)
    score = names["run_experiment"]()
    metrics = {"combined_score": score, "public": {"value": score}, "private": {"runs": 1}}
except Exception as error:
    found = {"correct": False, "error": str(error)}
folder = pathlib.Path(args.results_dir)
(folder / "correct.json").write_text(json.dumps(found))
(folder / "metrics.json").write_text(json.dumps(metrics))
"""


def answer(name: str, value: str) -> str:
    """Return a full rewrite as Shinka asks for it."""
    code = INITIAL.replace("return 0.1\n", f"return {value}\n")
    return (
        f"<NAME>\n{name}\n</NAME>\n<DESCRIPTION>\nReturns {value}.\n</DESCRIPTION>\n"
        f"<CODE>\n```python\n{code}```\n</CODE>"
    )


ANSWERS = (
    answer("sum", "0.1 + 0.2"),
    "I have no idea.",
    answer("division", "1 / 0"),
    answer("more", "0.30000000000000004 + 0.3"),
    answer("less", "0.25"),
)

if __name__ == "__main__":
    os.chdir(sys.argv[1])  # so that the file names no path of this machine
    runner = ShinkaEvolveRunner(
        evo_config=EvolutionConfig(
            num_generations=7,
            patch_types=["full"],
            patch_type_probs=[1.0],
            max_patch_resamples=1,
            max_patch_attempts=1,
            max_novelty_attempts=1,
            llm_models=[f"local/loopback@{serve(ANSWERS)}"],
            llm_dynamic_selection=None,
            embedding_model=None,
            meta_rec_interval=None,
            results_dir="results",
        ),
        job_config=LocalJobConfig(),
        db_config=DatabaseConfig(num_islands=2, archive_size=10),
        max_evaluation_jobs=1,
        max_proposal_jobs=1,
        init_program_str=INITIAL,
        evaluate_str=EVALUATE,
    )
    runner.run()
    with sqlite3.connect("results/programs.sqlite") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
