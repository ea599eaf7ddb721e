"""The fleet: how evolutions go over all agents, runs, strategies and nodes."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from evometrics.deploy.grafana.panels import (
    BAD,
    FAIR,
    GOOD,
    STATUS_COLOURS,
    assembled,
    figures,
    limits,
    link_to,
    listing,
    series,
)
from evometrics.deploy.grafana.statements import (
    AT,
    BEST,
    BY_STATUS,
    COST_PER_SUCCESS,
    ENDED,
    GAIN,
    MINIMIZED,
    RATES,
    RUN,
    WHERE,
    chosen,
    success,
)
from evometrics.deploy.grafana.targets import CLICKHOUSE, over_time, rows

UID, AGENT = "evometrics-fleet", "evometrics-agent"
ALL = VariableOption(selected=True, text="All", value="$__all")
HERE = f"FROM evolution_metrics WHERE {WHERE} AND {chosen('evolution_type', 'type')}"
STRATEGY = "if(strategy_used = '', '(none)', toString(strategy_used))"
#: Runs of which curves are drawn.
CURVES = 10

TYPES = """SELECT DISTINCT evolution_type FROM evolution_metrics
WHERE $__timeFilter(occurred_at) AND NOT endsWith(evolution_type, '_run') ORDER BY evolution_type"""

# A window is known before it ends, by as much as its step: at most a sixth of it, as the stream has them.
ROLLING = """SELECT least(window_end, $__toTime) AS time,
    concat(toString(intDiv(window_seconds, 3600)), ' h') AS hours,
    argMin(success_rate, window_end) AS success_rate
FROM success_rates
WHERE scope = 'fleet' AND occurred_at >= $__fromTime
    AND occurred_at < $__toTime + toIntervalSecond(intDiv(window_seconds, 6))
GROUP BY time, hours
ORDER BY time, hours"""

BEST_SO_FAR = f"""SELECT time, run, if(minimized, min(best) OVER so_far, max(best) OVER so_far) AS best_score
FROM
(
    SELECT {AT}, {RUN} AS run, {MINIMIZED} AS minimized, {BEST} AS best
    {HERE} AND success AND performance_score IS NOT NULL
        AND {RUN} IN (SELECT {RUN} AS run {HERE} GROUP BY run ORDER BY max(occurred_at) DESC LIMIT {CURVES})
    GROUP BY time, run
)
WINDOW so_far AS (PARTITION BY run ORDER BY time)
ORDER BY time, run"""


def columns(by: str) -> str:
    """Return how evolutions went by something, most attempts first."""
    return f"""SELECT {by},
    {ENDED} AS attempts,
    countIf(success) AS succeeded,
    {RATES},
    {GAIN} AS mean_gain,
    sumOrNull(cost_usd) AS cost,
    {COST_PER_SUCCESS} AS cost_per_success,
    countIf(cost_usd IS NULL) AS without_cost"""


UNITS = {
    "success_rate": "percentunit",
    "low": "percentunit",
    "high": "percentunit",
    "cost": "currencyUSD",
    "cost_per_success": "currencyUSD",
    "last_at": "dateTimeFromNow",
}
COST = "Costs are US dollars, as far as they are known; without_cost counts evolutions whose cost is not."


def dashboard() -> DashboardModel:
    """Return the dashboard."""
    types = QueryVariable("type").label("Type").datasource(CLICKHOUSE.reference).query(TYPES)
    types = types.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    start = (
        Dashboard("evometrics: fleet")
        .uid(UID)
        .description("How evolutions go, over all agents, runs, strategies and nodes. Asks ClickHouse.")
        .time("now-24h", "now")
        .refresh("1m")
        .with_variable(CLICKHOUSE.choice)
        .with_variable(types.multi(True).include_all(True).current(ALL))
    )
    return assembled(
        start,
        CLICKHOUSE.reference,
        {
            "In short": [
                figures(
                    "Attempts",
                    "Evolutions that ended, whatever their status; abandoned ones did not end.",
                    rows(f"SELECT {ENDED} AS attempts {HERE}"),
                ),
                figures(
                    "Success rate",
                    "Share of the attempts whose result was kept, and the ends of its 95 % Wilson interval: "
                    "with few attempts they are far apart.",
                    rows(success(HERE)),
                    unit="percentunit",
                    decimals=1,
                    width=8,
                    thresholds=limits((0.2, FAIR), (0.5, GOOD), below=BAD),
                ),
                figures(
                    "Mean gain",
                    "Mean of how much better the performance got, of the evolutions for which it is known. "
                    "Nothing where they have different objectives: their gains have no mean.",
                    rows(f"SELECT {GAIN} AS mean_gain {HERE}"),
                    decimals=4,
                ),
                figures(
                    "Cost per success",
                    "What all attempts cost, divided by the number of those that were kept; attempts whose "
                    "cost is unknown add nothing. Nothing where no cost is recorded, as in the demo.",
                    rows(f"SELECT {COST_PER_SUCCESS} AS cost_per_success {HERE}"),
                    unit="currencyUSD",
                ),
                figures(
                    "Agents and nodes",
                    "Agents that evolved, and nodes that recorded it.",
                    rows(f"SELECT uniqExact(agent_id) AS agents, uniqExact(node_id) AS nodes {HERE}"),
                ),
            ],
            "Over time": [
                series(
                    "Attempts by status",
                    "Evolutions by when they ended. Rolled back, rejected and pruned ones are the search at "
                    "work; failed ones broke, abandoned ones were not heard of again.",
                    over_time(f"SELECT {AT}, {BY_STATUS} {HERE} GROUP BY time ORDER BY time"),
                    bars=True,
                    colours=STATUS_COLOURS,
                ),
                series(
                    "Success rate over time",
                    "Share of the attempts that were kept, with its 95 % Wilson interval.",
                    over_time(
                        f"SELECT time, success_rate, low, high FROM (SELECT {AT}, {ENDED} AS attempts, "
                        f"countIf(success) AS succeeded, {RATES} {HERE} GROUP BY time) ORDER BY time"
                    ),
                    unit="percentunit",
                    band=("low", "high"),
                    most=1,
                ),
                series(
                    "Rolling success rate of the fleet",
                    "As the stream computes it, for each length of its windows (an hour, a day and a week "
                    "unless set otherwise), over every type. The newest window has not ended yet, and is "
                    "drawn where the dashboard's time ends. Not filtered by the type above.",
                    over_time(ROLLING),
                    unit="percentunit",
                    label="hours",
                    most=1,
                ),
                series(
                    "Gain by strategy",
                    "Mean gain of the evolutions that were kept, by strategy.",
                    over_time(
                        f"SELECT {AT}, {STRATEGY} AS strategy, avgOrNullIf(improvement_delta, success) AS "
                        "gain "
                        f"{HERE} GROUP BY time, strategy HAVING gain IS NOT NULL ORDER BY time, strategy"
                    ),
                    label="strategy",
                    points=True,
                    least=None,
                ),
                series(
                    "Best score by run",
                    f"Best score so far of each of the last {CURVES} runs, of what was kept: the lowest "
                    "where it is minimized. Evolutions without a run go by their type.",
                    over_time(BEST_SO_FAR),
                    label="run",
                    least=None,
                ),
                series(
                    "Duration",
                    "How long evolutions took: the median, and what nine of ten stay below. Abandoned ones "
                    "are not counted.",
                    over_time(
                        f"SELECT {AT}, quantile(0.5)(duration_minutes) * 60 AS median, "
                        f"quantile(0.9)(duration_minutes) * 60 AS p90 {HERE} AND status != 'abandoned' "
                        "AND duration_minutes IS NOT NULL GROUP BY time ORDER BY time"
                    ),
                    unit="s",
                ),
                series(
                    "Cost",
                    "What evolutions cost, by model. Empty where no cost is recorded, as in the demo.",
                    over_time(
                        f"SELECT {AT}, ifNull(model, '(no model)') AS made_by, sum(cost_usd) AS cost {HERE} "
                        "AND cost_usd IS NOT NULL GROUP BY time, made_by ORDER BY time, made_by"
                    ),
                    unit="currencyUSD",
                    label="made_by",
                    bars=True,
                ),
                series(
                    "Peak memory",
                    "Peak memory of an evolution's process and children: the median, and the largest.",
                    over_time(
                        f"SELECT {AT}, quantile(0.5)(memory_used_mb) AS median, max(memory_used_mb) AS "
                        "largest "
                        f"{HERE} AND memory_used_mb IS NOT NULL GROUP BY time ORDER BY time"
                    ),
                    unit="decmbytes",
                ),
            ],
            "Which, and where": [
                listing(
                    "Strategies",
                    f"How each strategy did; low and high are the 95 % Wilson interval. {COST}",
                    rows(
                        f"{columns(f'{STRATEGY} AS strategy')} {HERE} GROUP BY strategy ORDER BY attempts "
                        "DESC"
                    ),
                    units=UNITS,
                ),
                listing(
                    "Runs",
                    "The last 200 runs; a run leads to its evolutions. Evolutions without a run go by their "
                    f"type. {COST}",
                    rows(
                        f"{columns(f'{RUN} AS run, evolution_type AS framework')}, {BEST} AS best_score, "
                        f"max(occurred_at) AS last_at {HERE} GROUP BY run, framework "
                        "ORDER BY last_at DESC LIMIT 200"
                    ),
                    units=UNITS,
                    links={
                        "run": link_to(
                            AGENT,
                            "its evolutions",
                            framework="${__data.fields.framework:percentencode}",
                            run="${__value.raw:percentencode}",
                        )
                    },
                ),
                listing(
                    "Agents",
                    "The 100 agents that gained most; an agent leads to its history.",
                    rows(
                        f"SELECT agent_id AS agent, {ENDED} AS attempts, countIf(success) AS succeeded, "
                        "sumIf(improvement_delta, success) AS gain, argMaxIf(performance_score, "
                        "occurred_at, success) AS score, max(occurred_at) AS last_at "
                        f"{HERE} GROUP BY agent ORDER BY gain DESC LIMIT 100"
                    ),
                    width=12,
                    units=UNITS,
                    links={"agent": link_to(AGENT, "its history", agent="${__value.raw:percentencode}")},
                ),
                listing(
                    "Nodes",
                    "What each node recorded, and when it last did.",
                    rows(
                        f"SELECT node_id AS node, {ENDED} AS attempts, countIf(success) AS succeeded, "
                        f"{RATES}, "
                        f"max(occurred_at) AS last_at {HERE} GROUP BY node ORDER BY last_at DESC LIMIT 1000"
                    ),
                    width=12,
                    units=UNITS,
                ),
                listing(
                    "What failed",
                    "The last 50 evolutions that failed, and why. Empty where none did.",
                    rows(
                        "SELECT occurred_at AS time, agent_id AS agent, evolution_type AS type, "
                        "strategy_used AS strategy, node_id AS node, insights[1] AS reason FROM "
                        "evolution_completed "
                        f"WHERE $__timeFilter(occurred_at) AND {chosen('evolution_type', 'type')} "
                        "AND status = 'failed' ORDER BY time DESC LIMIT 50"
                    ),
                    links={"agent": link_to(AGENT, "its history", agent="${__value.raw:percentencode}")},
                ),
            ],
        },
    )
