"""An environment with one extra of the package alone, made of what is installed here: nothing is downloaded.

A folder of links to the distributions that `Requires-Dist` names for the extra, and to the package itself,
takes the place of `site-packages` (`python -S`).
"""

from __future__ import annotations

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGE = "evometrics"


def needed(name: str, extras: frozenset[str]) -> dict[str, set[str]]:
    """Return the distributions that one with these extras needs, itself included, each with its extras."""
    found: dict[str, set[str]] = {}
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        name, extras = waiting.pop()
        known = found.get(name)
        if known is not None and extras <= known:
            continue
        found[name] = extras | (known or set())
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # of another system or Python
        for text in requirements:
            each = Requirement(text)
            if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in {"", *found[name]}):
                waiting.append((canonicalize_name(each.name), frozenset(each.extras)))
    return found


def environment(folder: Path, extra: str) -> tuple[list[str], dict[str, str]]:
    """Make the environment of an extra ("" for none); return its interpreter, and its variables."""
    for name in needed(PACKAGE, frozenset({extra} if extra else ())):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        if name == PACKAGE:
            continue
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            link, target = folder / top, Path(str(distribution(name).locate_file(top)))
            if not link.exists() and target.exists():
                link.symlink_to(target)
    (folder / PACKAGE).mkdir()
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for package, where in setup["package-dir"].items():
        (folder / PACKAGE / package.removeprefix(f"{PACKAGE}.")).symlink_to(ROOT / where)
    return [sys.executable, "-S"], {**os.environ, "PYTHONPATH": str(folder)}
