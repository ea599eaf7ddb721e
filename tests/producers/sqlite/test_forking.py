"""A fork and SQLite's locks: it waits for the threads that are inside, and no longer."""

from __future__ import annotations

import os
import threading
import time

import pytest

from evometrics.producers.sqlite import forking
from evometrics.producers.sqlite.forking import sqlite_use, uses_sqlite


def child_of_a_fork() -> int:
    """Fork; return the exit code of a child that uses SQLite at once."""
    pid = os.fork()
    if pid == 0:
        with sqlite_use:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_waits_until_no_thread_is_inside() -> None:
    inside, leave = threading.Event(), threading.Event()
    left = []

    def work() -> None:
        with sqlite_use, sqlite_use:  # nested, as a method that calls another
            inside.set()
            leave.wait()
            left.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    threading.Timer(0.1, leave.set).start()
    assert child_of_a_fork() == 7
    thread.join()
    assert left and time.monotonic() > left[0]
    assert sqlite_use.users == 0


def test_a_fork_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs must not hang the process."""
    monkeypatch.setattr(forking, "MOST_SECONDS", 0.05)
    inside, leave = threading.Event(), threading.Event()

    @uses_sqlite
    def work() -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    assert child_of_a_fork() == 7
    leave.set()
    thread.join()
    assert sqlite_use.users == 0


def test_threads_are_inside_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def work() -> None:
        with sqlite_use:
            both.wait(60)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


def test_a_thread_that_is_inside_may_fork_itself() -> None:
    with sqlite_use:
        assert child_of_a_fork() == 7
    assert sqlite_use.users == 0
