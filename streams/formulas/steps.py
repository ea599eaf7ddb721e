# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""Sums over the steps of a window; compiled, as each completion changes steps in five scopes' windows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evometrics.streams.formulas.windows import Counts, Window


def affected_steps(window: Window, totals: Counts, changed: Iterable[int]) -> list[int]:
    """Return the occupied steps whose windows hold one of the `changed`, in order."""
    if len(totals) == 1:
        return [each for each in changed if each in totals]
    span = window.steps
    found: set[int] = set()
    for start in changed:
        if len(totals) > span:
            for step in range(start, start + span):
                if step in totals:
                    found.add(step)
        else:
            for step in totals:
                if start <= step < start + span:
                    found.add(step)
    return sorted(found)


def within(window: Window, totals: Counts, last_step: int) -> tuple[int, int]:
    """Return attempts and successes of the window that ends with `last_step`."""
    span = window.steps
    first_step = last_step - span + 1
    attempts = successes = 0
    if len(totals) > span:
        for step in range(first_step, last_step + 1):
            known = totals.get(step)
            if known is not None:
                attempts += known[0]
                successes += known[1]
    else:
        for step, counted in totals.items():
            if first_step <= step <= last_step:
                attempts += counted[0]
                successes += counted[1]
    return attempts, successes
