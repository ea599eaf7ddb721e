"""Resource use of a process and its children: an evolution that trains in a subprocess includes its costs.

Children are looked up where the kernel lists them by thread (`/proc/<pid>/task/<tid>/children`), elsewhere by
psutil, which goes through every process of the machine. CPU time of a descendant that has ended is known from
its last reading, and exactly once its parent has waited for it. Memory shared by forked processes counts
once.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MB = 1_000_000
#: `ru_maxrss` is in KiB on Linux and in bytes on macOS.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
KERNEL_LISTS = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()
GONE = (psutil.Error, OSError)
#: What a process has in common with others is measured again after so many times as long as that took.
SHARE_REST = 100
#: New descendants are looked for in a fiftieth of the time: the kernel lists them by thread, some 15 us for
#: each that this process has. Those known are read meanwhile.
FIND_REST = 50


@dataclass(slots=True)
class ProcessMemory:
    """A process's share of memory, which forked processes have most of in common.

    For the proportional share the kernel walks through all pages, some 30 ms for a GB, which would be most of
    what recording costs where a large process has children. In between its resident memory counts, without
    what was others' when that was measured.
    """

    process: psutil.Process
    others: int = 0
    measured_again_at: float = 0.0

    def read(self) -> int:
        """Return bytes: proportional where the kernel provides it, else resident. Raises one of `GONE`."""
        began = time.perf_counter()
        if began < self.measured_again_at:
            return max(0, int(self.process.memory_info().rss) - self.others)
        try:
            found = self.process.memory_full_info()
        except psutil.AccessDenied:
            found = self.process.memory_info()
        proportional = int(getattr(found, "pss", found.rss))
        self.others = int(found.rss) - proportional
        ended = time.perf_counter()
        self.measured_again_at = ended + SHARE_REST * (ended - began)
        return proportional


@dataclass(slots=True)
class Descendant:
    """A descendant when it was last seen.

    Attributes:
        own_seconds: CPU seconds of its own.
        cpu_seconds: those, and those of the children that it has waited for.
    """

    process: psutil.Process
    memory: ProcessMemory
    own_seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class ProcessTree:
    """The descendants of this process. Used under the sampler's lock.

    Attributes:
        children: those alive at the last look, by pid.
        ended: CPU seconds of their own of those that have ended, as they were last seen.
        used: CPU seconds of all of them up to the last look.
        found_at: when they were last looked for, `time.perf_counter()`.
        found_again_at: when they are next.
    """

    process: psutil.Process = field(default_factory=psutil.Process)
    memory: ProcessMemory = field(init=False)
    found_at: float = 0.0
    found_again_at: float = 0.0
    children: dict[int, Descendant] = field(default_factory=dict)
    ended: float = 0.0
    used: float = 0.0

    def __post_init__(self) -> None:
        self.memory = ProcessMemory(self.process)

    def look(self, since: float = 0.0) -> float:
        """Find the current descendants and read their CPU time; return their memory, MB.

        Memory is the proportional share where the kernel provides it, because forked processes share most of
        theirs. New ones are looked for if it is time, or was last before `since` (`time.perf_counter()`).
        """
        found: dict[int, Descendant] = {}
        memory = 0
        waited_for = children_seconds()  # first: who is waited for meanwhile must not count twice
        for pid in self.find(since):
            try:
                child = self.children.get(pid) or new_descendant(pid)
                times = child.process.cpu_times()
                if pid not in self.children and is_borrowing(child.process):
                    continue
            except GONE:
                continue
            own = times.user + times.system
            child.own_seconds = max(child.own_seconds, own)
            child.cpu_seconds = max(child.cpu_seconds, own + times.children_user + times.children_system)
            found[pid] = child
            with suppress(*GONE):  # a zombie has none
                memory += child.memory.read()
        self.ended += sum(child.own_seconds for pid, child in self.children.items() if pid not in found)
        self.children = found
        # Neither counts anything twice. The first lacks what was never seen, and the time between a process's
        # last reading and its end; the second lacks what nobody has waited for.
        seen = self.ended + sum(child.own_seconds for child in found.values())
        kept = waited_for + sum(child.cpu_seconds for child in found.values())
        self.used = max(self.used, seen, kept)
        return memory / MB

    def find(self, since: float) -> list[int]:
        """Return the process ids of the descendants, new ones among them if it is time to look for them."""
        now = time.perf_counter()
        if self.found_at >= since and now < self.found_again_at:
            return list(self.children)
        began = time.thread_time()  # what others did meanwhile costs this process nothing
        pids = list(descendants(self.process))
        self.found_at, self.found_again_at = now, now + FIND_REST * (time.thread_time() - began)
        return pids

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all descendants up to the last look, ended ones included."""
        self.used = max(self.used, children_seconds())
        return self.used

    def pids(self) -> frozenset[int]:
        """Return the process ids of this process and of the descendants at the last look."""
        return frozenset((self.process.pid, *self.children))


def new_descendant(pid: int) -> Descendant:
    """Return a descendant that was found. Raises one of `GONE`."""
    process = psutil.Process(pid)
    return Descendant(process, ProcessMemory(process))


def is_borrowing(process: psutil.Process) -> bool:
    """Return whether a process has the memory of its parent, which waits: between vfork and exec.

    The kernel counts that memory as each one's own, so it would count twice. Raises one of `GONE`.
    """
    parent = process.ppid()
    return sys.platform == "linux" and parent > 0 and pages_of(process.pid) == pages_of(parent)


def pages_of(pid: int) -> bytes:
    """Return a process's pages by kind, as the kernel writes them. Raises OSError."""
    return Path(f"/proc/{pid}/statm").read_bytes()


def children_seconds() -> float:
    """Return the CPU seconds of the children that this process has waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def descendants(process: psutil.Process) -> Iterator[int]:
    """Return the process ids of all living descendants."""
    if not KERNEL_LISTS:
        try:
            yield from (child.pid for child in process.children(recursive=True))
        except GONE:
            return
        return
    parents = [process.pid]
    while parents:
        for thread in threads_of(parents.pop()):
            try:
                listed = (thread / "children").read_bytes()
            except OSError:
                continue
            for pid in map(int, listed.split()):
                yield pid
                parents.append(pid)


def threads_of(pid: int) -> list[Path]:
    """Return the folders of a process's threads; none where it has ended."""
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def high_water_mb() -> float:
    """Return the highest resident memory of this process so far, MB.

    On Linux from /proc: getrusage's value starts, in a program started by another, with that program's memory
    (`setmax_mm_hiwater_rss` at exec), and no peak below it would be seen.
    """
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - a Path costs as much as the rest
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024 / MB
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / MB


def largest_child_mb() -> float:
    """Return the highest resident memory of a child that has ended and was waited for, MB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * MAXRSS_UNIT / MB


def network_bytes() -> int | None:
    """Return the bytes that the host has sent and received, without loopback; None if they can't be read."""
    try:
        counters = psutil.net_io_counters(pernic=True)
    except (OSError, RuntimeError):
        return None
    if not counters:
        return None
    return sum(int(c.bytes_sent + c.bytes_recv) for name, c in counters.items() if not is_loopback(name))


def is_loopback(interface: str) -> bool:
    """Return whether a network interface is the loopback: `lo` on Linux, `lo0` on macOS."""
    return interface in ("lo", "lo0") or interface.lower().startswith("loopback")
