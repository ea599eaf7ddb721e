"""No fork while a thread is inside SQLite: the child would inherit SQLite's locks as they are at that moment.

SQLite's global mutexes (of its allocator, its page cache, its list of open files) have no `pthread_atfork`. A
thread works in it with the GIL released, so that another may fork meanwhile; the first call of SQLite in the
child would then wait for ever for a thread that the child does not have.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that a fork waits for the threads in SQLite: a disk that hangs must not hang the process.
MOST_SECONDS = 5.0


class SqliteUse:
    """Entered by each thread for as long as it uses SQLite; may be nested."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, in a forked child too: its only thread is not inside."""
        self.condition = threading.Condition()
        self.own = threading.local()
        self.users = 0
        self.forking = 0

    def __enter__(self) -> None:
        depth = getattr(self.own, "depth", 0)
        self.own.depth = depth + 1
        if depth == 0:
            with self.condition:
                while self.forking:
                    self.condition.wait(MOST_SECONDS)
                self.users += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        depth = getattr(self.own, "depth", 0) - 1
        if depth < 0:  # this thread has forked meanwhile, and this is the child
            return
        self.own.depth = depth
        if depth == 0:
            with self.condition:
                self.users -= 1
                self.condition.notify_all()

    def before_fork(self) -> None:
        """Wait until no other thread is inside, and keep the others out."""
        mine = 1 if getattr(self.own, "depth", 0) else 0
        with self.condition:
            self.forking += 1
            self.condition.wait_for(lambda: self.users <= mine, MOST_SECONDS)

    def after_fork(self) -> None:
        """In the parent: let the threads continue."""
        with self.condition:
            self.forking -= 1
            self.condition.notify_all()


sqlite_use = SqliteUse()
os.register_at_fork(
    before=sqlite_use.before_fork,
    after_in_parent=sqlite_use.after_fork,
    after_in_child=sqlite_use.renew,
)


def uses_sqlite(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function be inside SQLite while it runs."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with sqlite_use:
            return function(*args, **kwargs)

    return call
