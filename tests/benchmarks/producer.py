"""`producer`: recording through the public API until the broker has it, and what a call keeps waiting."""

from __future__ import annotations

import sqlite3
from typing import Any

from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.benchmarks.checks import messages, require
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Round, compared, spread
from tests.benchmarks.node import POOL, TASKS
from tests.benchmarks.peers.mlflow_values import BEGIN, STORE, values
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import TopicEnds, cpu_seconds

NEEDS = {"mlflow": "mlflow", "mlflow's store": "sqlalchemy"}
#: One event in this many is MLflow's share: its rate is per call, whatever their number.
MLFLOW_EVERY = 100
PACED_RATE = 1000.0
PACED_SECONDS, QUICK_SECONDS = 20.0, 5.0
COMPARED = 50
SECONDS = 1200


async def run(settings: Settings) -> dict[str, Any]:
    """Measure ours and MLflow in turn, then ours at a steady rate."""
    count, rounds = settings.sized(events=100_000, quick_events=10_000)
    measured: dict[str, list[Round]] = {"evometrics": [], "mlflow": []}
    paced: list[dict[str, float]] = []
    async with Stack(settings.folder, with_clickhouse=False) as stack:
        for number in range(1, rounds + 1):
            measured["evometrics"].append(await burst(stack, settings, count, f"burst-{number}"))
            measured["mlflow"].append(await mlflow(stack, settings, count // MLFLOW_EVERY, number))
            seconds = QUICK_SECONDS if settings.quick else PACED_SECONDS
            limits = {"rate": PACED_RATE, "seconds": seconds}
            paced.append((await recorded(stack, settings, f"paced-{number}", limits))["waits"])
            rates = ", ".join(f"{name} {found[-1].events_per_s:,.0f}" for name, found in measured.items())
            say(f"producer, round {number}: {rates} events/s; {paced[-1]}")
    kept = {f"record_{name}": spread([each[name] for each in paced]) for name in paced[0]}
    waiting = [{"events_per_s": PACED_RATE, **kept}]
    return compared("evometrics", measured, events=count, tasks=TASKS, waiting=waiting)


async def burst(stack: Stack, settings: Settings, count: int, node: str) -> Round:
    """Measure a node that records as fast as it can."""
    before = cpu_seconds(stack.pids("kafka"))
    found = await recorded(stack, settings, node, {"events": count})
    kafka = cpu_seconds(stack.pids("kafka"))["kafka"] - before["kafka"]
    cpu = {"evometrics": found["cpu_seconds"] / count * 1e6, "kafka": kafka / count * 1e6}
    return Round(found["recorded"] / found["seconds"], cpu, {"events": found["recorded"]})


async def recorded(stack: Stack, settings: Settings, node: str, limits: dict[str, float]) -> dict[str, Any]:
    """Run a node; check that the broker has each event once, and some of them value by value."""
    argv = ["-m", "tests.benchmarks.node", "--node", node, "--brokers", stack.kafka.brokers]
    argv += ["--folder", str(stack.folder), "--seed", str(settings.seed), "--agents", str(settings.agents)]
    argv += [part for name, value in limits.items() for part in (f"--{name}", f"{value:g}")]
    await stack.renew_topics(keep=())
    found: dict[str, Any] = await stack.job(node, argv, SECONDS)
    topic = EVOLUTION_COMPLETED.name
    async with TopicEnds(stack.kafka.brokers, topic) as ends:
        (there,) = await ends()
    require(there == found["recorded"], f"{there} messages in {topic}, not {found['recorded']}")
    pool = Events(settings.seed, settings.agents, begin_of(POOL)).completed(0, POOL)
    some = await messages(stack.kafka, topic, first=COMPARED)
    for event in some:
        assert isinstance(event, EvolutionCompleted)
        wanted = pool[int(event.evolution_id.rpartition("-")[2]) % POOL]
        right = (wanted.pre_kpis, wanted.post_kpis, wanted.fitness_trajectory, wanted.insights)
        seen = (event.pre_kpis, event.post_kpis, event.fitness_trajectory, event.insights)
        require(seen == right, f"{event.evolution_id} was recorded as {seen}, not {right}")
    return found


async def mlflow(stack: Stack, settings: Settings, count: int, number: int) -> Round:
    """Measure MLflow; check that its store has every value."""
    folder = stack.folder / f"mlflow-{number}"
    argv = ["-m", "tests.benchmarks.peers.mlflow_log", "--folder", str(folder)]
    argv += ["--seed", str(settings.seed), "--agents", str(settings.agents), "--events", str(count)]
    found = await stack.job(f"mlflow-{number}", argv, SECONDS)
    wanted = {
        (name, step, value)
        for step, done in enumerate(Events(settings.seed, settings.agents, BEGIN).completed(0, count))
        for name, value in values(done).items()
    }
    with sqlite3.connect(folder / STORE) as store:
        stored = store.execute("SELECT key, step, value FROM metrics").fetchall()
    require(len(stored) == len(wanted), f"MLflow has {len(stored)} values, not {len(wanted)}")
    require(set(stored) == wanted, "MLflow has other values than it was given")
    cpu = {"mlflow": found["cpu_seconds"] / found["recorded"] * 1e6}
    return Round(found["recorded"] / found["seconds"], cpu, {"events": found["recorded"]})
