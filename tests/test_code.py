"""The code itself: formatted, without lint, strictly typed, and nothing in it that belongs to one machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def test_rooms_import_what_they_may() -> None:
    """The contracts are in `pyproject.toml`; a module that stands in no room is named, too."""
    found = lint_imports(ROOT / "pyproject.toml")
    assert found.returncode == 0, found.stdout + found.stderr


def test_an_arrow_turned_round_and_a_module_without_a_room_are_seen(tmp_path: Path) -> None:
    contracts = (ROOT / "pyproject.toml").read_text()
    for rightly, wrongly, said in (
        ('"producer | formulas", "sources"', '"sources", "producer | formulas"', "streams.producer"),
        ('"clickhouse", "settings"]', '"clickhouse"]', "sinks.settings"),
    ):
        assert rightly in contracts
        file = tmp_path / "contracts.toml"
        file.write_text(contracts.replace(rightly, wrongly))
        found = lint_imports(file)
        assert found.returncode == 1
        assert said in found.stdout


def lint_imports(contracts: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--config", contracts, "--no-cache"]
    where = {**os.environ, "PYTHONPATH": str(ROOT / ".mypy")}
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False)


def test_compiled_modules_keep_to_the_same_arrows() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    height = {room: rank for each in contracts if "containers" in each for room, rank in ranks(each)}
    for file in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.p[yx][xi]")):
        if file.suffix == ".pyi":
            continue
        folder, room, *_ = file.relative_to(ROOT).with_suffix("").parts
        text = file.read_text()
        used = re.findall(rf"\bevometrics\.({'|'.join(FOLDERS)})\.(\w+)", text)
        for included in re.findall(r'^include "(.+)"', text, re.M):
            used.append((file.parent / included).resolve().relative_to(ROOT).with_suffix("").parts[:2])
        for other, its_room in used:
            if other != folder:
                lower = FOLDERS[other] < FOLDERS[folder]
            else:  # what is compiled and stands in no room stands lowest
                lower = its_room == room or height.get(f"{folder}.{its_room}", -1) < height.get(
                    f"{folder}.{room}", 0
                )
            assert lower, f"{file.relative_to(ROOT)} uses {other}/{its_room}"


#: Folders by how high they stand.
FOLDERS = {"schemas": 0, "producers": 1, "streams": 1, "sinks": 2, "deploy": 3}


def ranks(contract: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield a contract's rooms and how high they stand."""
    folder = contract["containers"][0].removeprefix("evometrics.")
    for rank, rooms in enumerate(reversed(contract["layers"])):
        for room in rooms.split(" | "):
            yield f"{folder}.{room}", rank


def test_no_class_name_is_used_twice() -> None:
    found: dict[str, Path] = {}
    for file in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py*")):
        if file.suffix not in (".py", ".pyx"):
            continue
        for name in re.findall(r"^(?:cdef )?class (\w+)", file.read_text(), re.M):
            first = found.setdefault(name, file)
            assert first == file, f"{name} is in {first.relative_to(ROOT)} and {file.relative_to(ROOT)}"


def test_a_long_file_says_why_at_its_head() -> None:
    """Above 300 lines a file is split, or its head gives the reason why it is not: `Long because ...`."""
    for file in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.p*"))):
        if file.suffix not in (".py", ".pyx", ".pxi"):
            continue
        lines = file.read_text().splitlines()
        reason = re.search(r"^(# )?Long because \w", "\n".join(lines[:HEAD_LINES]), re.M)
        assert len(lines) <= LONG_LINES or reason, f"{file.relative_to(ROOT)} has {len(lines)} lines"


#: Lines above which a file needs a reason, and within how many of its first ones that stands.
LONG_LINES = 300
HEAD_LINES = 30


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {file.parent.relative_to(ROOT) for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    assert sorted(listed) == sorted("evometrics." + ".".join(path.parts) for path in there)


def test_pinned_versions_are_bare_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line) for line in lines)
