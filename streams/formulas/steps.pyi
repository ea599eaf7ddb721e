"""Signatures of the compiled module; its purpose is explained in `steps.pyx`."""

from collections.abc import Iterable

from evometrics.streams.formulas.windows import Counts, Window

def affected_steps(window: Window, totals: Counts, changed: Iterable[int]) -> list[int]:
    """Return the occupied steps whose windows hold one of the `changed`, in order."""

def within(window: Window, totals: Counts, last_step: int) -> tuple[int, int]:
    """Return attempts and successes of the window that ends with `last_step`."""
