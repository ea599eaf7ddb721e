"""`recorder`: what recording each trial costs an Optuna study, and what a process that is killed loses.

The objective costs nothing, so that every microsecond of recording shows. Two studies of the same seed take
turns, one with the callback and one without; what they find is compared to the bit. Wall time is that of the
turns; processor time is the whole process's to the last event on disk: what the callback adds at most where
all shares one core. It contains the copy of the trial that Optuna makes for any callback. On a machine that
is busy with other work the callback's time and that of the recorder's threads, each measured on its own, say
more than the difference of two studies.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from evometrics.producers import Recorder
from evometrics.producers.integrations.optuna import EvometricsCallback
from evometrics.producers.outbox.file import OutboxFile
from evometrics.producers.outbox.row import Row
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.support.outboxes import NO_BROKER, left_in

TRIALS, QUICK_TRIALS = 10_000, 200
TURNS = 40
#: Trials under each trouble.
IN_TROUBLE = 2000
#: Seconds that the slow disk takes for each commit.
SLOW_COMMIT = 0.25
KILLS, QUICK_KILLS = 10, 2
NEEDS = {"optuna": "optuna"}


@dataclass(frozen=True)
class Condition:
    """What the recorder has to live with.

    Attributes:
        config: of the recorder.
        slow: whether each commit takes `SLOW_COMMIT` seconds.
    """

    name: str
    config: dict[str, Any]
    slow: bool = False


WELL = Condition("well (no broker: the node's history)", {})
DOWN = Condition("broker down", {"brokers": NO_BROKER, "stop_timeout": 0})
TROUBLES = (
    DOWN,
    Condition("slow disk", {"brokers": NO_BROKER, "stop_timeout": 0}, slow=True),
    Condition("outbox full", {"brokers": NO_BROKER, "stop_timeout": 0, "outbox_max_mb": 0.05}),
)
SAMPLERS: dict[str, Callable[[int], Any]] = {
    "TPE (default)": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random (cheapest)": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


async def run(settings: Settings) -> dict[str, Any]:
    """Measure both samplers, the troubles, and kills."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials, _ = settings.sized(events=TRIALS, quick_events=QUICK_TRIALS)
    plans = [(sampler, condition, trials) for sampler in SAMPLERS for condition in (WELL, DOWN)]
    plans += [("random (cheapest)", trouble, min(trials, IN_TROUBLE)) for trouble in TROUBLES[1:]]
    found = []
    for number, (sampler, condition, count) in enumerate(reversed(plans)):
        folder = settings.folder / f"study-{number}"
        folder.mkdir(parents=True)
        found.append(compare(sampler, condition, count, settings.seed, folder))
        say(f"{found[-1]}")
    kills = [killed(settings.folder / f"kill-{n}") for n in range(QUICK_KILLS if settings.quick else KILLS)]
    return {"trials": found[::-1], "killed": spread(kills)}


def objective(trial: optuna.Trial) -> float:
    """Return a sum of squares: next to nothing to calculate."""
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", -1, 1)
    return x * x + y * y + trial.suggest_int("z", 0, 10)


def compare(sampler: str, condition: Condition, trials: int, seed: int, folder: Path) -> dict[str, Any]:
    """Run a study with and one without the callback, in turns; return what it cost."""
    config = {"db_path": str(folder / "recorded.db"), **condition.config}
    original = OutboxFile.write
    if condition.slow:

        def slow(self: OutboxFile, rows: list[Row], sent: list[int]) -> None:
            time.sleep(SLOW_COMMIT)
            original(self, rows, sent)

        OutboxFile.write = slow  # type: ignore[method-assign]
    try:
        return in_turns(sampler, condition, trials, seed, config)
    finally:
        OutboxFile.write = original  # type: ignore[method-assign]


def in_turns(
    sampler: str, condition: Condition, trials: int, seed: int, config: dict[str, Any]
) -> dict[str, Any]:
    """`compare`, on the disk as it is."""
    studies = [optuna.create_study(sampler=SAMPLERS[sampler](seed)) for _ in range(2)]
    recorder = Recorder(config)
    recorder.system_event("begins")
    recorder.flush()
    timed = Timed(EvometricsCallback(recorder))
    callbacks: list[list[Any]] = [[], [timed]]
    wall, cpu, others = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]
    turns = min(TURNS, trials)
    for turn in range(turns):
        count = trials * (turn + 1) // turns - trials * turn // turns
        for which in ((0, 1), (1, 0))[turn % 2]:
            began, spent, mine = time.perf_counter(), time.process_time(), time.thread_time()
            studies[which].optimize(objective, n_trials=count, callbacks=callbacks[which])
            wall[which] += time.perf_counter() - began
            if which == 1:
                settle(recorder)
            cpu[which] += time.process_time() - spent
            others[which] += time.process_time() - spent - (time.thread_time() - mine)
        say(
            f"{sampler}, {condition.name}: {trials * (turn + 1) // turns} trials, "
            f"the two {(timed.seconds + others[1] - others[0]) / cpu[0]:.2%}, "
            f"processor time {cpu[1] / cpu[0] - 1:+.2%}, wall {wall[1] / wall[0] - 1:+.2%}"
        )
    lost = recorder.lost
    recorder.close()
    values = [[(t.params, t.values) for t in study.get_trials(deepcopy=False)] for study in studies]
    assert values[0] == values[1], f"{sampler}, {condition.name}: the callback has changed the study"
    per_trial = 1e6 / trials
    return {
        "sampler": sampler,
        "recorder": condition.name,
        "trials": trials,
        "lost": lost,
        "us a trial without": round(cpu[0] * per_trial, 1),
        "with": round(cpu[1] * per_trial, 1),
        "the callback": round(timed.seconds * per_trial, 1),
        "recorder's threads": round((others[1] - others[0]) * per_trial, 1),
        "the two, to a trial without": f"{(timed.seconds + others[1] - others[0]) / cpu[0]:.2%}",
        "processor time": f"{cpu[1] / cpu[0] - 1:+.2%}",
        "wall time": f"{wall[1] / wall[0] - 1:+.2%}",
    }


class Timed:
    """A callback, and how much processor time the thread that it was called in has spent in it, seconds."""

    def __init__(self, callback: EvometricsCallback) -> None:
        self.callback = callback
        self.seconds = 0.0

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        began = time.thread_time()
        self.callback(study, trial)
        self.seconds += time.thread_time() - began


def settle(recorder: Recorder) -> None:
    """Wait until what was recorded is where it goes, so that its cost is in this turn."""
    recorder.flush()
    collector = recorder.collector
    assert collector is not None
    while collector.kafka is None and collector.outbox_depth:
        time.sleep(0.005)


VICTIM = """
import sys, time
from evometrics.producers import Recorder
recorder = Recorder({"db_path": sys.argv[1], "brokers": "127.0.0.1:1"})
recorder.complete("begins")
recorder.flush()
for number in range(1_000_000):
    recorder.complete(f"a{number}", metadata={"at": time.time()})
    sys.stdout.write(f"{number} {time.time()}\\n")
    sys.stdout.flush()
    time.sleep(0.001)
"""


def killed(folder: Path) -> float:
    """Kill a process that records every millisecond; return how many milliseconds of events are lost."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", VICTIM, str(folder / "evolution_metrics.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    last = max(float(line.split()[1]) for line in lines if line.endswith("\n"))
    kept = (getattr(event, "metadata", {}).get("at", 0.0) for event in left_in(folder))
    return (last - max(map(float, kept))) * 1000


def spread(values: list[float]) -> dict[str, Any]:
    """Return the kills' figures."""
    return {
        "kills": len(values),
        "ms lost (median)": round(statistics.median(values), 1),
        "most": round(max(values), 1),
    }
