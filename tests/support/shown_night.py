"""A night to look at: agents that an orchestrator evolves, a search by language models, and what went wrong.

The figures are drawn, not measured; their events are real ones, and what the stream derives of them is what
the stream derives of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from evometrics.schemas.events import (
    DeadLetter,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.offline import OfflineStream, record_of
from evometrics.streams.settings import StreamSettings
from tests.support.sinks import Sent

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
WIRE = WireFormat()
NODES = ("gpu-1", "gpu-2")
STRATEGIES = {
    "hyperparameter_tuning": 0.62,
    "extended_training": 0.5,
    "feature_engineering": 0.45,
    "ensemble_growth": 0.55,
    "robustness_training": 0.3,
    "architecture_change": 0.22,
}
FAILURES = (
    "none of 3 candidates is fitter than the agent (0.934 validated)",
    "none of 2 candidates is fitter than the agent (0.951 validated)",
    "training did not converge within 300 s",
    "CUDA out of memory: tried to allocate 2.50 GiB",
)
SEARCH = "attention-kernel/29-nov"
#: Mean gain, USD and tokens of a candidate by the model that wrote it.
MODELS = {"opus": (0.045, 0.062, 5200), "sonnet": (0.03, 0.013, 4300), "haiku": (0.012, 0.002, 3900)}
SEARCHES = {"mutate": 0.42, "rewrite": 0.25, "crossover": 0.5}
ERRORS = (
    "compile error: use of undeclared identifier 'tile_k'",
    "wrong result: max |error| 0.31 at (17, 4)",
    "timeout: 10 s",
)


def kpis(quality: float, draw: random.Random) -> dict[str, float]:
    """Return the KPIs of an agent whose quality is 0 to 1."""

    def near(middle: float) -> float:
        return round(min(0.999, max(0.01, middle + draw.gauss(0, 0.012))), 4)

    return {
        "accuracy": near(quality),
        "success_rate": near(quality - 0.02),
        "generalization_ability": near(quality - 0.05),
        "output_quality": near(quality - 0.01),
        "reliability": near(0.5 + quality / 2.2),
        "adaptation_rate": near(0.55 + quality / 4),
        "energy_efficiency": near(0.7),
        "response_time_ms": round(18 + 30 * draw.random(), 2),
        "memory_usage_mb": round(210 + 60 * draw.random(), 1),
    }


def evolution(ended: int, agent: str, node: str, seconds: float, **fields: Any) -> Iterator[Event]:
    """Yield the start and the completion of an evolution that ended at a time, microseconds."""
    evolution_id, started = f"{agent}@{ended}", ended - int(seconds * SECOND)
    common = {"agent_id": agent, "node_id": node, "evolution_id": evolution_id}
    shared = ("evolution_type", "generation", "pre_kpis", "run_id", "model", "objective", "direction")
    given = {name: fields[name] for name in shared if name in fields}
    yield EvolutionStarted(
        event_id=new_event_id(),
        occurred_at=started,
        strategy=fields["strategy_used"],
        snapshot_phases=["pre_evolution"],
        **common,
        **given,
    )
    status = fields["status"]
    yield EvolutionCompleted(
        event_id=new_event_id(),
        occurred_at=ended,
        started_at=started,
        duration_seconds=seconds,
        success=status == "succeeded",
        rollback_performed=status == "rolled_back",
        error_count=int(status == "failed"),
        snapshot_phases=["post_evolution"] if fields["post_kpis"] else [],
        **common,
        **fields,
    )


def orchestrated(now: int, draw: random.Random, rounds: int, agents: int) -> Iterator[Event]:
    """Yield rounds of evolutions of agents, the last a minute ago."""
    quality = {f"{NODES[n % 2]}-agent-{n // 2:03d}": draw.uniform(0.62, 0.78) for n in range(agents)}
    risk = {"architecture_change": "high", "hyperparameter_tuning": "low", "extended_training": "low"}
    for number in range(rounds):
        for place, agent in enumerate(quality):
            ended = now - MINUTE - int((rounds - number - place / agents) * 9.5 * HOUR / rounds)
            node = agent[: len(NODES[0])]
            strategy = draw.choice(list(STRATEGIES))
            outcome = draw.random()
            before, gain = quality[agent], 0.0
            if outcome < STRATEGIES[strategy]:
                status, gain = "succeeded", abs(draw.gauss(0.022, 0.015)) * (1.15 - before) / 0.4
            elif outcome < STRATEGIES[strategy] + 0.22:
                status, gain = "rolled_back", -abs(draw.gauss(0.02, 0.01))
            else:
                status = "failed"
            after = min(0.985, before + gain)
            if status == "succeeded":
                quality[agent] = after
            reason = "error: " + draw.choice(FAILURES)
            told = f"validation fitness {before:.3f} -> {after:.3f}: max_depth 8 -> 11, trees 20 -> 35"
            yield from evolution(
                ended,
                agent,
                node,
                draw.uniform(20, 240),
                evolution_type="nightly",
                generation=number + 1,
                strategy_used=strategy,
                risk_level=risk.get(strategy, "medium"),
                status=status,
                pre_kpis=kpis(before, draw),
                post_kpis={} if status == "failed" else kpis(after, draw),
                insights=[reason if status == "failed" else told],
                memory_used_mb=draw.uniform(300, 900),
                cpu_percent_avg=draw.uniform(60, 99),
                metadata={"image": "agents:2.4.1", "seed": str(draw.randrange(1000))},
            )


def searched(now: int, draw: random.Random, candidates: int) -> Iterator[Event]:
    """Yield a search for the fastest kernel: candidates by generation, made from one or two others."""
    kept: list[tuple[float, float, str, str]] = [(9.4, 61.0, f"{SEARCH}/0", source(0, 9.4))]
    best, scores = 9.4, []
    for number in range(1, candidates + 1):
        ended = now - MINUTE - (candidates - number) * 3 * MINUTE
        model, way = draw.choice(list(MODELS)), draw.choice(list(SEARCHES))
        share, cost, tokens = MODELS[model]
        front = sorted(kept)[:5]
        parents = draw.sample(front, min(len(front), 2 if way == "crossover" else 1))
        before, memory, _, _ = min(parents)
        outcome, agent = draw.random(), f"{SEARCH}/{number}"
        kept_here = outcome < SEARCHES[way] * (0.6 + 12 * share)
        failed = not kept_here and outcome > 0.78
        change = draw.uniform(0.2, 2.0) * share if kept_here else -draw.uniform(0.0, 0.25)
        latency = max(2.2, round(before * (1 - change), 3))
        memory = round(max(12.0, memory * draw.uniform(0.82, 1.2)), 1)
        status = "failed" if failed else "succeeded" if kept_here else draw.choice(["rejected", "pruned"])
        text = source(number, latency)
        if status == "succeeded":
            kept.append((latency, memory, agent, text))
            best = min(best, latency)
        scores.append(best)
        yield from evolution(
            ended,
            agent,
            NODES[number % 2],
            draw.uniform(15, 110),
            evolution_type="program_search",
            generation=1 + number // 12,
            strategy_used=way,
            status=status,
            pre_kpis={"latency_ms": before},
            post_kpis={} if failed else {"latency_ms": latency, "memory_mb": memory},
            insights=["error: " + draw.choice(ERRORS)] if failed else [],
            cost_usd=round(cost * draw.uniform(0.6, 1.6), 5),
            tokens_in=int(tokens * draw.uniform(0.7, 1.3)),
            tokens_out=int(tokens * draw.uniform(0.2, 0.5)),
            evaluations=1,
            model=model,
            run_id=SEARCH,
            objective="latency_ms",
            direction="minimize",
            candidate=text,
            parent_agent_id=parents[0][2],
            parent_agent_ids=[each[2] for each in parents] if len(parents) > 1 else [],
            metadata={"island": str(number % 4), "temperature": f"{draw.uniform(0.2, 1.0):.2f}"},
        )
        if number % 12 == 0:
            yield EvolutionProgressed(
                event_id=new_event_id(),
                agent_id="attention-kernel",
                node_id=NODES[0],
                occurred_at=ended + 1,
                evolution_id=SEARCH,
                iteration=number // 12,
                fitness=best,
                mean=round(best * draw.uniform(1.08, 1.25), 3),
                evaluations=number,
            )


def source(number: int, latency: float) -> str:
    """Return the text of a candidate."""
    tile = 16 * (1 + number % 5)
    return (
        f"// candidate {number}: {latency:.2f} ms\n"
        "template <int TILE_M, int TILE_N>\n"
        "__global__ void attention(const half* q, const half* k, const half* v, half* out) {\n"
        f"  constexpr int stages = {2 + number % 3};\n"
        f"  __shared__ half tile[stages][{tile}][{tile + 8}];\n"
        f"  for (int at = 0; at < rows; at += {tile}) {{\n"
        "    load_async(tile[at % stages], k, at);\n"
        "    accumulate(q, tile[at % stages], v);\n"
        "  }\n"
        "  store(out);\n"
        "}\n"
    )


def reported(now: int, draw: random.Random) -> Iterator[Event]:
    """Yield what nodes report of themselves, agents' KPIs between evolutions, and letters."""
    for node in NODES:
        for number in range(60):
            health = {
                "outbox_depth": draw.randrange(40) if node == NODES[0] else 900 + 11 * number,
                "outbox_bytes": draw.randrange(40_000) if node == NODES[0] else 700_000 + 9_000 * number,
                "rejected": 0,
                "shed": {},
                "left_out": {"insights": number // 20},
            }
            yield SystemEvent(
                event_id=new_event_id(),
                agent_id=node,
                node_id=node,
                occurred_at=now - (60 - number) * 10 * MINUTE,
                event_type="collector_health",
                data=json.dumps(health),
            )
    for number, reason in enumerate(("not Avro: unknown fingerprint 1f8b0800", "record ends early", "bad")):
        yield DeadLetter(
            event_id=new_event_id(),
            agent_id="",
            node_id="stream-1",
            occurred_at=now - (number + 1) * HOUR,
            source_topic="evolution-completed" if number else "kpi-snapshots",
            source_partition=number,
            source_offset=104_233 + number,
            stage="stream",
            reason=reason,
            message_key=b"gpu-1-agent-002",
            message_value=bytes(range(90 + number)),
        )
    for agent in range(3):
        yield KpiSnapshot(
            event_id=new_event_id(),
            agent_id=f"{NODES[0]}-agent-{agent:03d}",
            node_id=NODES[0],
            occurred_at=now - 30 * SECOND,
            phase="continuous",
            **kpis(0.9, draw),
        )


def night(
    now: int, *, seed: int = 7, rounds: int = 16, agents: int = 12, candidates: int = 150
) -> list[Sent]:
    """Return the messages of a night that ends at `now`, microseconds, with what the stream derives."""
    draw = random.Random(seed)
    events: list[Event] = [*orchestrated(now, draw, rounds, agents), *searched(now, draw, candidates)]
    events += reported(now, draw)
    return messages(events)


def messages(events: Iterable[Event]) -> list[Sent]:
    """Return events in their order of time, and those that the stream derives of them, as Kafka records."""
    ordered = sorted(events, key=lambda each: each.occurred_at)
    whole = [one for each in ordered for one in (each, *snapshots_of(each))]
    sent = [
        Sent(
            BY_RECORD[each.record].name,
            0,
            place,
            each.occurred_at // 1000,
            each.key.encode(),
            WIRE.encode(each),
        )
        for place, each in enumerate(whole)
    ]
    stream = OfflineStream(StreamSettings(), WIRE)
    derived = stream.feed(
        record_of(each.topic, 0, 0, each.key or b"", each.value or b"", each.timestamp)
        for each in sent
        if each.topic in stream.works
    )
    return sent + [
        Sent(each.topic, 0, place, sent[-1].timestamp, each.key, each.value)
        for place, each in enumerate(derived, len(sent))
    ]
