"""The changes that make no difference anybody could see: the table in the page about mutations."""

from __future__ import annotations

import re

from tests.mutation.changes import Mutant
from tests.mutation.run import ROOT

PAGE = ROOT / "docs" / "explanation" / "mutations.md"
#: A row: file, the line as it is, as it becomes, and the reason.
ROW = re.compile(r"^\| `(.+?\.py)` \| `(.+)` \| `(.+)` \| .+ \|$", re.MULTILINE)


def equivalents() -> set[tuple[str, str, str]]:
    """Return file, line before and line after of each."""
    return set(ROW.findall(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else set()


def key(mutant: Mutant) -> tuple[str, str, str]:
    """Return what the table says of a mutant."""
    return mutant.file, mutant.before, mutant.after
