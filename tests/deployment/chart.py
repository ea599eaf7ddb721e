"""The chart as Helm renders it; renderings are committed, to be judged where there is no Helm."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import yaml

from tests.deployment.made import CHART
from tests.deployment.tools import KUBERNETES, said

EXAMPLES = ("operators", "existing")
NAMESPACE, RELEASE = "metrics", "evometrics"
RENDERED = Path(__file__).with_name("rendered")

Manifest = dict[str, Any]


def values(example: str) -> Path:
    """Return the file with an example's values."""
    return CHART.parent / "examples" / f"{example}.yaml"


def rendering(example: str) -> Path:
    """Return the file with an example's rendering."""
    return RENDERED / f"{example}.yaml"


@functools.cache
def manifests(example: str) -> list[Manifest]:
    """Return the resources of an example, as they were rendered; to be left as they are."""
    text = rendering(example).read_text(encoding="utf-8")
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def head(example: str) -> str:
    """Return the first line of a rendering: what it was made of."""
    digest = hashlib.sha256()
    for file in sorted([*(each for each in CHART.rglob("*") if each.is_file()), values(example)]):
        digest.update(f"{file.relative_to(CHART.parent)}\n".encode() + file.read_bytes())
    return f"# Rendered by `python -m tests.deployment --write` of {digest.hexdigest()}\n"


def render(helm: Path, example: str, chart: Path = CHART, *more: str) -> str:
    """Have Helm render an example. Raises `ValueError` with what it says."""
    command = [helm, "template", RELEASE, chart, "--namespace", NAMESPACE, "--kube-version", KUBERNETES]
    done = said([*command, "--values", values(example), *more])
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def write(helm: Path) -> None:
    """Write every rendering that has changed, and name it."""
    for example in EXAMPLES:
        text = head(example) + render(helm, example)
        file = rendering(example)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file.name}")
