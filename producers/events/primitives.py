"""What `values` and `convert` do with a value that is a call in Python and next to nothing in C.

Where those are compiled, `primitives.pxd` takes this module's place.
"""

from __future__ import annotations


def is_ascii(text: str) -> bool:
    """Return whether all characters of a text are ASCII."""
    return text.isascii()


def nearest(x: float) -> int:
    """Return the whole number nearest to a finite number, of two the even one."""
    return round(x)
