"""Resource use of a program that this process has started: of its children, and not of itself.

A program that ends before it has been looked at has the CPU time that the kernel gives its parent, and the
kernel's figure of its largest process where that is above what a child inherits.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from evometrics.producers.resources.sampler import ProcessReading, ResourceSampler, Usage, Watch


@dataclass(slots=True)
class ChildrenSampler(ResourceSampler):
    """Samples the descendants of this process, all of which belong to one program.

    Attributes:
        began, ended: when the program did, `time.perf_counter()`; `ended` is 0 while it runs.
        inherited_mb: this process's highest memory once it had started the program, MB. The kernel takes it
            for the child's (`setmax_mm_hiwater_rss` at exec), so that no figure up to it tells anything.
    """

    began: float = 0.0
    ended: float = 0.0
    inherited_mb: float = 0.0

    def begin(self, evolution_id: str) -> ProcessReading:
        """Watch an evolution from the program's start on and return the current reading."""
        reading = self.sample()
        known = self.inherited_mb
        watch = Watch(self.began, 0.0, reading.network_bytes, 0.0, known, reading.memory_mb)
        with self.lock:
            self.watches[evolution_id] = watch
        watch.gpu_peak_mb = self.gpu.read(self.tree.pids())
        self.wanted.set()
        return reading

    def usage(self, evolution_id: str) -> Usage | None:
        """Return what the program has used; memory that no reading has seen is None."""
        usage = ResourceSampler.usage(self, evolution_id)
        if usage is None or usage.memory_used_mb:
            return usage
        return dataclasses.replace(usage, memory_used_mb=None)

    def own_mb(self) -> float:
        """Return 0: this process is no part of the program."""
        return 0.0

    def own_seconds(self) -> float:
        """Return 0: this process is no part of the program."""
        return 0.0

    def own_high_water_mb(self) -> float:
        """Return 0: this process is no part of the program."""
        return 0.0

    def until(self) -> float:
        """Return when the program ended, or now."""
        return self.ended or time.perf_counter()
