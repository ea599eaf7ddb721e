"""The examples run as a reader runs them: in an empty folder, without a broker."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parents[1].joinpath("examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_records_every_candidate_that_it_counts(example: Path, tmp_path: Path) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("EVOMETRICS_")}
    done = subprocess.run(
        [sys.executable, example], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [recorded] = re.findall(r"^recorded.*?\b(\d+) candidates", done.stdout, re.M)
    if counted := re.findall(r"^evaluated: (\d+)", done.stdout, re.M):
        assert counted == [recorded]
    with closing(sqlite3.connect(tmp_path / "evolution_metrics.db")) as history:
        [[rows]] = history.execute("SELECT count(*) FROM evolution_metrics WHERE agent_id LIKE '%/%'")
    assert rows == int(recorded) > 0
