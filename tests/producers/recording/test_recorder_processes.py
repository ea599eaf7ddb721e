"""The recorder in the processes that people have: however one begins and ends, what it recorded is there."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from tests.support.history_of import FILE, agents, completed, environment, python, recorded, system_events


def test_the_environment_suffices_and_the_end_of_the_script_loses_nothing(tmp_path: Path) -> None:
    done = python(
        tmp_path,
        """
        import atexit, logging, sys
        atexit.register(lambda: Recorder.default().complete("in-atexit"))
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        from evometrics.producers import Recorder

        class Late:
            def __del__(self):
                Recorder.default().complete("in-del")

        late = Late()
        recorder = Recorder.default()
        assert recorder is Recorder.default()
        for number in range(500):
            recorder.complete(f"a{number}", run_id=recorder.run_id)
        late = None
        Late.kept = Late()  # deleted when the interpreter is finalized
        sys.exit(3)
        """,
        {"EVOMETRICS_RUN_ID": "night-7", "EVOMETRICS_COLLECTOR_NODE_ID": "own-node"},
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(f"records into {tmp_path / FILE}") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "script.py"]
    found = completed(tmp_path / FILE)
    assert [event.agent_id for event in found[:501]] == [*(f"a{n}" for n in range(500)), "in-del"]
    assert {event.run_id for event in found[:500]} == {"night-7"}
    assert {event.node_id for event in found} == {"own-node"}


def test_an_uncaught_exception_loses_nothing(tmp_path: Path) -> None:
    done = python(
        tmp_path,
        """
        from evometrics.producers import Recorder
        recorder = Recorder()
        recorder.complete("before")
        with recorder.evolution("a"):
            raise ValueError("user's own")
        """,
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: user's own")
    assert [(event.agent_id, event.status) for event in completed(tmp_path / FILE)] == [
        ("before", "succeeded"),
        ("a", "failed"),
    ]


def test_ctrl_c_is_the_callers_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(
        textwrap.dedent(
            """
            from evometrics.producers import Recorder
            recorder = Recorder()
            recorder.complete("first")
            recorder.flush()
            print("ready", flush=True)
            number = 0
            while True:
                recorder.complete(f"a{number}")
                number += 1
                if number == 1000:
                    import time
                    print("waits", flush=True)
                    time.sleep(60)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, file.name],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert error.rstrip().endswith("KeyboardInterrupt")
    assert agents(tmp_path / FILE) == ["first", *(f"a{n}" for n in range(1000))]


CHILDREN = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from evometrics.producers import Recorder

def record(recorder, kind):
    for number in range(20):
        recorder.complete(kind, metadata={"process": os.getpid(), "run": recorder.run_id})

def own(kind):
    record(Recorder.default(), kind)

if __name__ == "__main__":
    recorder = Recorder.default()
    recorder.complete("parent")
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        children = [
            context.Process(target=record, args=(recorder, method)),
            context.Process(target=own, args=(f"{method}-own",)),
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(record, [recorder] * 4, ["executor"] * 4))
    pool = multiprocessing.Pool(2)
    pool.starmap(record, [(recorder, "pool")] * 4)
    pool.close()
    pool.join()
    try:
        from joblib import Parallel, delayed
    except ImportError:
        print("no joblib")
    else:
        Parallel(n_jobs=2)(delayed(record)(recorder, "loky") for _ in range(4))
    recorder.complete("parent")
    print(recorder.run_id)
"""


def test_children_however_they_are_started_record_for_themselves(tmp_path: Path) -> None:
    done = python(tmp_path, CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = Counter(agents(tmp_path / FILE))
    expected = {"parent": 2, "executor": 80, "pool": 80}
    for method in ("fork", "spawn", "forkserver"):
        expected |= {method: 20, f"{method}-own": 20}
    if "no joblib" not in done.stdout:
        expected["loky"] = 80
    assert found == expected
    run_id = done.stdout.split()[-1]
    handed = [
        event for event in completed(tmp_path / FILE) if event.agent_id in ("fork", "spawn", "executor")
    ]
    assert {event.metadata["run"] for event in handed} == {run_id}
    # no outbox is left
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".db"} == {FILE}


def test_a_fork_in_the_middle_of_a_call_leaves_the_child_no_lock_and_no_event(tmp_path: Path) -> None:
    done = python(
        tmp_path,
        """
        import os, signal, sys, threading, time
        from evometrics.producers import Recorder, Run

        recorder = Recorder()
        run = Run("toy", recorder=recorder)
        stop = threading.Event()

        def hammer(name):
            number = 0
            while not stop.is_set():
                recorder.complete("parent")
                run.candidate(f"{name}-{number}", score=number)
                number += 1
                time.sleep(0.001)

        threads = [threading.Thread(target=hammer, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for child in range(10):
            pid = os.fork()
            if pid == 0:
                signal.alarm(240)  # ends a child that waits for a lock
                recorder.complete(f"child-{child}")
                run.candidate(f"of-child-{child}", score=1.0)
                ok = recorder.flush()
                os._exit(0 if ok and recorder.lost == 0 else 1)
            _, status = os.waitpid(pid, 0)
            if status:
                stop.set()
                sys.exit(f"child {child}: {status}")
        stop.set()
        for thread in threads:
            thread.join()
        """,
    )
    assert done.returncode == 0, done.stderr
    names = Counter(agents(tmp_path / FILE))
    missing = [n for n in range(10) if names[f"child-{n}"] != 1]
    # a child that ends by os._exit leaves its outbox to the next start, or to this one's next look
    left = list(dead_outboxes(tmp_path / FILE)) if missing else []
    assert len(left) >= len(missing)
    assert all(count == 1 for name, count in names.items() if name != "parent")


def test_signal_handlers_and_finalizers_may_record(tmp_path: Path) -> None:
    done = python(
        tmp_path,
        """
        import signal
        from evometrics.producers import Recorder

        recorder = Recorder()
        handled = 0

        class Node:
            def __del__(self):
                recorder.complete("deleted")

        def handle(*_):
            global handled
            handled += 1
            recorder.complete("handled")
            if handled % 20 == 0:
                recorder.flush(10)

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for number in range(500):
            node = Node()
            node.itself = node  # found by the garbage collector, anywhere
            recorder.complete("main")
        signal.setitimer(signal.ITIMER_REAL, 0)
        import gc
        del node
        gc.collect()
        recorder.close()
        print(handled, recorder.lost)
        """,
    )
    assert done.returncode == 0, done.stderr
    handled, lost = map(int, done.stdout.split())
    assert lost == 0
    assert Counter(agents(tmp_path / FILE)) == {"main": 500, "deleted": 500, "handled": handled}


def test_what_was_flushed_survives_a_kill_and_is_sent_by_the_next_start(tmp_path: Path) -> None:
    done = python(
        tmp_path,
        """
        import os, signal
        from evometrics.producers import Recorder
        recorder = Recorder()
        for number in range(100):
            recorder.complete(f"a{number}")
        recorder.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert done.returncode == -signal.SIGKILL
    python(tmp_path, "from evometrics.producers import Recorder\nRecorder().complete('next')")
    assert sorted(agents(tmp_path / FILE)) == sorted(["next", *(f"a{n}" for n in range(100))])


def test_without_a_disk_a_script_runs_to_its_end_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file")
    done = python(
        tmp_path,
        """
        from evometrics.producers import Recorder
        for number in range(100):
            Recorder.default().complete(f"a{number}")
        """,
        {"EVOMETRICS_COLLECTOR_DB_PATH": str(tmp_path / "place" / "x.db")},
    )
    assert done.returncode == 0
    assert "nothing can be recorded" in done.stderr and "100 events are lost" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("setting", ["EVOMETRICS_COLLECTOR_BUFFER_SIZE", "EVOMETRICS_KAFKA_BROKERS"])
def test_a_bad_setting_in_the_environment_is_told_once(tmp_path: Path, setting: str) -> None:
    done = python(
        tmp_path,
        "from evometrics.producers import Recorder\nfor _ in range(9): Recorder.default().complete('a')",
        {setting: "no number, no broker"},
    )
    assert done.returncode == 0
    assert done.stderr.count("because of the settings") == 1
    assert recorded(tmp_path / FILE) == [] and system_events(tmp_path / FILE, "recorder_lost") == []
