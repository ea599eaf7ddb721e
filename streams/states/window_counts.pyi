"""Signatures of the compiled module; its purpose is explained in `window_counts.pyx`."""

from collections.abc import Iterable

from evometrics.streams.formulas.windows import Counts, Window

class WindowCounts:
    """Attempts and successes per step for each window of one scope.

    Args:
        windows: at most 4; each one's steps lie within those of the next.
        packed: the initial counts, as returned by `pack`.

    Raises ValueError if the windows are unsuitable, or the bytes do not belong to them.

    Attributes:
        counts: one `Counts` for each window, in their order; not to be changed from outside.
        newest: the newest step of each, -1 if there is none.
    """

    counts: list[Counts]

    def __init__(self, windows: tuple[Window, ...], packed: bytes = b"") -> None: ...
    @property
    def newest(self) -> list[int]: ...
    def add(self, at_micros: int, success: bool, lateness_seconds: int) -> list[set[int]] | None:
        """Count an attempt; return the changed steps, by window, or None if it came too late.

        An attempt is too late if it lies further behind the newest one than `lateness_seconds` in any window:
        its rows are final, only a replay corrects them.
        """

    def takes(self, oldest: int, newest: int, lateness_seconds: int) -> bool:
        """Return whether no attempt is too late whose step of the first window is from `oldest` to `newest`.

        In whatever order.
        """

    def add_steps(self, added: dict[int, tuple[int, int]]) -> list[set[int]]:
        """Count attempts and successes by step of the first window, which `takes` allows.

        Equivalent to `add`, one attempt after the other in any order. Returns the same.
        """

    def count(self, number: int, step: int, attempts: int, successes: int) -> None:
        """Add to one step of one window."""

    def oldest_open(self, number: int, lateness_seconds: int) -> int:
        """Return the oldest step of a window whose row late events may still change."""

    def prune(self, lateness_seconds: int) -> list[list[int]]:
        """Drop the steps that no open window reaches back to; return them, by window."""

    def forget(self, number: int, steps: Iterable[int]) -> None:
        """Drop steps of a window. Raises KeyError if one is not there."""

    def tidy(self, lateness_seconds: int) -> bool:
        """As `prune`, but only if the last window's newest step is a new one; return whether it pruned."""

    def pack(self) -> bytes:
        """Return the counts as bytes."""
