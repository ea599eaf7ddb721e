"""What the tables must hold, in plain Python, straight from design section 4.

Written without the stream's code on purpose: it sees all events at once, so it needs no state, no
windows that move and no order. `expected_rows` gives every derived row by its identity.
"""

from __future__ import annotations

import functools
import math
import operator
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot

NAMESPACE = uuid.UUID("6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11")
KPIS = [
    "accuracy",
    "response_time_ms",
    "throughput_tps",
    "success_rate",
    "memory_usage_mb",
    "cpu_utilization",
    "energy_efficiency",
    "adaptation_rate",
    "knowledge_retention",
    "generalization_ability",
    "output_quality",
    "consistency",
    "reliability",
    "security_score",
    "bias_score",
    "interpretability",
]
WINDOWS = {3600: 300, 86_400: 3600, 604_800: 21_600}
SECOND = 1_000_000
FIGURES = [
    "duration_seconds",
    "memory_used_mb",
    "cpu_percent_avg",
    "gpu_memory_mb",
    "network_bytes_transferred",
    "error_count",
    "warning_count",
    "convergence_iterations",
]

Row = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """Every row of the derived tables, by event_id."""

    evolution_metrics: dict[str, Row]
    kpi_deltas: dict[str, Row]
    success_rates: dict[str, Row]


def expected(
    events: Iterable[Event], partition_of: Callable[[str], int], abandoned_after: int = 86_400
) -> Expected:
    """Return what events (duplicates allowed) must lead to; `partition_of` maps an agent to its partition."""
    unique = {event.event_id: event for event in events}.values()
    started = [e for e in unique if isinstance(e, EvolutionStarted)]
    completed = [e for e in unique if isinstance(e, EvolutionCompleted)]
    begun = {(e.agent_id, e.evolution_id): e for e in started}
    told = [with_start(e, begun.get((e.agent_id, e.evolution_id))) for e in completed]
    metrics = [
        metrics_row(e) | {"version": int(e is not own)} for e, own in zip(told, completed, strict=True)
    ]
    metrics += abandoned_rows(started, completed, partition_of, abandoned_after * SECOND)
    snapshots = {e.event_id: e for e in [*unique, *made_snapshots(unique)] if isinstance(e, KpiSnapshot)}
    deltas = delta_rows(list(snapshots.values()))
    return Expected(by_id(metrics), by_id(deltas), by_id(rate_rows(told)))


def by_id(rows: list[Row]) -> dict[str, Row]:
    found = {row["event_id"]: row for row in rows}
    assert len(found) == len(rows), "the model made an id twice"
    return found


def name_id(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(map(str, parts))))


def performance(kpis: dict[str, float]) -> float | None:
    """Section 4, "performance of a KPI map", and section 5's formula over what is there."""
    for name in ("performance", "overall_performance"):
        if name in kpis:
            return kpis[name]
    terms = []
    if "accuracy" in kpis:
        terms.append(0.25 * kpis["accuracy"])
    if "success_rate" in kpis:
        terms.append(0.20 * kpis["success_rate"])
    if "response_time_ms" in kpis:
        terms.append(0.15 * max(0, 1 - kpis["response_time_ms"] / 10000))
    if "throughput_tps" in kpis:
        terms.append(0.10 * min(1, kpis["throughput_tps"] / 10))
    if "memory_usage_mb" in kpis or "cpu_utilization" in kpis:
        memory, cpu = kpis.get("memory_usage_mb", 0), kpis.get("cpu_utilization", 0)
        if memory > 0 and cpu > 0:
            terms.append(0.10 * min(1, kpis.get("throughput_tps", 0) / (memory / 1000 + cpu)))
        else:
            terms.append(0.0)
    if "output_quality" in kpis:
        terms.append(0.10 * kpis["output_quality"])
    if "reliability" in kpis:
        terms.append(0.10 * kpis["reliability"])
    # one after the other, as the formula does: from Python 3.12 on `sum` of floats compensates
    return min(1.0, max(0.0, functools.reduce(operator.add, terms))) if terms else None


def scored(e: EvolutionStarted | EvolutionCompleted | KpiSnapshot, kpis: dict[str, float]) -> float | None:
    """The objective's value where one is stated; several have no value together."""
    if e.direction == "pareto":
        return None
    return performance(kpis) if e.objective is None else kpis.get(e.objective)


def with_start(e: EvolutionCompleted, start: EvolutionStarted | None) -> EvolutionCompleted:
    """A completion with what it came without and its start has; itself where there is no such thing."""
    if start is None:
        return e
    lent: dict[str, Any] = {}
    for name, of_start in (
        ("pre_kpis", start.pre_kpis),
        ("strategy_used", start.strategy),
        ("risk_level", start.risk_level),
        ("trigger_reason", start.trigger_reason),
        ("generation", start.generation),
        ("metadata", start.metadata),
    ):
        if not getattr(e, name) and of_start:
            lent[name] = of_start
    if e.evolution_type in ("", "unknown") and start.evolution_type not in ("", "unknown"):
        lent["evolution_type"] = start.evolution_type
    if e.target_gain is None and start.target_gain is not None:
        lent["target_gain"] = start.target_gain
    nameless = "duration_seconds" in e.unmeasured
    if nameless or e.started_at == e.occurred_at:
        lent["started_at"] = e.started_at
        if start.occurred_at <= e.occurred_at:
            lent["started_at"] = start.occurred_at
            if nameless or e.duration_seconds == 0:
                lent["duration_seconds"] = (e.occurred_at - start.occurred_at) / SECOND
                lent["unmeasured"] = [name for name in e.unmeasured if name != "duration_seconds"]
    if complete(e):
        return e
    for name in ("run_id", "model"):
        if getattr(e, name) is None and getattr(start, name) is not None:
            lent[name] = getattr(start, name)
    if (e.objective, e.direction) == (None, None) != (start.objective, start.direction):
        lent |= {"objective": start.objective, "direction": start.direction}
    if not lent:
        return e
    return replace(e, **lent | {"metadata": start.metadata | e.metadata})


def complete(e: EvolutionCompleted) -> bool:
    """Whether a completion has all that a start may lend, but for its run, model and objective."""
    plan = ["pre_kpis", "strategy_used", "risk_level", "trigger_reason", "generation", "metadata"]
    known = e.evolution_type not in ("", "unknown") and e.target_gain is not None
    timed = "duration_seconds" not in e.unmeasured and e.started_at != e.occurred_at
    return all(getattr(e, name) for name in plan) and known and timed


def metrics_row(e: EvolutionCompleted) -> Row:
    after, before = scored(e, e.post_kpis), scored(e, e.pre_kpis)
    gain = None
    if after is not None and before is not None:
        gain = before - after if e.direction == "minimize" else after - before
    timeless = "duration_seconds" in e.unmeasured
    minutes = 0.0 if timeless else e.duration_seconds / 60
    memory = None if "memory_used_mb" in e.unmeasured or e.memory_used_mb == 0 else e.memory_used_mb
    cost = minutes * memory / 1000 if memory and minutes > 0 else 0.0
    unknown = ["duration_minutes" if n == "duration_seconds" else n for n in e.unmeasured if n in FIGURES]
    efficiency = gain / cost if gain is not None and gain > 0 and cost > 0 else 0.0
    same = (
        "evolution_id evolution_type generation strategy_used risk_level target_gain trigger_reason status "
    )
    same += "success gpu_memory_mb network_bytes_transferred error_count "
    same += "warning_count rollback_performed convergence_iterations fitness_trajectory metadata started_at "
    same += "agent_id node_id occurred_at "
    same += "cost_usd tokens_in tokens_out evaluations model run_id objective direction candidate_hash"
    parents = e.parent_agent_ids or ([] if e.parent_agent_id is None else [e.parent_agent_id])
    return {name: getattr(e, name) for name in same.split()} | {
        "event_id": name_id("evolution_metrics", e.event_id),
        "source_event_id": e.event_id,
        "duration_minutes": minutes,
        "memory_used_mb": memory,
        "cpu_percent_avg": None if "cpu_percent_avg" in e.unmeasured else e.cpu_percent_avg,
        "unmeasured": unknown + (["efficiency"] if timeless or memory is None else []),
        "performance_score": after,
        "baseline_performance": before,
        "improvement_delta": gain,
        "relative_improvement": gain / abs(before) if gain is not None and before else None,
        "parent_agent_ids": parents,
        "quality_score": e.post_kpis.get("output_quality"),
        "efficiency": efficiency if math.isfinite(efficiency) else 0.0,
        "kpi_deltas": {k: v - e.pre_kpis[k] for k, v in e.post_kpis.items() if k in e.pre_kpis},
    }


def abandoned_rows(
    started: list[EvolutionStarted],
    completed: list[EvolutionCompleted],
    partition_of: Callable[[str], int],
    timeout: int,
) -> list[Row]:
    """A start without completion, once both topics of its partition are past its deadline."""
    reached: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for number, events in enumerate((started, completed)):
        for event in events:
            times = reached[partition_of(event.agent_id)]
            times[number] = max(times[number], event.occurred_at)
    done = {(e.agent_id, e.evolution_id) for e in completed}
    rows = []
    for e in started:
        deadline = e.occurred_at + timeout
        if (e.agent_id, e.evolution_id) in done or deadline > min(reached[partition_of(e.agent_id)]):
            continue
        same = "evolution_id evolution_type generation risk_level target_gain trigger_reason metadata "
        same += "agent_id node_id model run_id objective direction"
        rows.append(
            {name: getattr(e, name) for name in same.split()}
            | dict.fromkeys(
                [
                    "performance_score",
                    "improvement_delta",
                    "relative_improvement",
                    "quality_score",
                    "memory_used_mb",
                    "cpu_percent_avg",
                    "gpu_memory_mb",
                    "cost_usd",
                    "tokens_in",
                    "tokens_out",
                    "evaluations",
                    "candidate_hash",
                ]
            )
            | dict.fromkeys(
                ["network_bytes_transferred", "error_count", "warning_count", "convergence_iterations"], 0
            )
            | {
                "event_id": name_id("evolution_abandoned", e.event_id),
                "source_event_id": e.event_id,
                "occurred_at": deadline,
                "started_at": e.occurred_at,
                "strategy_used": e.strategy,
                "status": "abandoned",
                "success": False,
                "duration_minutes": timeout / SECOND / 60,
                "baseline_performance": scored(e, e.pre_kpis),
                "parent_agent_ids": [],
                "efficiency": 0.0,
                "kpi_deltas": {},
                "rollback_performed": False,
                "fitness_trajectory": [],
                "unmeasured": [],
                "version": 0,
            }
        )
    return rows


def snapshot_map(e: KpiSnapshot) -> dict[str, float]:
    kpis = dict(e.extra)
    for name in [*KPIS, "overall_performance"]:
        if getattr(e, name) is not None:
            kpis[name] = getattr(e, name)
    return kpis


def advice(kpis: dict[str, float]) -> str:
    """Section 5's defaults; a KPI that was not measured decides nothing."""
    overall = performance(kpis)

    def under(name: str, limit: float) -> bool:
        return name in kpis and kpis[name] < limit

    if (
        (overall is not None and overall < 0.5)
        or under("success_rate", 0.3)
        or under("reliability", 0.4)
        or under("accuracy", 0.4)
    ):
        return "retire"
    if (
        (overall is not None and 0.6 <= overall < 0.8)
        or under("adaptation_rate", 0.6)
        or under("energy_efficiency", 0.7)
        or kpis.get("response_time_ms", 0) > 5000
    ):
        return "evolve"
    return "retain"


def made_snapshots(events: Iterable[Event]) -> list[KpiSnapshot]:
    """The snapshots that KPIs of evolutions are, where their events say so, each once."""
    made = []
    for e in {event.event_id: event for event in events}.values():
        if not isinstance(e, EvolutionStarted | EvolutionCompleted):
            continue
        for phase in e.snapshot_phases:
            before = phase == "pre_evolution"
            kpis = e.pre_kpis if before or isinstance(e, EvolutionStarted) else e.post_kpis
            begun = e.started_at if isinstance(e, EvolutionCompleted) else e.occurred_at
            own = {name: value for name, value in kpis.items() if name in KPIS}
            rest = {n: v for n, v in kpis.items() if n not in KPIS and n != "overall_performance"}
            made.append(
                KpiSnapshot(
                    event_id=name_id("kpi_snapshot", e.event_id, phase),
                    agent_id=e.agent_id,
                    node_id=e.node_id,
                    occurred_at=begun if before else e.occurred_at,
                    evolution_id=e.evolution_id,
                    phase=phase,
                    source_event_id=e.event_id,
                    overall_performance=kpis.get("overall_performance", scored(e, kpis)),
                    extra=rest,
                    objective=e.objective,
                    direction=e.direction,
                    **own,  # type: ignore[arg-type]
                )
            )
    return made


def delta_rows(snapshots: list[KpiSnapshot]) -> list[Row]:
    agents: dict[str, list[KpiSnapshot]] = defaultdict(list)
    for e in snapshots:
        agents[e.agent_id].append(e)
    rows = []
    for series in agents.values():
        series.sort(key=lambda e: (e.occurred_at, e.event_id))
        for before, e in zip([None, *series[:-1]], series, strict=True):
            kpis = snapshot_map(e)
            earlier = snapshot_map(before) if before else {}
            now, then = scored(e, kpis), scored(before, earlier) if before else None
            stated = (e.objective, e.direction)
            if before and stated != (before.objective, before.direction):
                then = None  # values of two objectives are not compared
            rows.append(
                {
                    "event_id": name_id("kpi_delta", e.event_id),
                    "agent_id": e.agent_id,
                    "node_id": e.node_id,
                    "occurred_at": e.occurred_at,
                    "snapshot_event_id": e.event_id,
                    "phase": e.phase,
                    "previous_event_id": before.event_id if before else None,
                    "previous_at": before.occurred_at if before else None,
                    "overall_performance": now,
                    "overall_delta": now - then if now is not None and then is not None else None,
                    "deltas": {k: v - earlier[k] for k, v in kpis.items() if k in earlier},
                    "recommendation": advice(kpis) if stated == (None, None) else "retain",
                    "version": before.occurred_at if before else 0,
                }
            )
    return rows


def rate_rows(completed: list[EvolutionCompleted]) -> list[Row]:
    attempts: dict[tuple[str, str], list[tuple[int, bool]]] = defaultdict(list)
    for e in completed:
        for scope in (
            ("agent", e.agent_id),
            ("evolution_type", "" if e.evolution_type == "unknown" else e.evolution_type),
            ("strategy", e.strategy_used),
            ("node", e.node_id),
            ("fleet", "all"),
        ):
            if not scope[1]:  # of an unknown type or strategy there is no rate
                continue
            attempts[scope].append((e.occurred_at, e.success))
    return [
        rate_row(scope, value, seconds, end, inside(counted, end - seconds * SECOND, end))
        for (scope, value), counted in ((key, sorted(of_key)) for key, of_key in attempts.items())
        for seconds, step in WINDOWS.items()
        for end in {(at // (step * SECOND) + 1) * step * SECOND for at, _ in counted}
    ]


def inside(counted: list[tuple[int, bool]], begin: int, end: int) -> list[bool]:
    """Return the successes of attempts, given in order of time, at or after `begin` and before `end`."""
    return [success for _, success in counted[bisect_left(counted, (begin,)) : bisect_left(counted, (end,))]]


def rate_row(scope: str, value: str, seconds: int, end: int, counted: list[bool]) -> Row:
    n, wins = len(counted), sum(counted)
    z = 1.959963984540054
    p = wins / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return {
        "event_id": name_id("success_rate", scope, value, seconds, end),
        "agent_id": value if scope == "agent" else "",
        "node_id": value if scope == "node" else "",
        "occurred_at": end,
        "scope": scope,
        "scope_value": value,
        "window_seconds": seconds,
        "window_start": end - seconds * SECOND,
        "window_end": end,
        "attempts": n,
        "successes": wins,
        "success_rate": p,
        "wilson_low": max(0.0, middle - half),
        "wilson_high": min(1.0, middle + half),
        "version": n,
    }


def same(a: Any, b: Any) -> bool:
    """Compare values; floats within rounding (the model sums in another order)."""
    if isinstance(a, float) and isinstance(b, int | float) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def differences(wanted: dict[str, Row], found: dict[str, Row]) -> list[str]:
    """Return in words where the rows by id differ; empty where they are equal."""
    said = [f"missing: {wanted[i]}" for i in wanted.keys() - found.keys()]
    said += [f"not expected: {found[i]}" for i in found.keys() - wanted.keys()]
    for i in wanted.keys() & found.keys():
        for name, value in wanted[i].items():
            if value != found[i][name] and not same(value, found[i][name]):
                said.append(f"{i}.{name}: expected {value!r}, found {found[i][name]!r}")
    return said
