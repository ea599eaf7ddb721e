"""Generated evolutions: what many orchestrators would send, with duplicates, disorder and late events."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass

from evometrics.schemas.events import (
    CustomMetric,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from tests.support.model import KPIS, SECOND, made_snapshots

STRATEGIES = {"tune": "low", "features": "medium", "ensemble": "medium", "retrain": "high"}
UNMEASURED = ("memory_used_mb", "cpu_percent_avg", "network_bytes_transferred")
TYPES = ("nightly", "triggered", "emergency")
#: Objective and direction; of most evolutions neither is stated.
AIMS = [(None, None)] * 6 + [("novelty", "maximize"), ("response_time_ms", "minimize"), (None, "pareto")]


@dataclass(frozen=True)
class Load:
    """What to generate.

    Attributes:
        seed: same seed, same events (ids included).
        begin: event time of the first start, microseconds.
        hours: event time that the starts spread over.
        late, duplicate, unfinished: shares (0-1) of events that come hours late, of events sent
            twice, of evolutions that never complete.
        elsewhere: share of completions that come without what their starts have.
        snapshots: share of evolutions whose KPIs are their agents' snapshots (no event of its own).
        unmeasured: share of a completion's figures that were not measured.
        unfinished_earlier_hours: how much earlier in event time the unfinished ones begin.
    """

    seed: int
    begin: int
    agents: int
    evolutions: int
    nodes: int
    hours: float = 36.0
    late: float = 0.03
    duplicate: float = 0.03
    unfinished: float = 0.02
    unfinished_earlier_hours: float = 0.0
    elsewhere: float = 0.1
    unmeasured: float = 0.05
    snapshots: float = 0.3


def generate(load: Load) -> list[tuple[int, Event]]:
    """Return events with the time they are sent, in that order; a duplicate is the same event again."""
    rng = random.Random(load.seed)
    sent: list[tuple[int, Event]] = []
    for number in range(load.evolutions):
        for event in evolution(rng, load, number):
            at = event.occurred_at + rng.randrange(600 * SECOND)
            if rng.random() < load.late:
                at += rng.randrange(20 * 3600 * SECOND)
            sent.append((at, event))
            if rng.random() < load.duplicate:
                sent.append((at + rng.randrange(3600 * SECOND), event))
    sent.sort(key=lambda pair: pair[0])
    return sent


def history(load: Load) -> list[tuple[int, Event]]:
    """Return the same with the snapshots that the stream has made of it: what a cluster has of a load."""
    sent = generate(load)
    return [(at, each) for at, event in sent for each in [event, *made_snapshots([event])]]


def event_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def some_kpis(rng: random.Random) -> dict[str, float]:
    """A KPI map as orchestrators send them: complete, partial, with names of their own, or empty."""
    kind = rng.random()
    if kind < 0.03:
        return {}
    if kind < 0.08:
        return {"performance": rng.random(), "novelty": rng.random()}
    kpis = {name: rng.random() for name in KPIS}
    kpis["response_time_ms"] = rng.expovariate(1 / 800)
    kpis["throughput_tps"] = rng.expovariate(1 / 20)
    kpis["memory_usage_mb"] = rng.choice([0.0, rng.uniform(1, 4000)])
    if kind < 0.3:
        kpis = {name: value for name, value in kpis.items() if rng.random() < 0.7}
    return kpis


def snapshot(rng: random.Random, agent: str, node: str, at: int, phase: str, evolution: str) -> KpiSnapshot:
    kpis = some_kpis(rng)
    return KpiSnapshot(
        event_id=event_id(rng),
        agent_id=agent,
        node_id=node,
        occurred_at=at,
        evolution_id=evolution if phase != "continuous" else None,
        phase=phase,
        **{name: kpis.get(name) for name in KPIS},  # type: ignore[arg-type]
        overall_performance=rng.choice([None, rng.random()]),
        evaluation_count=rng.randrange(1000),
        confidence_interval=rng.random() / 10,
        extra={name: value for name, value in kpis.items() if name not in KPIS},
    )


def evolution(rng: random.Random, load: Load, number: int) -> list[Event]:
    """One evolution's events, in event time."""
    agent_number = rng.randrange(load.agents)
    agent, node = f"agent-{agent_number:04d}", f"node-{agent_number % load.nodes}"
    start = load.begin + rng.randrange(int(load.hours * 3600 * SECOND))
    unfinished = rng.random() < load.unfinished
    if unfinished:
        start -= int(load.unfinished_earlier_hours * 3600 * SECOND)
    name = f"{agent}-{number}"
    strategy = rng.choice(list(STRATEGIES))
    before, after = some_kpis(rng), some_kpis(rng)
    duration = rng.uniform(1, 1200)
    end = start + int(duration * SECOND)
    success = rng.random() < 0.7
    status = "succeeded" if success else rng.choice(["failed", "rolled_back"])
    own = random.Random(f"{load.seed}|{number}|{name}")  # what came later changes nothing of a seed's load
    if not success and own.random() < 0.5:
        status = own.choice(["pruned", "rejected"])
    optimized = own.choice(AIMS)
    run = {
        "run_id": own.choice([None, f"night-{number % 7}"]),
        "model": own.choice([None, "model-a", "model-b"]),
    }
    run |= dict(zip(("objective", "direction"), optimized, strict=True))
    fitness = [rng.random() for _ in range(rng.randrange(4))]
    plan = {
        "evolution_id": name,
        "evolution_type": rng.choice(TYPES),
        "generation": rng.randrange(100),
        "risk_level": STRATEGIES[strategy],
        "target_gain": rng.choice([None, 0.05]),
        "trigger_reason": "below threshold: évaluation",
        "pre_kpis": before,
        "metadata": {"seed": str(load.seed)},
        **run,
    }
    head = {"agent_id": agent, "node_id": node}
    # the KPIs are snapshots by themselves, those before the evolution in the start or in the completion
    by_themselves = rng.random() < load.snapshots
    before_by = rng.choice(["start", "completion"]) if by_themselves and before else ""
    started = EvolutionStarted(
        event_id=event_id(rng),
        occurred_at=start,
        strategy=strategy,
        cpu_percent=rng.uniform(0, 100),
        memory_mb=rng.uniform(50, 500),
        snapshot_phases=["pre_evolution"] if before_by == "start" else [],
        **head,
        **plan,
    )
    events: list[Event] = [started]
    if not by_themselves:
        events.insert(0, snapshot(rng, agent, node, start, "pre_evolution", name))
    for iteration, value in enumerate(fitness):
        at = start + int(duration * SECOND * (iteration + 1) / (len(fitness) + 1))
        progressed = EvolutionProgressed(
            event_id=event_id(rng),
            occurred_at=at,
            evolution_id=name,
            iteration=iteration,
            fitness=value,
            evaluations=own.choice([None, 10 * iteration]),
            mean=own.choice([None, value / 2]),
            front_size=own.choice([None, iteration]),
            extras=own.choice([{}, {"species": float(iteration)}]),
            **head,
        )
        events.append(progressed)
    if unfinished:
        return events
    told = {
        "started_at": start,
        "strategy_used": strategy,
        "duration_seconds": rng.choice([duration, 0.0]),
        **plan,
    }
    unmeasured = [name for name in UNMEASURED if rng.random() < load.unmeasured]
    if rng.random() < load.elsewhere:
        # another process recorded the end, and knows nothing of the start
        told = {"started_at": end, "strategy_used": "", "duration_seconds": 0.0, "evolution_id": name}
        told |= {key: plan[key] for key in ("generation", "trigger_reason") if rng.random() < 0.3}
        told |= {"run_id": plan["run_id"]} if own.random() < 0.3 else {}
        told["metadata"] = rng.choice([{}, {"ended": "here"}])
        unmeasured += ["duration_seconds"] if rng.random() < 0.5 else []
    figures = {
        "duration_seconds": told.pop("duration_seconds"),
        "memory_used_mb": rng.uniform(0, 3000),
        "cpu_percent_avg": rng.uniform(0, 100),
        "network_bytes_transferred": rng.randrange(10**9),
    }
    post_kpis = after if status != "failed" else {}
    phases = ["pre_evolution"] if before_by == "completion" and "pre_kpis" in told else []
    if by_themselves and post_kpis and status in ("succeeded", "failed"):
        phases.append("post_evolution")
    completed = EvolutionCompleted(
        event_id=event_id(rng),
        occurred_at=end,
        post_kpis=post_kpis,
        snapshot_phases=phases,
        success=success,
        status=status,
        error_count=rng.randrange(3),
        warning_count=rng.randrange(3),
        gpu_memory_mb=rng.choice([None, 512.0]),
        rollback_performed=status == "rolled_back",
        convergence_iterations=len(fitness),
        fitness_trajectory=fitness,
        insights=["warning: slow", "ok"],
        parent_agent_id=f"agent-{number % load.agents:04d}" if number % 3 == 0 else None,
        cost_usd=number / 64 if number % 4 else None,
        parent_agent_ids=[f"agent-{each % load.agents:04d}" for each in range(number, number + number % 3)],
        tokens_in=own.choice([None, own.randrange(10**6)]),
        tokens_out=own.choice([None, own.randrange(10**5)]),
        evaluations=own.choice([None, own.randrange(1000)]),
        candidate=own.choice([None, "def évolue(x):\n    return x\n"]),
        candidate_hash=own.choice([None, f"{own.getrandbits(256):064x}"]),
        unmeasured=unmeasured,
        **{key: type(value)(0) if key in unmeasured else value for key, value in figures.items()},
        **head,
        **told,
    )
    events.append(completed)
    if not by_themselves:
        events.append(snapshot(rng, agent, node, end, "post_evolution", name))
    if rng.random() < 0.3:
        events.append(snapshot(rng, agent, node, end + 60 * SECOND, "continuous", name))
    if rng.random() < 0.1:
        observed = CustomMetric(
            event_id=event_id(rng),
            occurred_at=end,
            name=rng.choice(["loss", "tokens_total"]),
            kind=rng.choice(["gauge", "counter", "histogram"]),
            value=rng.uniform(-1, 1),
            labels=rng.choice([{}, {"split": "é"}]),
            unit=rng.choice(["", "nats"]),
            help="What it says.",
            **head,
        )
        events.append(observed)
    if rng.random() < 0.1:
        data = '{"load": 0.5, "text": "ü"}'
        events.append(
            SystemEvent(
                event_id=event_id(rng),
                agent_id="",
                node_id=node,
                occurred_at=end,
                event_type="system_metrics",
                data=data,
            )
        )
    return events
