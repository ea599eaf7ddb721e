"""GPU memory through NVML, where the library and a device are there."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

MB = 1_000_000


class GpuMemory:
    """Reads the GPU memory in use on this machine; `read` gives None where there is nothing to read."""

    def __init__(self) -> None:
        self.nvml: Any = None
        self.devices: list[Any] = []

    def start(self) -> None:
        """Open NVML (`pip install nvidia-ml-py`); without it, or without a device, stay silent."""
        # NVML's own error type exists only once the library is imported, and a broken driver
        # raises anything: no GPU reading is never a reason to fail.
        with contextlib.suppress(Exception):
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            self.devices = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            self.nvml = nvml

    def stop(self) -> None:
        """Close NVML."""
        if self.nvml is not None:
            with contextlib.suppress(Exception):
                self.nvml.nvmlShutdown()
        self.nvml, self.devices = None, []

    def read(self) -> float | None:
        """Return MB (10^6 bytes) in use, summed over all devices."""
        if not self.devices:
            return None
        try:
            return sum(float(self.nvml.nvmlDeviceGetMemoryInfo(d).used) for d in self.devices) / MB
        except Exception:
            self.devices = []
            return None
