"""One run: the score of every candidate, the best so far, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.looks import ACCENT
from evometrics.deploy.ui.page import NO_LIMIT, Choice, Page, Rows, Section, share
from evometrics.deploy.ui.pages.statements import ENDED, OF_RUN, RATES

#: Height of the chart of scores.
TALL = 340
#: Dots of the chart at most: a third of a second to draw.
MOST_DOTS = 800

LAST_RUNS = """SELECT run_id
FROM evolution_metrics
WHERE occurred_at >= now() - toIntervalDay(30) AND run_id IS NOT NULL
GROUP BY run_id
ORDER BY max(occurred_at) DESC
LIMIT 100"""

#: Of each of so many equal shares of a run the last candidate that was the best by then, else the last with
#: a score: so the line is right to a share's width, and the best score exact.
CANDIDATES = f"""SELECT *
FROM
(
    SELECT
        event_id,
        agent_id,
        status,
        generation,
        row_number() OVER in_order AS candidate,
        sum(coalesce(evaluations, 1)) OVER in_order AS evaluations_so_far,
        sum(coalesce(cost_usd, 0)) OVER in_order AS cost_so_far,
        score,
        if(
            any(direction) OVER () = 'minimize',
            min(score) OVER in_order,
            max(score) OVER in_order
        ) AS best_so_far,
        count() OVER () AS of_all
    FROM
    (
        SELECT
            source_event_id AS event_id,
            agent_id,
            occurred_at,
            status,
            generation,
            evaluations,
            cost_usd,
            direction,
            performance_score AS score
        FROM evolution_metrics
        WHERE {OF_RUN}
            AND NOT endsWith(evolution_type, '_run')
    )
    WINDOW in_order AS (ORDER BY occurred_at, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ORDER BY score = best_so_far DESC NULLS LAST, candidate DESC
    LIMIT 1 BY intDiv((candidate - 1) * {{dots:UInt32}}, greatest(of_all, {{dots:UInt32}}))
)
ORDER BY candidate"""

BY_GENERATION = """SELECT
    iteration AS generation,
    argMax(fitness, occurred_at) AS best,
    argMax(mean, occurred_at) AS mean,
    argMax(evaluations, occurred_at) AS evaluations,
    argMax(front_size, occurred_at) AS front_size
FROM evolution_progressed
WHERE evolution_id = {run:String}
GROUP BY iteration
ORDER BY iteration"""

SHORT = f"""SELECT
    {ENDED} AS attempts,
    countIf(success) AS succeeded,
    {RATES},
    if(any(direction) = 'minimize', min(performance_score), max(performance_score)) AS best_score,
    sumOrNull(evaluations) AS evaluations,
    sumOrNull(cost_usd) AS cost_usd,
    sumOrNull(tokens_in) AS tokens_in,
    sumOrNull(tokens_out) AS tokens_out,
    sum(duration_minutes) AS minutes,
    min(started_at) AS began_at,
    max(occurred_at) AS last_at
FROM evolution_metrics
WHERE {OF_RUN}
    AND NOT endsWith(evolution_type, '_run')
HAVING count() > 0"""

BEST = f"""SELECT
    source_event_id AS event_id,
    agent_id,
    performance_score AS score,
    improvement_delta AS gain,
    status,
    strategy_used,
    model,
    generation,
    cost_usd,
    arrayStringConcat(parent_agent_ids, ', ') AS parents
FROM evolution_metrics
WHERE {OF_RUN}
    AND NOT endsWith(evolution_type, '_run')
ORDER BY if(direction = 'minimize', -performance_score, performance_score) DESC NULLS LAST
LIMIT 50"""

AXES = {
    "candidate": "candidate",
    "generation": "generation",
    "evaluations_so_far": "evaluations",
    "cost_so_far": "cost, USD",
}


def scores(axis: str) -> Any:
    """Return what draws candidates and the best so far over an axis."""

    def draw(rows: Rows) -> dict[str, Any]:
        title = AXES[axis]
        base = alt.Chart(charts.data(charts.linked(rows, "candidate", "event", "event_id"))).encode(
            x=alt.X(f"{axis}:Q", title=f"{title[0].upper()}{title[1:]}")
        )
        dots = base.mark_point(filled=True, opacity=0.85).encode(
            color=charts.status_colour(rows),
            shape=charts.status_shape(rows),
            href="link:N",
            tooltip=charts.tooltip(
                ("agent_id:N", "candidate"),
                ("score:Q", "score"),
                ("status:N", "status"),
                (f"{axis}:Q", title),
            ),
        )
        scored = dots.transform_filter("isValid(datum.score)").encode(
            y=alt.Y("score:Q", title="Score", scale=alt.Scale(zero=False))
        )
        without = dots.transform_filter("!isValid(datum.score)").encode(y=alt.value(TALL - 6))
        line = base.mark_line(interpolate="step-after", color=ACCENT).encode(y="best_so_far:Q")
        return charts.layered(
            [line, scored, without], f"Score of each candidate and the best so far, by {title}.", height=TALL
        )

    return draw


def told(rows: Rows) -> str:
    """Return how many candidates are drawn."""
    if part := share(len(rows), rows[0]["of_all"], "candidates"):
        return f"{part} Those that were the best by then come first."
    return ""


def generations(rows: Rows) -> dict[str, Any]:
    """Draw best and mean by generation."""
    lines = alt.Chart(charts.data(rows)).transform_fold(["best", "mean"], as_=["which", "value"])
    chart = lines.mark_line(point=True).encode(
        x=alt.X("generation:Q", title="Generation", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("value:Q", title="Fitness", scale=alt.Scale(zero=False)),
        color=alt.Color("which:N", title=None),
        strokeDash=alt.StrokeDash("which:N", title=None),
        tooltip=charts.tooltip(("generation:Q", "generation"), ("which:N", "which"), ("value:Q", "fitness")),
    )
    return charts.layered([chart], "Best and mean fitness by generation.")


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    run = {"run": state["run"]}
    if not state["run"]:
        return (
            Section(
                "runs", "Last runs", LAST_RUNS, links={"run_id": ("run", "run")}, empty="No run in 30 days."
            ),
        )
    return (
        Section("short", "In short", SHORT, run, kind="figures", empty="No candidate of this run is known."),
        Section(
            "scores",
            "Scores",
            CANDIDATES,
            {**run, "dots": MOST_DOTS},
            scores(state["by"]),
            note="A dot is a candidate, at the bottom where it has no score; the line is the best so far.",
            told=told,
            whole={"dots": NO_LIMIT},
            links={"event_id": ("candidate", "event"), "agent_id": ("agent", "agent")},
        ),
        Section(
            "generations",
            "Generations",
            BY_GENERATION,
            run,
            generations,
            empty="Its recorder reported no generations.",
        ),
        Section(
            "best",
            "Best candidates",
            BEST,
            run,
            links={"event_id": ("candidate", "event"), "agent_id": ("agent", "agent")},
        ),
    )


PAGE = Page(
    "run",
    "Run",
    "A study, a genetic algorithm, a night: every candidate's score, and what it cost.",
    sections,
    (
        Choice("run", "Run", suggestions=LAST_RUNS),
        Choice("by", "Over", "candidate", AXES),
    ),
)
