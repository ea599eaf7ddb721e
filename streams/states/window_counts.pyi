"""What the compiled module takes and returns; `counts.pyx` says what it is for."""

from collections.abc import Iterable

from evometrics.streams.formulas.windows import Counts, Window

class WindowCounts:
    """Attempts and successes per step for each window of one scope.

    Args:
        windows: at most 4; each one's steps lie within those of the next.
        packed: the counts to begin with, as `pack` gave them.

    Raises ValueError where the windows are others, or the bytes are none of theirs.

    Attributes:
        counts: one `Counts` for each window, in their order; not to be changed from outside.
        newest: the newest step of each, -1 where there is none.
    """

    counts: list[Counts]

    def __init__(self, windows: tuple[Window, ...], packed: bytes = b"") -> None: ...
    @property
    def newest(self) -> list[int]: ...
    def add(self, at_micros: int, success: bool, lateness_seconds: int) -> list[set[int]] | None:
        """Count an attempt; return the steps changed, by window, or None where it came too late.

        Too late is what lies further behind the newest attempt than `lateness_seconds` in any
        window: its rows are final, only a replay corrects them.
        """

    def takes(self, oldest: int, newest: int, lateness_seconds: int) -> bool:
        """Tell whether no attempt is too late whose step of the first window is from `oldest` to `newest`.

        Whatever their order.
        """

    def add_steps(self, added: dict[int, tuple[int, int]]) -> list[set[int]]:
        """Count attempts and successes by step of the first window, which `takes` allows.

        Leads to what `add` does, one attempt after the other in any order. Returns the same.
        """

    def count(self, number: int, step: int, attempts: int, successes: int) -> None:
        """Add to one step of one window."""

    def oldest_open(self, number: int, lateness_seconds: int) -> int:
        """Return the oldest step of a window whose row late events may still change."""

    def prune(self, lateness_seconds: int) -> list[list[int]]:
        """Forget the steps that no open window reaches back to; return them, by window."""

    def forget(self, number: int, steps: Iterable[int]) -> None:
        """Forget steps of a window. Raises KeyError where one is not there."""

    def tidy(self, lateness_seconds: int) -> bool:
        """Do what `prune` does where the last window's newest step is a new one, seldom; tell whether."""

    def pack(self) -> bytes:
        """Return the counts as bytes."""

def affected_steps(window: Window, totals: Counts, changed: Iterable[int]) -> list[int]:
    """Return the occupied steps whose windows hold one of the `changed`, in order."""

def within(window: Window, totals: Counts, last_step: int) -> tuple[int, int]:
    """Return attempts and successes of the window that ends with `last_step`."""
