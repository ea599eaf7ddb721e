"""Resource use over a whole evolution: CPU average, memory peak, GPU memory and network bytes.

Figures are those of this process and its descendants together; network bytes are the host's, without its
loopback. One thread samples while evolutions are running; each also gets a reading at its start and at its
end, so that a short one has figures too. Overlapping evolutions in one process share its figures. What can't
be measured is None.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from evometrics.producers.resources.gpu import GpuMemory
from evometrics.producers.resources.processes import (
    MB,
    ProcessTree,
    high_water_mb,
    largest_child_mb,
    network_bytes,
)

#: Seconds between two samples when an evolution begins, and at most. In between a hundredth of the time for
#: which the youngest has run: its peaks are known as exactly, and an hour of work pays for few wakes.
INTERVAL, LONGEST_INTERVAL = 0.25, 1.0
#: CPU over a shorter span is noise; the previous reading is returned again.
SHORTEST_CPU_SPAN = 0.02
#: A reading serves all calls within this many seconds: hundreds of evolutions may begin in that time.
FRESH = 0.01
#: Descendants are looked at, at most, this often, seconds.
LOOK_SPAN = 0.05


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """The process and its descendants at one moment.

    Attributes:
        at: `time.perf_counter()`.
        cpu_percent: CPU since the previous reading, percent of one core.
        cpu_seconds: CPU used so far.
        memory_mb: memory in use, MB (10^6 bytes).
        network_bytes: what the host has sent and received, None where that is unknown.
    """

    at: float
    cpu_percent: float
    cpu_seconds: float
    memory_mb: float
    network_bytes: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources that one evolution used; units as in EvolutionCompleted, None = not measured."""

    cpu_percent_avg: float | None
    memory_used_mb: float | None
    gpu_memory_mb: float | None
    network_bytes_transferred: int | None


@dataclass(slots=True)
class Watch:
    """One running evolution."""

    started: float
    cpu_seconds: float
    network_bytes: int | None
    high_water_mb: float
    largest_child_mb: float
    peak_mb: float
    gpu_peak_mb: float | None = None


@dataclass(slots=True)
class ResourceSampler:
    """Samples this process and its descendants while an evolution is watched.

    Attributes:
        interval: seconds between two samples at first.
    """

    interval: float = INTERVAL
    gpu: GpuMemory = field(default_factory=GpuMemory)
    tree: ProcessTree = field(default_factory=ProcessTree)
    watches: dict[str, Watch] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    last_span: tuple[float, float, float] = (0.0, 0.0, 0.0)
    last: ProcessReading | None = None
    looked: float = 0.0
    children_mb: float = 0.0

    def start(self) -> None:
        self.gpu.start()
        self.stopping.clear()
        used = self.own_seconds() + self.tree.cpu_seconds()
        self.last_span, self.last = (time.perf_counter(), used, 0.0), None
        self.thread = threading.Thread(target=self.run, name="evometrics-resources", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End the thread and forget all watches."""
        self.stopping.set()
        self.wanted.set()
        if self.thread is not None:
            self.thread.join(timeout=5)
        self.thread = None
        self.watches.clear()
        self.wanted.clear()
        self.gpu.stop()

    def begin(self, evolution_id: str) -> ProcessReading:
        """Watch an evolution from now on and return the current reading."""
        reading = self.sample()
        watch = Watch(
            time.perf_counter(),
            self.own_seconds() + self.tree.cpu_seconds(),
            reading.network_bytes,
            self.own_high_water_mb(),
            largest_child_mb(),
            reading.memory_mb,
        )
        with self.lock:
            self.watches[evolution_id] = watch
        watch.gpu_peak_mb = self.gpu.read(self.tree.pids())
        self.wanted.set()
        return reading

    def forget(self, evolution_id: str) -> None:
        """Stop watching an evolution."""
        with self.lock:
            self.watches.pop(evolution_id, None)
            if not self.watches and not self.stopping.is_set():
                self.wanted.clear()

    def usage(self, evolution_id: str) -> Usage | None:
        """Return the resources that an evolution has used so far; None where it is not watched."""
        watch = self.watches.get(evolution_id)
        if watch is None:
            return None
        reading = self.sample(since=watch.started)
        peak = max(watch.peak_mb, reading.memory_mb)
        # The kernel's high-water marks never fall: where one rose since the start, the peak was in between,
        # and is exact even if no sample hit it.
        high_water, largest = self.own_high_water_mb(), largest_child_mb()
        if high_water > watch.high_water_mb:
            peak = max(peak, high_water)
        if largest > watch.largest_child_mb:
            peak = max(peak, largest + self.own_mb())  # not the reading's: it may still have that child
        elapsed = self.until() - watch.started
        cpu = self.own_seconds() + self.tree.cpu_seconds() - watch.cpu_seconds
        network = None
        if reading.network_bytes is not None and watch.network_bytes is not None:
            network = max(0, reading.network_bytes - watch.network_bytes)
        return Usage(
            cpu_percent_avg=max(0.0, 100 * cpu / elapsed) if elapsed > 0 else None,
            memory_used_mb=peak,
            gpu_memory_mb=watch.gpu_peak_mb,
            network_bytes_transferred=network,
        )

    def sample(self, since: float = 0.0) -> ProcessReading:
        """Return a fresh reading; one taken before `since` (`time.perf_counter()`) does not count as fresh.

        A new reading also raises the peaks of all watched evolutions.
        """
        now, last = time.perf_counter(), self.last
        if last is not None and last.at >= max(since, now - FRESH) and self.tree.found_at >= since:
            return last
        network = network_bytes()
        with self.lock:
            if now >= self.looked + LOOK_SPAN or self.tree.found_at < since:
                self.children_mb, self.looked = self.tree.look(since), now
            used = self.own_seconds() + self.tree.cpu_seconds()
            memory = self.own_mb() + self.children_mb
            before, used_before, percent = self.last_span
            if now - before >= SHORTEST_CPU_SPAN:
                percent = max(0.0, 100 * (used - used_before) / (now - before))
                self.last_span = (now, used, percent)
            for watch in self.watches.values():
                watch.peak_mb = max(watch.peak_mb, memory)
            self.last = reading = ProcessReading(now, percent, used, memory, network)
        return reading

    def own_mb(self) -> float:
        """Return this process's memory, MB: its proportional share where it has children to share with."""
        if self.tree.children:
            return self.tree.memory.read() / MB
        return float(self.tree.process.memory_info().rss) / MB

    def own_seconds(self) -> float:
        """Return the CPU seconds of this process itself."""
        return time.process_time()

    def own_high_water_mb(self) -> float:
        """Return the highest memory of this process itself so far, MB."""
        return high_water_mb()

    def until(self) -> float:
        """Return the time up to which CPU is averaged, `time.perf_counter()`."""
        return time.perf_counter()

    def sample_gpu(self) -> None:
        """Raise the GPU peaks of all watched evolutions."""
        used = self.gpu.read(self.tree.pids())
        if used is None:
            return
        with self.lock:
            for watch in self.watches.values():
                watch.gpu_peak_mb = max(used, watch.gpu_peak_mb or 0.0)

    def run(self) -> None:
        """Sample until stopped; sleep without wake-ups while nothing is watched."""
        while not self.stopping.is_set():
            self.wanted.wait()
            if self.stopping.wait(self.pause()):
                return
            self.sample()
            self.sample_gpu()

    def pause(self) -> float:
        """Return the seconds to the next sample."""
        with self.lock:
            youngest = max((watch.started for watch in self.watches.values()), default=0.0)
        age = time.perf_counter() - youngest
        return max(self.interval, min(LONGEST_INTERVAL, age / 100))
