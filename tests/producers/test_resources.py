"""An evolution's resources are those of its whole life, not of one moment."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest

from evometrics.producers import resources
from evometrics.producers.gpu import GpuMemory
from evometrics.producers.resources import ResourceSampler


@pytest.fixture
def sampler() -> Iterator[ResourceSampler]:
    sampler = ResourceSampler(interval=0.02)
    sampler.start()
    yield sampler
    sampler.stop()


def burn(cpu_seconds: float) -> None:
    end = time.thread_time() + cpu_seconds
    while time.thread_time() < end:
        pass


def test_cpu_is_the_average_over_the_life(sampler: ResourceSampler) -> None:
    before, cpu_before = time.perf_counter(), time.process_time()
    sampler.begin("e")
    burn(0.3)
    time.sleep(0.3)
    usage = sampler.usage("e")
    expected = 100 * (time.process_time() - cpu_before) / (time.perf_counter() - before)
    assert usage is not None
    assert usage.cpu_percent_avg == pytest.approx(expected, rel=0.1)
    assert usage.cpu_percent_avg < 90, "the idle half counts"


def test_memory_is_the_peak_though_it_was_given_back_before_the_end(sampler: ResourceSampler) -> None:
    reading = sampler.begin("e")
    block = bytearray(b"x" * 200_000_000)
    time.sleep(0.1)
    del block
    usage = sampler.usage("e")
    assert usage is not None
    assert sampler.sample().memory_mb < reading.memory_mb + 100
    assert usage.memory_used_mb > reading.memory_mb + 180


def test_a_peak_between_two_samples_is_seen_where_it_is_the_processs_highest() -> None:
    sampler = ResourceSampler(interval=3600)
    sampler.start()
    warm = bytearray(b"x" * 250_000_000)  # above what any test before this has reached
    del warm
    reading = sampler.begin("e")
    block = bytearray(b"x" * 500_000_000)
    del block
    usage = sampler.usage("e")
    sampler.stop()
    assert usage is not None
    assert usage.memory_used_mb > reading.memory_mb + 450


def test_a_peak_before_its_start_is_not_an_evolutions(sampler: ResourceSampler) -> None:
    block = bytearray(b"x" * 200_000_000)
    sampler.begin("before")
    del block
    reading = sampler.begin("e")
    time.sleep(0.1)
    usage = sampler.usage("e")
    assert usage is not None
    assert usage.memory_used_mb < reading.memory_mb + 50


def test_overlapping_evolutions_have_their_own_lives(sampler: ResourceSampler) -> None:
    sampler.begin("long")
    time.sleep(0.5)
    sampler.begin("short")
    burn(0.2)
    short, long = sampler.usage("short"), sampler.usage("long")
    assert short is not None
    assert long is not None
    # a busy machine stretches the work, and brings the two closer to each other
    assert short.cpu_percent_avg > 1.05 * long.cpu_percent_avg


def test_network_bytes_are_what_went_over_the_hosts_interfaces(sampler: ResourceSampler) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    sampler.begin("e")

    def receive() -> None:
        connection, _ = server.accept()
        while connection.recv(1 << 20):
            pass
        connection.close()

    thread = threading.Thread(target=receive)
    thread.start()
    with socket.create_connection(server.getsockname()) as client:
        client.sendall(bytes(5_000_000))
    thread.join()
    server.close()
    usage = sampler.usage("e")
    assert usage is not None
    assert usage.network_bytes_transferred >= 5_000_000


def test_an_evolution_of_no_length_has_readings_too(sampler: ResourceSampler) -> None:
    sampler.begin("e")
    usage = sampler.usage("e")
    assert usage is not None
    assert usage.memory_used_mb > 1
    assert usage.cpu_percent_avg >= 0


def test_what_is_not_watched_has_no_usage(sampler: ResourceSampler) -> None:
    sampler.begin("e")
    sampler.forget("e")
    assert sampler.usage("e") is None
    assert sampler.usage("other") is None


def test_evolutions_that_begin_and_end_together_share_a_reading(
    sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(resources, "network_bytes", lambda: taken.append(1) or 0)
    monkeypatch.setattr(resources, "FRESH", 3600.0)
    for number in range(100):
        sampler.begin(f"e{number}")
    for number in range(100):
        assert sampler.usage(f"e{number}") is not None
    # One for those that begin; those that end want one that is younger than their beginning.
    assert len(taken) == 2


def test_nothing_is_sampled_while_nothing_runs(
    sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = []
    monkeypatch.setattr(ResourceSampler, "sample_gpu", lambda self: samples.append(1))
    sampler.begin("e")
    time.sleep(0.1)
    assert samples
    sampler.forget("e")
    time.sleep(0.05)
    samples.clear()
    time.sleep(0.1)
    assert not samples


def nvml(used: list[int]) -> ModuleType:
    module = ModuleType("pynvml")
    readings = iter(used)
    module.nvmlInit = module.nvmlShutdown = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetCount = lambda: 2  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByIndex = lambda index: index  # type: ignore[attr-defined]
    module.nvmlDeviceGetMemoryInfo = lambda device: SimpleNamespace(used=next(readings))  # type: ignore[attr-defined]
    return module


def test_gpu_memory_is_summed_over_devices_and_none_once_a_reading_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml([1_000_000, 2_500_000]))
    gpu = GpuMemory()
    gpu.start()
    assert gpu.read() == 3.5
    assert gpu.read() is None, "the stand-in library has no more readings and raises"
    gpu.stop()


def test_without_nvml_gpu_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpu = GpuMemory()
    gpu.start()
    assert gpu.read() is None
    gpu.stop()
