"""The pages written by hand: what they name is there, and the README is one page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("schemas", "producers", "streams", "sinks", "deploy", "tests", "findings")
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = set(re.findall(r": (\S+\.md)$", nav, re.M))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= named


def test_every_test_that_holds_a_fact_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "what-the-parts-do.md").read_text()))
    code = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert named <= set(re.findall(r"def (test_\w+)\(", code))


def test_every_file_that_a_page_names_is_there() -> None:
    path = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./]+\.\w+)`")
    named = {name: page for page in PAGES for name in path.findall(page.read_text())}
    assert named
    missing = {
        name: str(page.relative_to(ROOT)) for name, page in named.items() if not (ROOT / name).exists()
    }
    assert not missing


def test_the_table_of_rooms_is_that_of_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    text = (DOCS / "contributing.md").read_text()
    for contract in contracts:
        if "layers" not in contract:
            assert f"| {contract['name']} |" in text
            continue
        levels = [re.findall(r"(\w+)(?: \||$)", level) for level in contract["layers"]]
        row = " → ".join(", ".join(f"`{room}`" for room in rooms) for rooms in levels)
        assert row in text, f"docs/contributing.md: {contract['name']}: {row}"
