"""Forked children: what a collector owned belongs to the parent; the child gets an outbox of its own.

No lock, thread or file of the parent can be used in a child: a thread of the parent may have held the lock,
threads don't survive a fork, and two processes must not use SQLite's files through one handle. So, before
anything else runs in the child, each collector is given new ones. The old ones are kept and never closed:
closing them would write into the parent's files.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something that has to be remade in a forked child."""

    def renew_in_child(self) -> object:
        """Remake it; return what belonged to the parent."""


renewables: weakref.WeakSet[Renewable] = weakref.WeakSet()
inherited: list[object] = []


def register(renewable: Renewable) -> None:
    """Have something remade in every child that this process forks, as long as the object lives."""
    renewables.add(renewable)


def renew_all() -> None:
    for renewable in list(renewables):
        inherited.append(renewable.renew_in_child())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_all)
