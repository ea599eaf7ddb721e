"""Forked children: what a collector owned belongs to the parent; the child gets an outbox of its own.

No lock, thread or file of the parent can be used in a child: a thread of the parent may have held the lock,
no thread is there, and SQLite's files must not be touched from two processes by one handle. So, before
anything else runs in the child, each collector is given new ones. The old ones are kept and never closed:
to close them would write into the parent's files.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something that has to be made anew in a forked child."""

    def renew_in_child(self) -> object:
        """Make it anew; return what was the parent's."""


renewables: weakref.WeakSet[Renewable] = weakref.WeakSet()
inherited: list[object] = []


def register(renewable: Renewable) -> None:
    """Have something renewed in every child that this process forks while it lives."""
    renewables.add(renewable)


def renew_all() -> None:
    for renewable in list(renewables):
        inherited.append(renewable.renew_in_child())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_all)
