"""README's commands, as they stand there."""

from __future__ import annotations

import re

DEMO, TESTS = "## Try it", "<!-- test command -->"
PIP = "python3 -m venv .venv && .venv/bin/pip install"
UV = "uv venv --allow-existing .venv && uv pip install"


def command(readme: str, after: str) -> str:
    """Return the first block of shell behind a line of README; raises `ValueError` if there is none."""
    found = re.search(rf"^{re.escape(after)}$.*?^```bash\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"README.md has no command behind {after!r}")
    return found[1].strip()


def with_uv(text: str) -> str:
    """Return a command of README as README says it is for uv."""
    if not text.startswith(PIP):
        raise ValueError(f"README's command does not begin with {PIP!r}: {text}")
    return UV + text.removeprefix(PIP)
