"""The code itself: formatted, without lint, strictly typed, and nothing in it that belongs to one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "check", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_code_is_clean(check: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_import_rules_between_folders_hold() -> None:
    allowed = {
        "schemas": {"schemas"},
        "producers": {"schemas", "producers"},
        "streams": {"schemas", "streams"},
        "sinks": {"schemas", "sinks", "streams"},
    }
    for folder, may in allowed.items():
        for file in (ROOT / folder).rglob("*.py"):
            imported = set(re.findall(r"(?:from|import) evometrics\.(\w+)", file.read_text()))
            assert imported <= may, f"{file.relative_to(ROOT)} imports {imported - may}"


def test_pinned_versions_are_bare_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line) for line in lines)
