"""GPU memory of this process and its children through NVML, where the library and a device exist."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Collection, Iterator
from typing import Any

MB = 1_000_000


class GpuMemory:
    """Reads GPU memory by process; `read` returns None where there is nothing to read.

    The library is NVIDIA's own (`evometrics[gpu]`). A driver that reports no memory by process (some in
    containers, where it sees other process ids) counts as none: another process's memory is never returned.
    """

    def __init__(self) -> None:
        self.nvml: Any = None
        self.devices: list[Any] = []

    def start(self) -> None:
        """Open NVML; without it, or without a device, do nothing."""
        # NVML's own error type exists only once the library is imported, and a broken driver raises anything:
        # a missing GPU reading is never a reason to fail.
        with contextlib.suppress(Exception):
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            self.devices = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            self.nvml = nvml

    def stop(self) -> None:
        if self.nvml is not None:
            with contextlib.suppress(Exception):
                self.nvml.nvmlShutdown()
        self.nvml, self.devices = None, []

    def read(self, pids: Collection[int]) -> float | None:
        """Return MB (10^6 bytes) that processes use, summed over all devices; None where they use none."""
        if not self.devices:
            return None
        try:
            used = [memory for device in self.devices for memory in self.of(device, pids)]
        except Exception:
            self.devices = []
            return None
        return sum(used) / MB if used else None

    def of(self, device: Any, pids: Collection[int]) -> Iterator[int]:
        """Yield the bytes that each of the processes uses on a device, as far as the driver reports it."""
        found: dict[int, int] = {}
        for list_processes in (
            "nvmlDeviceGetComputeRunningProcesses",
            "nvmlDeviceGetGraphicsRunningProcesses",
        ):
            for process in getattr(self.nvml, list_processes)(device):
                if process.pid in pids and process.usedGpuMemory is not None:
                    # a process in both lists has the same memory in each
                    found[process.pid] = max(found.get(process.pid, 0), int(process.usedGpuMemory))
        yield from found.values()
