"""The pages of `evometrics ui` over a night to look at: what a reader would choose on each of them."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.shown_night import SEARCH, night

AGENT = "gpu-1-agent-001"
CHOICES: dict[str, dict[str, str]] = {
    "run": {"run": SEARCH, "by": "cost_so_far"},
    "agent": {"agent": AGENT, "kpi": "overall_performance"},
    "strategies": {"by": "strategy_used"},
    "compare": {"what": "model", "a": "opus", "b": "haiku"},
    "pareto": {"run": SEARCH, "x": "latency_ms", "x_is": "minimize", "y": "memory_mb", "y_is": "minimize"},
}
#: The candidate that has the most offspring.
PARENT = """SELECT parent, any(event_id)
FROM (SELECT arrayJoin(parent_agent_ids) AS parent FROM evolution_metrics WHERE run_id = {run:String}) AS born
INNER JOIN (SELECT agent_id, event_id FROM evolution_completed WHERE run_id = {run:String}) AS made
    ON born.parent = made.agent_id
GROUP BY parent
ORDER BY count() DESC, parent
LIMIT 1"""


async def fill_night(settings: ClickHouseSettings, *, rounds: int, agents: int, candidates: int) -> None:
    """Store a night that ends now."""
    now = int(time.time() * 1_000_000)
    await fill(settings, night(now, rounds=rounds, agents=agents, candidates=candidates))


async def addresses(query: MetricsQuery) -> dict[str, str]:
    """Return the address of every page by its name, and those of pages on which nothing is chosen yet."""
    ((parent, event),) = await query.sql(PARENT, {"run": SEARCH})
    choices = {**CHOICES, "lineage": {"agent": parent, "show": "all"}, "candidate": {"event": str(event)}}
    chosen = {name: f"/{name}?{urlencode(given)}" for name, given in choices.items()}
    bare = {f"{name}-bare": f"/{name}" for name in choices if name != "strategies"}
    return {"tonight": "/tonight", "pipeline": "/pipeline", **chosen, **bare}
