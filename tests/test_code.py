"""The code itself: formatted, without lint, strictly typed, and nothing in it that belongs to one machine."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from evometrics.schemas.service.compiled import COMPILABLE

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "check", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_code_is_clean(check: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_no_merge_is_left_half_done() -> None:
    """A file that both sides of a merge have changed must have lost git's marks."""
    marks = re.compile(rb"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / name for name in listed.decode().split("\0")]
    assert not [file for file in files if file.is_file() and marks.search(file.read_bytes())]


def test_no_pattern_has_what_python_3_11_2_does_not_match() -> None:
    """It takes possessive groups with a lookahead in them, and finds nothing where it should."""
    group = re.compile(r"\)[*+?]\+|\(\?>")
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    assert [file for file in files if group.search(file.read_text())] == []


def distribution(name: str) -> str:
    """Return the normal form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_declared() -> None:
    """A package that comes with another's is gone where that no longer needs it, as lz4 is on Python 3.14."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = (project["dependencies"], *project["optional-dependencies"].values())
    declared = {distribution(re.split(r"[ \[<>=!;]", line)[0]) for lines in lists for line in lines}
    owners = packages_distributions()
    missing = set()
    for file in (file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names}:
                owning = {distribution(owner) for owner in owners.get(name, ())}
                if owning and not owning & {*declared, "evometrics"}:
                    missing.add((name, file.relative_to(ROOT).as_posix()))
    assert sorted(missing) == []


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
    """Import-linter sees neither what a compiled module imports nor who imports one."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    height = {room: rank for each in contracts if "containers" in each for room, rank in ranks(each)}
    for file in sources():
        folder, room, *_ = file.relative_to(ROOT).with_suffix("").parts
        if room == "__init__":
            continue
        text = file.read_text()
        used = re.findall(rf"^ *(?:from|c?import) evometrics\.({'|'.join(FOLDERS)})\.(\w+)", text, re.M)
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


def sources() -> Iterator[Path]:
    """Yield the package's files, those in Cython as well."""
    for folder in FOLDERS:
        for suffix in ("py", "pyx", "pxi", "pxd"):
            yield from (ROOT / folder).rglob(f"*.{suffix}")


def ranks(contract: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield a contract's rooms and how high they stand."""
    folder = contract["containers"][0].removeprefix("evometrics.")
    for rank, rooms in enumerate(reversed(contract["layers"])):
        for room in rooms.split(" | "):
            yield f"{folder}.{room}", rank


def test_a_room_exports_what_other_rooms_import() -> None:
    """A room's `__all__` names the modules that others import, and a script's entry point."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]
    imported: dict[str, set[str]] = {room: set() for room in packages if room.count(".") == 2}
    for entry in project["project"]["scripts"].values():
        room, _, module = entry.partition(":")[0].rpartition(".")
        imported[room].add(module)
    for file in sources():
        own = ".".join(("evometrics", *file.relative_to(ROOT).parts[:2]))
        for room, module, *names in IMPORT.findall(file.read_text()):
            if room != own and room in imported:
                imported[room].update(
                    [module] if module else re.findall(r"(\w+)(?: as \w+)?", "".join(names))
                )
    assert {room: set(importlib.import_module(room).__all__) for room in imported} == imported


#: The room, the module in it; where a room is imported from, the names, which may be in brackets.
IMPORT = re.compile(
    r"^ *(?:from|import) (evometrics\.\w+\.\w+)(?:\.(\w+)| c?import (?:\(([^)]*)\)|([\w ,]+)))", re.M
)


def test_tests_mirror_the_rooms() -> None:
    """A room's tests stand in its folder, a one-module room's beside the folders, helpers in `support`."""
    for folder in FOLDERS:
        modules = "|".join(file.stem for file in (ROOT / folder).glob("*.py*"))
        for file in (ROOT / "tests" / folder).rglob("*.py"):
            *room, name = file.relative_to(ROOT / "tests" / folder).parts
            assert ROOT.joinpath(folder, *room, "__init__.py").exists(), f"{file}: no such room"
            if name not in ("__init__.py", "conftest.py"):
                tested = r"\w+" if room else rf"({modules})(_\w+)?"
                assert re.fullmatch(rf"test_{tested}\.py", name), f"{file}: of which room?"
    for file in (ROOT / "tests").glob("*.py"):
        assert file.name in ("__init__.py", "conftest.py") or file.name.startswith("test_"), file


def test_no_class_name_is_used_twice() -> None:
    """Except by adapters, whose users know one framework and import by its name."""
    found: dict[str, Path] = {}
    for file in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py*")):
        if file.suffix not in (".py", ".pyx"):
            continue
        for name in re.findall(r"^(?:cdef )?class (\w+)", file.read_text(), re.M):
            if file.parent.name == "integrations" and name.startswith("Evometrics"):
                continue
            first = found.setdefault(name, file)
            twins = first.with_suffix("") == file.with_suffix("")  # one in Python, one in Cython
            assert twins, f"{name} is in {first.relative_to(ROOT)} and {file.relative_to(ROOT)}"


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


def test_what_is_compiled_need_not_be() -> None:
    """Each module that may be compiled has a Python source, and its build may fail."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    assert [each["name"] for each in declared] == list(COMPILABLE)
    for each in declared:
        (source,) = (ROOT / name for name in each["sources"])
        assert each["optional"]
        assert source.with_suffix(".py").exists()
        if source.suffix == ".py":
            assert str(source.with_suffix(".pxd").relative_to(ROOT)) in each["depends"]


def test_pinned_versions_are_bare_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line) for line in lines)
