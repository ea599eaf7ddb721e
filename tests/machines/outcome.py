"""What a command did, judged by what it printed, and the table of all."""

from __future__ import annotations

import re
from dataclasses import dataclass

ROW = re.compile(r"^evometrics\.\S+ +\d+ +\d+ +(equal|DIFFERENT)$", re.MULTILINE)
#: Of the demo's table: the topics of README's example.
TOPICS = 9
PASSED = re.compile(r"^=* ?(\d+ passed.*?) in [\d.]+s.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table.

    Attributes:
        machine: its title, with the version of its Python.
        command: what was run, in a word or two.
        minutes: how long it took.
        result: what came of it.
        right: whether that is what README promises.
    """

    machine: str
    command: str
    minutes: float
    result: str
    right: bool


def of_demo(printed: str, exit_code: int) -> tuple[str, bool]:
    """Return what the demo came to, and whether every topic was found equal."""
    rows = ROW.findall(printed)
    equal = rows.count("equal")
    if exit_code or not rows:
        return f"exit code {exit_code}, {equal} of {TOPICS} topics equal", False
    return f"{equal} of {TOPICS} topics equal", equal == len(rows) == TOPICS


def of_version(printed: str, exit_code: int) -> tuple[str, bool]:
    """Return what `evometrics --version` says of the build; right where it is plain Python."""
    plain = exit_code == 0 and "plain Python" in printed
    return ("plain Python" if plain else printed.strip() or f"exit code {exit_code}"), plain


def of_tests(printed: str, exit_code: int) -> tuple[str, bool]:
    """Return pytest's own summary, and whether all passed."""
    found = PASSED.findall(printed)
    if exit_code or not found:
        return f"exit code {exit_code}", False
    return str(found[-1]), True


def table(outcomes: list[Outcome]) -> str:
    """Return the outcomes as a table in Markdown."""
    lines = ["| machine | command | minutes | result |", "|---|---|---|---|"]
    lines += [
        f"| {each.machine} | {each.command} | {each.minutes:.1f} | {each.result} |" for each in outcomes
    ]
    return "\n".join(lines)
