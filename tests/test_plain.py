"""Without compiled modules everything works the same: the pure tests and those of the contract, once more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evometrics.schemas.service.compiled import COMPILABLE

ROOT = Path(__file__).parents[1]
#: Python started with this imports the sources, and so do its children.
PLAIN = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support" / "plain_python")}
#: No server is started by these.
TESTS = {
    "schemas": (
        *("kpis", "rules", "evolutions", "wire/test_codec.py", "wire/test_datum.py", "wire/test_framing.py"),
        "wire/test_compatibility.py",
    ),
    "producers": ("events/test_metric_row.py", "events/test_left_out.py", "publisher/test_clock_repair.py"),
    "streams": ("formulas", "states", "rows", "processors/test_scopes.py", "processors/test_evolutions.py"),
    "sinks": ("raw/test_steps.py",),
}


def test_where_nothing_is_compiled_the_sources_run() -> None:
    program = f"""
import importlib, sys
from evometrics.schemas.service.compiled import build
assert build().startswith("plain Python; "), build()
for name in {COMPILABLE}:
    assert importlib.import_module(name).__file__.endswith(".py"), name
assert "cython" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=PLAIN, check=True, timeout=120)


@pytest.mark.parametrize("folder", TESTS)
def test_the_pure_tests_and_the_contracts_pass_in_plain_python(folder: str) -> None:
    files = [f"tests/{folder}/{name}" for name in TESTS[folder]]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=ROOT,
        env=PLAIN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-5000:]
