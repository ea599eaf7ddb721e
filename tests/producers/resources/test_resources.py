"""An evolution's resources are those of its whole life, not of one moment."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from evometrics.producers.resources import processes
from evometrics.producers.resources import sampler as resources
from evometrics.producers.resources.gpu import GpuMemory
from evometrics.producers.resources.sampler import ResourceSampler


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


def alone(script: str) -> Any:
    """Run a script in a program of its own, with `sampler`; return what it prints, of JSON.

    The process that runs the tests has hundreds of MB, which others give back, and other tests' children.
    """
    said = subprocess.run([sys.executable, "-c", ALONE.format(script)], stdout=-1, text=True, check=True)
    return json.loads(said.stdout)


ALONE = """
import json, os, subprocess, sys, time
import psutil
from evometrics.producers.resources.sampler import ResourceSampler

sampler = ResourceSampler(interval=0.02)
sampler.start()
{}
sampler.stop()
"""

AVERAGE = """
def now():
    return time.perf_counter(), time.process_time()

first = now()
sampler.begin("e")
second = now()
while time.process_time() < second[1] + 0.3:
    pass
time.sleep(0.3)
third = now()
usage = sampler.usage("e")
print(json.dumps([first, second, third, now(), usage.cpu_percent_avg]))
"""


def test_cpu_is_the_average_over_the_life() -> None:
    first, second, third, fourth, average = alone(AVERAGE)
    # on a busy machine much time may pass in the sampler's own calls: its span is between these two
    least = 100 * (third[1] - second[1]) / (fourth[0] - first[0])
    most = 100 * (fourth[1] - first[1]) / (third[0] - second[0])
    assert least <= average <= most
    assert average < 90, "the idle half counts"


GIVEN_BACK = """
reading = sampler.begin("e")
block = bytearray(b"x" * 200_000_000)
time.sleep(0.1)
del block
usage = sampler.usage("e")
print(json.dumps([each - reading.memory_mb for each in (usage.memory_used_mb, sampler.sample().memory_mb)]))
"""


def test_memory_is_the_peak_though_it_was_given_back_before_the_end() -> None:
    peak, left = alone(GIVEN_BACK)
    assert peak > 180
    assert left < 100


PEAK = """
sampler.interval = 3600.0
reading = sampler.begin("e")
block = bytearray(b"x" * 300_000_000)
del block
print(sampler.usage("e").memory_used_mb - reading.memory_mb)
"""


def test_a_peak_between_two_samples_is_seen_where_it_is_the_processs_highest() -> None:
    """Also where the process that started it was larger."""
    block = bytearray(b"x" * 500_000_000)
    peak = alone(PEAK)
    del block
    assert 280 < peak < 700


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the high-water mark is getrusage's")
def test_a_processs_highest_memory_is_the_kernels_to_the_kibibyte() -> None:
    def kernels() -> float:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
        return int(line.split()[1]) * 1024 / 1e6

    before, found, after = kernels(), processes.high_water_mb(), kernels()
    assert before <= found <= after


def test_the_largest_child_is_the_kernels_to_the_kibibyte() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    kernels = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6
    assert processes.largest_child_mb() == pytest.approx(kernels, rel=1e-9)


BEFORE = """
block = bytearray(b"x" * 200_000_000)
sampler.begin("before")
del block
reading = sampler.begin("e")
time.sleep(0.1)
print(sampler.usage("e").memory_used_mb - reading.memory_mb)
"""


def test_a_peak_before_its_start_is_not_an_evolutions() -> None:
    assert alone(BEFORE) < 50


def test_overlapping_evolutions_have_their_own_lives(sampler: ResourceSampler) -> None:
    began = time.perf_counter()
    burn(0.2)
    took = time.perf_counter() - began  # longer on a busy machine; so is the idle part, to tell the two apart
    sampler.begin("long")
    time.sleep(max(0.5, took))
    sampler.begin("short")
    burn(0.2)
    short, long = sampler.usage("short"), sampler.usage("long")
    assert short is not None
    assert long is not None
    assert short.cpu_percent_avg > 1.05 * long.cpu_percent_avg


def test_what_a_process_tells_itself_over_the_loopback_is_no_network(sampler: ResourceSampler) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    before = processes.network_bytes()
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
    assert usage.network_bytes_transferred is not None
    after = processes.network_bytes()
    assert before is not None and after is not None
    others = after - before  # what other programs of the machine sent and received meanwhile
    assert usage.network_bytes_transferred < 1_000_000 + others


def test_network_bytes_are_those_of_all_other_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = {
        name: SimpleNamespace(bytes_sent=sent, bytes_recv=2 * sent)
        for name, sent in (("lo", 1000), ("eth0", 10), ("wlan0", 1))
    }
    monkeypatch.setattr(processes.psutil, "net_io_counters", lambda pernic: counters)
    assert processes.network_bytes() == 33
    monkeypatch.setattr(processes.psutil, "net_io_counters", lambda pernic: {})
    assert processes.network_bytes() is None


def train_in_a_child(megabytes: int, seconds: float) -> None:
    """Work as an evolution does that trains its model in a subprocess."""
    code = (
        "import sys, time\n"
        "block = bytearray(b'x' * int(sys.argv[1]) * 1_000_000)\n"
        "end = time.process_time() + float(sys.argv[2])\n"
        "while time.process_time() < end: pass\n"
        "time.sleep(0.15)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(megabytes), str(seconds)], check=True)


def test_what_a_child_uses_is_the_evolutions(sampler: ResourceSampler) -> None:
    before, reading = time.perf_counter(), sampler.begin("e")
    train_in_a_child(150, 0.4)
    usage = sampler.usage("e")
    elapsed = time.perf_counter() - before
    assert usage is not None and usage.cpu_percent_avg is not None and usage.memory_used_mb is not None
    assert usage.cpu_percent_avg >= 0.9 * 100 * 0.4 / elapsed
    assert usage.memory_used_mb > reading.memory_mb + 130


def test_a_child_that_still_works_counts_too(sampler: ResourceSampler) -> None:
    child = psutil.Popen([sys.executable, "-c", "while True: pass"])

    def used() -> float:
        times = child.cpu_times()
        return float(times.user + times.system)

    try:
        time.sleep(0.2)
        before = time.perf_counter()
        sampler.begin("e")
        used_before = used()
        while (used_meanwhile := used() - used_before) < 1.0:  # a look is up to 50 ms old
            time.sleep(0.05)
        usage = sampler.usage("e")
        elapsed = time.perf_counter() - before
    finally:
        child.kill()
        child.wait()
    assert usage is not None and usage.cpu_percent_avg is not None
    assert usage.cpu_percent_avg > 0.9 * 100 * used_meanwhile / elapsed


NESTED = """
work = "import time\\nwhile time.process_time() < 0.25: pass\\ntime.sleep(0.1)"
outer = "import subprocess, sys, time\\n" \\
    "for _ in range(3): subprocess.run([sys.executable, '-c', sys.argv[1]])\\n" \\
    "time.sleep(0.1); print(sum(__import__('os').times()[:4]))"
began = time.perf_counter()
sampler.begin("e")
used = time.process_time()
said = subprocess.run([sys.executable, "-c", outer, work], capture_output=True, text=True)
usage = sampler.usage("e")
elapsed = time.perf_counter() - began
print(json.dumps([usage.cpu_percent_avg * elapsed / 100, float(said.stdout) + time.process_time() - used]))
"""


def test_what_a_child_starts_and_waits_for_counts_once() -> None:
    counted, used = alone(NESTED)
    assert counted == pytest.approx(used, rel=0.2)


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
    for _ in range(50):  # what was begun ends first, when the machine lets it
        samples.clear()
        time.sleep(0.1)
        if not samples:
            break
    assert not samples


def nvml(used: dict[tuple[str, int], list[tuple[int, int | None]]]) -> ModuleType:
    """Return a stand-in for the library: by list and device, process ids and the bytes they use."""
    module = ModuleType("pynvml")

    def listed(kind: str, device: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in used[kind, device]]

    module.nvmlInit = module.nvmlShutdown = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetCount = lambda: 2  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByIndex = lambda index: index  # type: ignore[attr-defined]
    module.nvmlDeviceGetComputeRunningProcesses = lambda device: listed("compute", device)  # type: ignore[attr-defined]
    module.nvmlDeviceGetGraphicsRunningProcesses = lambda device: listed("graphics", device)  # type: ignore[attr-defined]
    return module


def test_gpu_memory_is_that_of_the_process_and_its_children_over_all_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = {
        ("compute", 0): [(1, 1_000_000), (99, 7_000_000)],
        ("graphics", 0): [(1, 1_000_000)],
        ("compute", 1): [(2, 2_500_000), (3, None)],
        ("graphics", 1): [],
    }
    monkeypatch.setitem(sys.modules, "pynvml", nvml(used))
    gpu = GpuMemory()
    gpu.start()
    assert gpu.read({1, 2, 3}) == 3.5, "not what process 99 uses, and nothing twice"
    assert gpu.read({3}) is None, "the driver does not tell what it uses"
    used.clear()
    assert gpu.read({1}) is None, "a reading that fails"
    gpu.stop()


def test_without_nvml_gpu_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpu = GpuMemory()
    gpu.start()
    assert gpu.read({1}) is None
    gpu.stop()


def test_the_longer_the_youngest_evolution_runs_the_fewer_samples_are_taken() -> None:
    sampler = ResourceSampler()

    def pause(*ages: float) -> float:
        now = time.perf_counter()
        for number, age in enumerate(ages):
            sampler.begin(str(number))
            sampler.watches[str(number)].started = now - age
        return sampler.pause()

    assert pause(0) == 0.25
    assert pause(50) == pytest.approx(0.5, rel=0.1)
    assert pause(7200) == 1.0
    assert pause(7200, 60) == pytest.approx(0.6, rel=0.1)


RARELY = """
measured = []
original = psutil.Process.memory_full_info

def slow(process):
    measured.append(process.pid)
    time.sleep(0.3)  # about what the kernel takes for ten GB
    return original(process)

psutil.Process.memory_full_info = slow
with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
    child.stdout.readline()
    for _ in range(30):
        sampler.sample(since=time.perf_counter())
    counts = [measured.count(pid) for pid in (os.getpid(), child.pid)]
    before = sampler.own_mb()
    kept = bytearray(os.urandom(30_000_000))
    grown = sampler.own_mb() - before
    child.communicate(b"\\n")
print(json.dumps([counts, measured.count(os.getpid()), grown]))
"""


def test_a_large_process_with_children_pays_for_its_share_of_memory_rarely() -> None:
    counts, afterwards, grown = alone(RARELY)
    assert counts == [1, 1]
    assert afterwards == 1 and grown > 25, "in between its own memory counts"


def test_a_child_that_has_not_begun_its_program_has_its_parents_memory_which_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a busy machine between vfork and exec, where both have the same pages."""
    pages = processes.pages_of
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree = processes.ProcessTree()
        monkeypatch.setattr(processes, "pages_of", lambda pid: b"the same")
        assert child.pid not in tree.pids()
        tree.look()
        assert child.pid not in tree.pids(), "it is looked at again when it has begun"
        monkeypatch.setattr(processes, "pages_of", pages)
        assert tree.look(since=time.perf_counter()) > 1
        assert child.pid in tree.pids()
        child.communicate(b"\n")


def test_descendants_are_looked_for_in_a_small_part_of_the_time_and_for_what_began_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[float] = []
    pids = processes.descendants

    def dearly(process: psutil.Process) -> Iterator[int]:
        found.append(time.perf_counter())
        burn(0.02)
        return pids(process)

    monkeypatch.setattr(processes, "descendants", dearly)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        tree = processes.ProcessTree()
        tree.look()
        until, looks = found[0] + 50 * 0.02 - 0.1, 0
        while time.perf_counter() < until:
            assert child.pid in tree.pids()
            tree.look()
            looks += 1
            time.sleep(0.01)
        assert len(found) == 1 and looks > 1, "a process of many threads would do nothing else"
        tree.look(since=time.perf_counter())
        assert len(found) == 2, "an evolution that began after the last look has its children's use"
        child.communicate(b"\n")
    tree.look()
    assert child.pid not in tree.pids(), "one that has ended is known to have, though none was looked for"
    assert len(found) == 2
    deadline = time.monotonic() + 60
    while len(found) == 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        tree.look()
    assert found[2] > found[1] + 50 * 0.02


def test_what_a_child_takes_is_seen_though_looking_for_children_is_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first look at it finds it small; a larger child that ended before hides the kernel's peak."""
    grows = "import sys; input(); block = bytearray(b'x' * 150_000_000); print(flush=True); input()"
    monkeypatch.setattr(processes, "FIND_REST", 1e6)
    monkeypatch.setattr(resources, "largest_child_mb", lambda: 0.0)
    sampler = ResourceSampler(interval=0.02)
    sampler.start()
    with subprocess.Popen([sys.executable, "-c", grows], stdin=-1, stdout=-1) as child:
        assert child.stdin is not None and child.stdout is not None
        reading = sampler.begin("e")
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        time.sleep(0.3)
        child.communicate(b"\n")
    usage = sampler.usage("e")
    sampler.stop()
    assert usage is not None and usage.memory_used_mb is not None
    assert usage.memory_used_mb > reading.memory_mb + 130


def test_an_evolutions_children_are_looked_for_at_its_end_where_that_was_not_time_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "FIND_REST", 1e6)
    sampler = ResourceSampler(interval=0.02)
    sampler.start()
    sampler.begin("e")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        time.sleep(0.2)
        assert child.pid not in sampler.tree.pids()
        sampler.usage("e")
        assert child.pid in sampler.tree.pids()
        child.communicate(b"\n")
    sampler.stop()
