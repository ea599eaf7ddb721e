"""What only a report asks for: what became of the night as a whole, and what is still going on."""

from __future__ import annotations

from evometrics.deploy.ui.page import Section
from evometrics.deploy.ui.pages.statements import ENDED, GAIN, SINCE, Z
from evometrics.deploy.ui.pages.strategies import TABLE

ABOUT = f"""SELECT
    {ENDED} AS attempts,
    countIf(status = 'abandoned') AS abandoned,
    uniqExact(agent_id) AS agents,
    uniqExact(node_id) AS nodes,
    uniqExact(ifNull(objective, '')) AS objectives,
    countIf(isNotNull(improvement_delta)) AS measured,
    {GAIN} AS gain,
    if(measured > 1, {Z!r} * stddevSampOrNull(improvement_delta) / sqrt(measured), NULL) AS reach,
    gain - reach AS gain_low,
    gain + reach AS gain_high,
    min(started_at) AS began_at,
    max(occurred_at) AS last_at
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
HAVING count() > 0"""

STATUSES = f"""SELECT status, count() AS evolutions
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
GROUP BY status
ORDER BY evolutions DESC, status"""

#: Runs themselves: whether each has ended, and how.
ENDS = f"""SELECT
    ifNull(run_id, '') AS run,
    argMax(status, occurred_at) AS outcome,
    max(occurred_at) AS ended_at
FROM evolution_metrics
WHERE {SINCE} AND endsWith(evolution_type, '_run') AND status != 'abandoned'
GROUP BY run"""

OBJECTIVE = f"""SELECT
    arraySort(groupUniqArray(3)(ifNull(objective, 'performance'))) AS names,
    if(uniqExact(ifNull(direction, 'maximize')) = 1, ifNull(any(direction), 'maximize'), '') AS direction
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')"""

#: What has begun and not ended.
OPEN = f"""SELECT
    countIf(NOT endsWith(evolution_type, '_run')) AS evolutions,
    groupUniqArrayIf(20)(ifNull(run_id, ''), endsWith(evolution_type, '_run')) AS runs,
    max(occurred_at) AS last_began_at
FROM evolution_started
WHERE {SINCE} AND evolution_id NOT IN (SELECT evolution_id FROM evolution_metrics WHERE {{ended_when}})
HAVING count() > 0"""

LAST = """SELECT occurred_at
FROM evolution_metrics
WHERE occurred_at <= now64(6) + toIntervalHour(1) AND status != 'abandoned'
ORDER BY occurred_at DESC
LIMIT 1"""

KNOWN_RUNS = """SELECT run_id
FROM evolution_metrics
WHERE run_id IS NOT NULL AND occurred_at >= now() - toIntervalDay(30)
GROUP BY run_id
ORDER BY max(occurred_at) DESC
LIMIT 5"""


def by(column: str, name: str) -> Section:
    """Return the strategies page's table, by any column or expression; `name` is what it is called."""
    sql = TABLE.replace("{column}", column).replace("{name}", name)
    return Section(f"by-{name}", f"By {name}", sql)
