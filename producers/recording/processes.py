"""Which recorders a process has: its own, and those that were pickled to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from evometrics.producers.collector import forks

if TYPE_CHECKING:
    from evometrics.producers.recording.recorder import Recorder


class Recorders:
    """The recorders of this process.

    Attributes:
        own: made from the environment at its first use.
        here: all by token: one that comes back to where it came from is itself.
        from_elsewhere: kept, because a pool's worker unpickles one with every task.
    """

    def __init__(self) -> None:
        self.making = threading.RLock()
        self.own: Recorder | None = None
        self.here: WeakValueDictionary[str, Recorder] = WeakValueDictionary()
        self.from_elsewhere: dict[str, Recorder] = {}
        forks.register(self)

    def renew_in_child(self) -> object:
        """In a forked child: a lock that no thread of the parent holds."""
        old, self.making = self.making, threading.RLock()
        return old


recorders = Recorders()


def default(cls: type[Recorder]) -> Recorder:
    """Return the process's own recorder."""
    if recorders.own is None:
        with recorders.making:
            if recorders.own is None:
                recorders.own = cls()
    return recorders.own


def arrived(cls: type[Recorder], config: dict[str, Any], run_id: str, token: str) -> Recorder:
    """Return the recorder that a pickled one is in this process."""
    with recorders.making:
        found = recorders.here.get(token)
        if found is None:
            found = recorders.from_elsewhere[token] = cls(config, run_id=run_id)
            found.token = token
            recorders.here[token] = found
        return found
