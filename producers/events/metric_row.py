"""Converts a row about an evolution to its `EvolutionCompleted`. A row is the specification's
`EvolutionMetrics`, or a row of its table, of a CSV or Parquet file, or of the KPI engine's history. Pure.

Columns have the event's field names, or the specification's where those differ:

| column | becomes | |---|---| | `timestamp` | `occurred_at` | | `strategy_name`, `strategy` | `strategy_used`
| | `applied_at` | `started_at`; else `occurred_at` minus the duration | | `duration_minutes` |
`duration_seconds` | | `performance_score` | the KPI `performance` after, or the `objective` | |
`improvement_delta`, else `actual_gain` | with a score: the same KPI before = score - delta, or + delta where
`direction` is minimize | | `baseline_performance` | the same KPI before | | `quality_score` | the KPI
`output_quality` after | | `pre_<kpi>`, `post_<kpi>`; or `pre_kpis`, `post_kpis` as maps or JSON | KPIs before
and after |

Any other column goes into `metadata`. So a row reads back from our `evolution_metrics` as it was, except for
what is computed there: a delta without a score, which gives no KPI, is kept in `metadata`; a quality without
a score leads to a score by the formula from the KPIs that are there. Resources that a row lacks are named in
`unmeasured`.

The id is derived from agent, evolution and time, so the same evolution has the same id whatever file it comes
from and under whatever node id. A row that has an `event_id` (`source_event_id` in an export of our own
metrics) keeps that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evometrics.producers.events.candidate import candidate_of
from evometrics.producers.events.cells import Cells, Unreadable, as_text, number, refuse, text
from evometrics.producers.events.convert import errors_and_warnings, evolution_id, rounds_to_best
from evometrics.producers.events.left_out import LEFT_OUT, LeftOut
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.evolutions.outcome import ABANDONED, CARRIED
from evometrics.schemas.ids import derived_id
from evometrics.schemas.kpis.performance import MINIMIZE
from evometrics.schemas.rules.validation import FAILED, ROLLED_BACK, STATUSES, SUCCEEDED

TIME_COLUMNS = ("occurred_at", "timestamp", "completed_at")
#: Columns without information of their own: row numbers, and what is computed from the others.
COMPUTED = frozenset({"id", "__index_level_0__", "efficiency", "relative_improvement", "kpi_deltas"})
#: A completion's names for figures that our own rows have under another name.
FIGURES = {of_row: of_completion for of_completion, of_row in CARRIED.items()}
LONGEST_SECONDS = 1e10
#: Resources that read 0 where they are not known.
RESOURCES = ("memory_used_mb", "cpu_percent_avg", "network_bytes_transferred")


def evolution_completed(row: Mapping[str, Any], node_id: str) -> EvolutionCompleted:
    """Return a row's event. Raises `Unreadable`; anything else is left to `validate`."""
    cells = Cells(row)
    agent, at = cells.text("agent_id"), cells.moment(*TIME_COLUMNS)
    if agent is None:
        raise Unreadable("agent_id: is missing")
    if at is None:
        raise Unreadable(f"{TIME_COLUMNS[0]}: is missing")
    duration, started = durations(cells, at)
    rolled_back = cells.flag("rollback_performed") or False
    success, status = outcome(cells, rolled_back)
    pre, post, unplaced = kpis(cells)
    insights = [text("insights", item) for item in cells.items("insights")]
    fitness = [number("fitness_trajectory", item) for item in cells.items("fitness_trajectory")]
    errors, warnings = cells.whole("error_count"), cells.whole("warning_count")
    counted = errors_and_warnings(insights)
    rounds = cells.whole("convergence_iterations")
    named = cells.text("evolution_id") or evolution_id(agent, started / 1e6)
    own = cells.identity("source_event_id", "event_id")
    parents, candidate = parents_of(cells), cells.text("candidate")
    cut, digest, why = ("", "", "") if candidate is None else candidate_of(candidate)
    result = EvolutionCompleted(
        event_id=own or derived_id("import", "evolution", agent, named, at),
        agent_id=agent,
        node_id=cells.text("node_id") or node_id,
        occurred_at=at,
        started_at=started,
        evolution_id=named,
        evolution_type=cells.text("evolution_type") or "unknown",
        generation=cells.whole("generation") or 0,
        strategy_used=cells.text("strategy_used", "strategy_name", "strategy") or "",
        risk_level=cells.text("risk_level") or "",
        target_gain=cells.number("target_gain"),
        trigger_reason=cells.text("trigger_reason") or "",
        pre_kpis=pre,
        post_kpis=post,
        success=success,
        status=status,
        duration_seconds=duration,
        error_count=counted[0] if errors is None else errors,
        warning_count=counted[1] if warnings is None else warnings,
        memory_used_mb=cells.number("memory_used_mb") or 0.0,
        cpu_percent_avg=cells.number("cpu_percent_avg") or 0.0,
        gpu_memory_mb=cells.number("gpu_memory_mb"),
        network_bytes_transferred=cells.whole("network_bytes_transferred") or 0,
        rollback_performed=rolled_back,
        convergence_iterations=rounds_to_best(fitness) if rounds is None else rounds,
        fitness_trajectory=fitness,
        insights=insights,
        metadata=cells.texts("metadata"),
        parent_agent_id=parents[0] if parents else None,
        cost_usd=cells.number("cost_usd"),
        unmeasured=unmeasured(cells),
        progress_share=cells.number("progress_share"),
        snapshot_phases=[text("snapshot_phases", item) for item in cells.items("snapshot_phases")],
        parent_agent_ids=parents,
        tokens_in=cells.whole("tokens_in"),
        tokens_out=cells.whole("tokens_out"),
        evaluations=cells.whole("evaluations"),
        model=cells.text("model"),
        candidate=None if candidate is None else cut,
        candidate_hash=cells.text("candidate_hash") or digest or None,
        run_id=cells.text("run_id"),
        objective=cells.text("objective"),
        direction=cells.text("direction"),
    )
    ours = {"version"} if "source_event_id" in row else set()
    others = {name: value for name, value in cells.rest().items() if name not in COMPUTED | ours}
    for name, value in (unplaced | others).items():
        result.metadata.setdefault(name, text(name, as_text(value)))
    if why:
        left_out = LeftOut()
        left_out.add("candidate", candidate, why)
        result.metadata[LEFT_OUT] = left_out.text()
    return result


def parents_of(cells: Cells) -> list[str]:
    """Return the agents that an agent was made from, the first of them first; either column may name it."""
    first = cells.text("parent_agent_id")
    parents = [text("parent_agent_ids", item) for item in cells.items("parent_agent_ids")]
    if first is None or parents[:1] == [first]:
        return parents
    return [first, *(each for each in parents if each != first)]


def unmeasured(cells: Cells) -> list[str]:
    """Return the figures that were not measured: those that one of our rows names, or resources it lacks."""
    if cells.find("unmeasured")[1] is None:
        return [name for name in RESOURCES if cells.find(name)[1] is None]
    named = [text("unmeasured", item) for item in cells.items("unmeasured")]
    return [FIGURES.get(name, name) for name in named if name not in COMPUTED]


def durations(cells: Cells, at: int) -> tuple[float, int]:
    """Return how long an evolution took, in seconds, and when it began, in microseconds."""
    seconds, minutes = cells.number("duration_seconds"), cells.number("duration_minutes")
    started = cells.moment("started_at", "applied_at")
    if seconds is None and minutes is not None:
        seconds = minutes * 60
    if seconds is None:
        seconds = max(0, at - started) / 1e6 if started is not None else 0.0
    if abs(seconds) > LONGEST_SECONDS:
        refuse("duration_seconds", seconds, "is longer than three centuries")
    return seconds, max(0, at - round(seconds * 1e6)) if started is None else started


def outcome(cells: Cells, rolled_back: bool) -> tuple[bool, str]:
    """Return whether an evolution's result was kept, and its status; either may stand for both."""
    success, status = cells.flag("success"), cells.text("status")
    if status is not None:
        status = status.strip().lower()
        if status == ABANDONED:
            raise Unreadable(
                f"status: {ABANDONED!r} is derived by the stream from a start; import the starts"
            )
        if success is not None and status in STATUSES and success != (status == SUCCEEDED):
            raise Unreadable(f"success: is {success}, but status is {status!r}; correct one of them")
    if success is None:
        if status is None:
            raise Unreadable("success: is missing; give it, or a status")
        success = status == SUCCEEDED
    if status is None:
        status = SUCCEEDED if success else ROLLED_BACK if rolled_back else FAILED
    return success, status


def kpis(cells: Cells) -> tuple[dict[str, float], dict[str, float], dict[str, Any]]:
    """Return the KPIs before and after, and a gain that neither of them expresses."""
    pre = cells.numbers("pre_kpis", "pre_evolution_kpis")
    post = cells.numbers("post_kpis", "post_evolution_kpis")
    pre |= cells.beginning("pre_")
    post |= cells.beginning("post_")
    score, delta = cells.number("performance_score"), cells.number("improvement_delta", "actual_gain")
    baseline, quality = cells.number("baseline_performance"), cells.number("quality_score")
    scores = cells.text("objective") or "performance"
    if baseline is None and score is not None and delta is not None:
        baseline = score + delta if cells.text("direction") == MINIMIZE else score - delta
    if score is not None:
        post.setdefault(scores, score)
    if baseline is not None:
        pre.setdefault(scores, baseline)
    if quality is not None:
        post.setdefault("output_quality", quality)
    known = delta is None or score is not None or (bool(pre) and bool(post))
    return pre, post, {} if known else {"improvement_delta": delta}
