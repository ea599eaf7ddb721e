"""One agent, by framework and run: its KPIs, its evolutions and what they came to."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import CustomVariable, Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from evometrics.deploy.grafana.fleet import AGENT, ALL, COST, STRATEGY, UNITS, columns
from evometrics.deploy.grafana.panels import (
    BAD,
    FAIR,
    GOOD,
    assembled,
    figures,
    limits,
    link_to,
    listing,
    series,
)
from evometrics.deploy.grafana.statements import (
    COST_PER_SUCCESS,
    ENDED,
    MINIMIZED,
    RUN,
    WHERE,
    chosen,
    newest,
    success,
)
from evometrics.deploy.grafana.targets import CLICKHOUSE, over_time, rows
from evometrics.schemas.kpis.performance import KPI_NAMES

UID, LINEAGE = AGENT, "Lineage of $agent"
#: Points of a series that has one for each evolution, the newest.
MOST = 5000
OF_AGENT = "agent_id = ${agent:singlequote}"
#: Evolutions of what was chosen, of all agents.
CHOSEN = f"{WHERE} AND {chosen('evolution_type', 'framework')} AND {chosen(RUN, 'run')}"
HERE = f"FROM evolution_metrics WHERE {OF_AGENT} AND {CHOSEN}"
OF_RUN = f"FROM evolution_metrics WHERE {CHOSEN}"

FRAMEWORKS = """SELECT DISTINCT evolution_type FROM evolution_metrics
WHERE $__timeFilter(occurred_at) AND NOT endsWith(evolution_type, '_run') ORDER BY evolution_type"""
RUNS = f"""SELECT {RUN} AS run FROM evolution_metrics
WHERE {WHERE} AND {chosen("evolution_type", "framework")}
GROUP BY run ORDER BY max(occurred_at) DESC LIMIT 200"""
AGENTS = f"SELECT agent_id {OF_RUN} GROUP BY agent_id ORDER BY max(occurred_at) DESC LIMIT 1000"

MEASURED = ", ".join(f"'{name}', {name}" for name in ("overall_performance", *KPI_NAMES))
KPIS = f"""SELECT occurred_at AS time, kpi, value
FROM
(
    SELECT occurred_at, mapConcat(
        mapFilter((name, value) -> isNotNull(value), map({MEASURED})),
        mapApply((name, value) -> (toString(name), toNullable(value)), extra)
    ) AS measured
    FROM kpi_snapshots
    WHERE {OF_AGENT} AND $__timeFilter(occurred_at)
    ORDER BY occurred_at DESC
    LIMIT 2000
)
ARRAY JOIN mapKeys(measured) AS kpi, mapValues(measured) AS value
WHERE $__conditionalAll(kpi IN (${{kpi:singlequote}}), $kpi)
ORDER BY time, kpi"""

SCORES = f"""SELECT occurred_at AS time, score,
    if(minimized, min(kept) OVER so_far, max(kept) OVER so_far) AS best_so_far
FROM
(
    SELECT occurred_at, source_event_id, performance_score AS score,
        if(success, performance_score, NULL) AS kept, (SELECT {MINIMIZED} {OF_RUN}) AS minimized
    {OF_RUN} AND performance_score IS NOT NULL
    ORDER BY occurred_at DESC LIMIT {MOST}
)
WINDOW so_far AS (ORDER BY occurred_at, source_event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ORDER BY time"""


def dashboard() -> DashboardModel:
    """Return the dashboard."""
    refreshed = VariableRefresh.ON_TIME_RANGE_CHANGED
    framework = QueryVariable("framework").label("Framework").query(FRAMEWORKS).refresh(refreshed)
    framework = framework.sort(VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).current(ALL)
    run = QueryVariable("run").label("Run").query(RUNS).refresh(refreshed)
    run = run.multi(True).include_all(True).current(ALL)
    agent = QueryVariable("agent").label("Agent").query(AGENTS).refresh(refreshed)
    agent = agent.description("The 1,000 last active ones of what is chosen; another's name can be typed.")
    names = ("overall_performance", *KPI_NAMES)
    first = VariableOption(selected=True, text=[names[0]], value=[names[0]])
    kpi = CustomVariable("kpi").label("KPI").values(",".join(names)).multi(True).include_all(True)
    start = (
        Dashboard("evometrics: agent")
        .uid(UID)
        .description("One agent: its KPIs, its evolutions, and the run that they belong to. Asks ClickHouse.")
        .time("now-7d", "now")
        .refresh("1m")
        .with_variable(CLICKHOUSE.choice)
        .with_variable(framework.datasource(CLICKHOUSE.reference))
        .with_variable(run.datasource(CLICKHOUSE.reference))
        .with_variable(agent.datasource(CLICKHOUSE.reference))
        .with_variable(kpi.current(first))
    )
    ancestor = {"agent": link_to(UID, "its history", agent="${__value.raw:percentencode}")}
    return assembled(
        start,
        CLICKHOUSE.reference,
        {
            "$agent at present": [
                figures(
                    "Recommendation",
                    "What the stream recommends by its thresholds: retain, evolve or retire. Nothing where "
                    "an evolution states an objective of its own, for which there are none.",
                    rows(
                        "SELECT argMax(recommendation, occurred_at) AS recommendation FROM kpi_deltas "
                        f"WHERE {OF_AGENT}"
                    ),
                    fields="/.*/",
                ),
                figures(
                    "Performance",
                    "Performance in the newest snapshot, and its change since the one before. Nothing where "
                    "no snapshot was recorded.",
                    rows(
                        "SELECT argMax(overall_performance, occurred_at) AS performance, "
                        f"argMax(overall_delta, occurred_at) AS change FROM kpi_deltas WHERE {OF_AGENT}"
                    ),
                    decimals=4,
                ),
                figures(
                    "Success rate",
                    "Share of its attempts that were kept, and the ends of the 95 % Wilson interval.",
                    rows(success(HERE)),
                    unit="percentunit",
                    decimals=1,
                    width=8,
                    thresholds=limits((0.2, FAIR), (0.5, GOOD), below=BAD),
                ),
                figures(
                    "Attempts and gain",
                    "Its attempts, and the gain of those that were kept, together.",
                    rows(
                        f"SELECT {ENDED} AS attempts, sumIf(improvement_delta, success) AS gain {HERE}",
                    ),
                ),
                figures(
                    "Cost per success",
                    "What its attempts cost, divided by the number of those that were kept. Nothing where "
                    "no cost is recorded, as in the demo.",
                    rows(f"SELECT {COST_PER_SUCCESS} AS cost_per_success {HERE}"),
                    unit="currencyUSD",
                ),
            ],
            "Over time": [
                series(
                    "KPIs",
                    "KPIs of its snapshots, those that are chosen above; the last 2,000 snapshots.",
                    over_time(KPIS),
                    label="kpi",
                    points=True,
                    least=None,
                ),
                series(
                    "Before and after",
                    "Performance before and after each of its evolutions that was kept.",
                    over_time(
                        newest(
                            "SELECT occurred_at AS time, baseline_performance AS before, "
                            f"performance_score AS after {HERE} AND success",
                            MOST,
                        )
                    ),
                    points=True,
                    least=None,
                ),
                series(
                    "Fitness by iteration",
                    "Fitness that its evolutions report while they run. Empty where they report none.",
                    over_time(
                        newest(
                            "SELECT occurred_at AS time, fitness, mean FROM evolution_progressed "
                            f"WHERE {OF_AGENT} AND $__timeFilter(occurred_at) AND fitness IS NOT NULL",
                            MOST,
                        )
                    ),
                    points=True,
                    least=None,
                ),
                series(
                    "Duration",
                    "How long each of its evolutions took.",
                    over_time(
                        newest(
                            f"SELECT occurred_at AS time, duration_minutes * 60 AS duration {HERE} "
                            "AND status != 'abandoned' AND duration_minutes IS NOT NULL",
                            MOST,
                        )
                    ),
                    unit="s",
                    points=True,
                ),
            ],
            "Evolutions of $agent": [
                listing(
                    "By strategy",
                    f"How each strategy did on this agent; low and high are the 95 % Wilson interval. {COST}",
                    rows(
                        f"{columns(f'{STRATEGY} AS strategy')} {HERE} GROUP BY strategy ORDER BY attempts "
                        "DESC"
                    ),
                    units=UNITS,
                ),
                listing(
                    "Evolutions",
                    "Its last 1,000 evolutions.",
                    rows(
                        f"SELECT occurred_at AS time, status, {STRATEGY} AS strategy, {RUN} AS run, "
                        "generation, baseline_performance AS before, performance_score AS after, "
                        "improvement_delta AS gain, duration_minutes * 60 AS duration, cost_usd AS cost, "
                        "model, "
                        f"arrayStringConcat(parent_agent_ids, ', ') AS parents {HERE} "
                        "ORDER BY time DESC LIMIT 1000"
                    ),
                    units={"cost": "currencyUSD", "duration": "s"},
                ),
            ],
            "What is chosen above: $framework, $run": [
                series(
                    "Scores",
                    "Score of each evolution of the framework and run that are chosen, whichever agent's, "
                    "and the best so far of those that were kept: the lowest where it is minimized. The "
                    "last 5,000; choose one run, for scores of different objectives have no order.",
                    over_time(SCORES),
                    width=16,
                    points=True,
                    least=None,
                ),
                listing(
                    "Best agents",
                    "The 50 best scores of the framework and run that are chosen.",
                    rows(
                        "SELECT agent_id AS agent, performance_score AS score, improvement_delta AS gain, "
                        f"occurred_at AS time {OF_RUN} AND success AND performance_score IS NOT NULL "
                        "ORDER BY if(direction = 'minimize', -performance_score, performance_score) DESC "
                        "LIMIT 50"
                    ),
                    width=8,
                    links=ancestor,
                ),
            ],
            LINEAGE: [
                listing(
                    "Ancestors",
                    "Agents whose states its own goes back to, and what each step gained. Empty where it "
                    "was made from no other, as most agents of the demo.",
                    rows(
                        "SELECT distance, agent_id AS agent, child_agent_id AS made, strategy_used AS "
                        "strategy, gain, occurred_at AS time FROM agent_ancestors(agent = "
                        "${agent:singlequote}) ORDER BY distance, time DESC LIMIT 1000"
                    ),
                    width=12,
                    links=ancestor,
                ),
                listing(
                    "Descendants",
                    "Agents that were made from its states, and from theirs. Empty where there are none.",
                    rows(
                        "SELECT distance, agent_id AS agent, parent_agent_id AS parent, strategy_used AS "
                        "strategy, gain, occurred_at AS time FROM agent_descendants(agent = "
                        "${agent:singlequote}) ORDER BY distance, time DESC LIMIT 1000"
                    ),
                    width=12,
                    links=ancestor,
                ),
            ],
        },
        closed=LINEAGE,
    )
