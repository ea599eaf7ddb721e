"""What an evolution costs: CPU average, memory peak, GPU memory and network bytes over its whole life.

One thread samples the process while evolutions are under way; each also gets a reading at its start and
at its end, so that a short one has figures too. Figures are the process's: evolutions that overlap in one
process share them.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from dataclasses import dataclass, field

import psutil

from evometrics.producers.gpu import GpuMemory

MB = 1_000_000
INTERVAL = 0.25
#: `ru_maxrss` is in KiB on Linux and in bytes on macOS.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
#: CPU over less than this is noise; the reading before it is given again.
SHORTEST_CPU_SPAN = 0.02
#: A reading serves all who ask within this many seconds: hundreds of evolutions may begin in that time.
FRESH = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """The process at one moment.

    Attributes:
        at: `time.perf_counter()`.
        cpu_percent: CPU since the reading before, percent of one core.
        memory_mb: resident memory, MB (10^6 bytes).
        network_bytes: what the host has sent and received.
    """

    at: float
    cpu_percent: float
    memory_mb: float
    network_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What one evolution used; units as in EvolutionCompleted."""

    cpu_percent_avg: float
    memory_used_mb: float
    gpu_memory_mb: float | None
    network_bytes_transferred: int


@dataclass(slots=True)
class Watch:
    """One evolution under way."""

    started: float
    cpu_seconds: float
    network_bytes: int
    high_water_mb: float
    peak_mb: float
    gpu_peak_mb: float | None = None


@dataclass(slots=True)
class ResourceSampler:
    """Samples this process every `interval` seconds while at least one evolution is watched."""

    interval: float = INTERVAL
    gpu: GpuMemory = field(default_factory=GpuMemory)
    process: psutil.Process = field(default_factory=psutil.Process)
    watches: dict[str, Watch] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    last_span: tuple[float, float, float] = (0.0, 0.0, 0.0)
    last: Reading | None = None

    def start(self) -> None:
        """Start the thread."""
        self.gpu.start()
        self.stopping.clear()
        self.last_span, self.last = (time.perf_counter(), time.process_time(), 0.0), None
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

    def begin(self, evolution_id: str) -> Reading:
        """Watch an evolution from now on and return the present reading."""
        reading = self.sample()
        watch = Watch(
            time.perf_counter(),
            time.process_time(),
            reading.network_bytes,
            high_water_mb(),
            reading.memory_mb,
        )
        with self.lock:
            self.watches[evolution_id] = watch
        watch.gpu_peak_mb = self.gpu.read()
        self.wanted.set()
        return reading

    def forget(self, evolution_id: str) -> None:
        """Stop watching an evolution."""
        with self.lock:
            self.watches.pop(evolution_id, None)
            if not self.watches and not self.stopping.is_set():
                self.wanted.clear()

    def usage(self, evolution_id: str) -> Usage | None:
        """Return what an evolution has used up to now; None where it is not watched."""
        watch = self.watches.get(evolution_id)
        if watch is None:
            return None
        reading = self.sample(since=watch.started)
        high_water = high_water_mb()
        # The kernel's high-water mark never falls: where it rose since the start, the top was in between,
        # and is exact even if no sample hit it.
        peak = max(watch.peak_mb, high_water) if high_water > watch.high_water_mb else watch.peak_mb
        elapsed = time.perf_counter() - watch.started
        cpu = time.process_time() - watch.cpu_seconds
        return Usage(
            cpu_percent_avg=100 * cpu / elapsed if elapsed > 0 else 0.0,
            memory_used_mb=peak,
            gpu_memory_mb=watch.gpu_peak_mb,
            network_bytes_transferred=max(0, reading.network_bytes - watch.network_bytes),
        )

    def sample(self, since: float = 0.0) -> Reading:
        """Return a fresh reading; one taken before `since` (`time.perf_counter()`) is none.

        Where it is taken now, the peaks of all watched evolutions are lifted to it.
        """
        now, last = time.perf_counter(), self.last
        if last is not None and last.at >= max(since, now - FRESH):
            return last
        memory, network, used = self.process.memory_info().rss / MB, network_bytes(), time.process_time()
        with self.lock:
            before, used_before, percent = self.last_span
            if now - before >= SHORTEST_CPU_SPAN:
                percent = 100 * (used - used_before) / (now - before)
                self.last_span = (now, used, percent)
            for watch in self.watches.values():
                watch.peak_mb = max(watch.peak_mb, memory)
            self.last = reading = Reading(now, percent, memory, network)
        return reading

    def sample_gpu(self) -> None:
        """Lift the GPU peaks of all watched evolutions."""
        used = self.gpu.read()
        if used is None:
            return
        with self.lock:
            for watch in self.watches.values():
                watch.gpu_peak_mb = max(used, watch.gpu_peak_mb or 0.0)

    def run(self) -> None:
        """Sample until stopped; sleep without a wake-up while nothing is watched."""
        while not self.stopping.is_set():
            self.wanted.wait()
            if self.stopping.wait(self.interval):
                return
            self.sample()
            self.sample_gpu()


def high_water_mb() -> float:
    """Return the highest resident memory of the process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / MB


def network_bytes() -> int:
    """Return the bytes the host has sent and received; 0 where they can't be read."""
    try:
        counters = psutil.net_io_counters()
    except (OSError, RuntimeError):
        return 0
    return int(counters.bytes_sent + counters.bytes_recv) if counters else 0
