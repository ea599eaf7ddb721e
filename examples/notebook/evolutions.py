"""Where an analyst starts from: success, cost, scores and lineage, over ClickHouse.

`marimo edit examples/notebook/evolutions.py` opens it; run by `python`, it prints its tables.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Evolutions")


@app.cell(hide_code=True)
def title(mo):
    mo.md("""
    # Evolutions

    What became of the evolutions of the last days: success by strategy with its interval, what an improvement
    costs, how scores grew, and what an agent was made from. A cell is computed again when what it reads
    changes. Copy one, and change it.
    """)
    return


@app.cell
def imports():
    import html
    import math
    from pathlib import Path

    import altair as alt
    import clickhouse_connect
    import marimo as mo
    import pandas as pd

    from evometrics.deploy.stack.stackfile import read_stack
    from evometrics.schemas.service.settings import read_settings
    from evometrics.sinks.settings import ClickHouseSettings

    return ClickHouseSettings, Path, alt, clickhouse_connect, html, math, mo, pd, read_settings, read_stack


@app.cell
def connect(ClickHouseSettings, Path, clickhouse_connect, read_settings, read_stack):
    # EVOMETRICS_CLICKHOUSE_URL, _USER, _PASSWORD and _DATABASE; else the local stack that runs in this folder
    stack = read_stack(Path(".evometrics"))
    local = {"url": stack.clickhouse_url, "user": stack.clickhouse_reader or "default"} if stack else {}
    settings = read_settings(ClickHouseSettings, "clickhouse", file={"clickhouse": local})
    client = clickhouse_connect.get_client(
        dsn=settings.url, username=settings.user, password=settings.password, database=settings.database
    )
    return (client,)


@app.cell
def period(mo):
    days = mo.ui.slider(1, 90, value=7, label="Days back", show_value=True)
    days
    return (days,)


@app.cell
def read(client, days):
    # a row for each evolution that ended; rows that stand for a run as a whole are left out
    evolutions = client.query_df(
        """
        SELECT occurred_at, agent_id, run_id, strategy_used AS strategy, model, status, success, objective,
               direction, performance_score AS score, improvement_delta AS gain, cost_usd
        FROM evolution_metrics
        WHERE occurred_at >= now() - toIntervalDay({days:UInt32})
            AND status != 'abandoned' AND NOT endsWith(evolution_type, '_run')
        ORDER BY occurred_at, event_id
        """,
        parameters={"days": days.value},
    )
    evolutions
    return (evolutions,)


@app.cell
def wilson(math):
    def interval(successes, attempts, z=1.959963984540054):
        """Return the 95 % interval of a success rate (Wilson, 1927)."""
        share = successes / attempts
        reach = z * math.sqrt(share * (1 - share) / attempts + z * z / (4 * attempts**2))
        middle, scale = share + z * z / (2 * attempts), 1 + z * z / attempts
        return (middle - reach) / scale, (middle + reach) / scale

    return (interval,)


@app.cell
def success_rates(alt, evolutions, interval, mo):
    success = (
        evolutions.groupby("strategy", as_index=False)
        .agg(attempts=("success", "size"), successes=("success", "sum"), mean_gain=("gain", "mean"))
        .sort_values("attempts", ascending=False, ignore_index=True)
    )
    success["rate"] = success.successes / success.attempts
    bounds = [interval(*pair) for pair in zip(success.successes, success.attempts, strict=True)]
    success["low"], success["high"] = [low for low, _ in bounds], [high for _, high in bounds]

    by_strategy = alt.Chart(success).encode(y=alt.Y("strategy:N", sort="-x", title=None))
    rates = by_strategy.mark_rule(strokeWidth=5, opacity=0.4).encode(
        x=alt.X("low:Q", title="Success rate, 95 % interval", axis=alt.Axis(format="%")), x2="high:Q"
    ) + by_strategy.mark_point(filled=True, size=110, opacity=1).encode(x="rate:Q")
    mo.vstack([mo.md("## Success by strategy"), rates, success])
    return (success,)


@app.cell
def costs(evolutions, mo):
    # the cost of all attempts, those too that failed, by what was kept; attempts without a cost are counted
    priced = evolutions.assign(model=evolutions.model.fillna("(none)"))
    cost = priced.groupby(["model", "strategy"], as_index=False).agg(
        attempts=("success", "size"),
        improved=("success", "sum"),
        cost=("cost_usd", lambda known: known.sum(min_count=1)),
        cost_unknown=("cost_usd", lambda known: known.isna().sum()),
    )
    cost = cost[cost.cost.notna()].reset_index(drop=True)
    cost["cost_per_improvement"] = (cost.cost / cost.improved).where(cost.improved > 0)
    mo.vstack([mo.md("## Cost per improvement"), cost])
    return (cost,)


@app.cell
def score_curves(alt, evolutions, mo, pd):
    # the best so far of each run, by the direction of its objective; agents without a run are one
    tried = evolutions.assign(run=evolutions.run_id.fillna("agents without a run"))
    tried["candidate"] = tried.groupby("run").cumcount() + 1
    tried["sign"] = tried.direction.map({"minimize": -1.0}).fillna(1.0)
    signed = (pd.to_numeric(tried.score) * tried.sign).groupby(tried.run)
    tried["best"] = signed.cummax().groupby(tried.run).ffill() * tried.sign
    scores = tried[["run", "candidate", "agent_id", "status", "score", "best"]]

    over = alt.Chart(scores).encode(x=alt.X("candidate:Q", title="Candidate"))
    level = alt.Y("score:Q", title="Score", scale=alt.Scale(zero=False))
    curves = (
        over.mark_point(filled=True, size=40).encode(y=level, color="status:N")
        + over.mark_line(interpolate="step-after", color="black").encode(y="best:Q")
    ).facet(row=alt.Row("run:N", title=None))
    mo.vstack([mo.md("## Scores"), curves.resolve_scale(x="independent", y="independent")])
    return (scores,)


@app.cell
def choose_agent(client, mo):
    merged = client.query_df(
        "SELECT agent_id FROM agent_parents GROUP BY agent_id ORDER BY max(occurred_at) DESC LIMIT 200"
    )
    known = list(merged.agent_id) if len(merged) else []
    agent = mo.ui.dropdown(known, value=known[0] if known else None, label="Agent", searchable=True)
    mo.vstack([mo.md("## What an agent was made from"), agent])
    return (agent,)


@app.cell
def lineage(agent, client, html, mo):
    # a row for each step from a child to one of its parents; a merge has a row for each of them
    ancestors = client.query_df(
        """
        SELECT distance, child_agent_id AS child, agent_id AS parent, strategy_used AS strategy, gain
        FROM agent_ancestors(agent = {agent:String})
        ORDER BY distance, child, parent
        """,
        parameters={"agent": agent.value or ""},
    )
    places = {name: n for n, name in enumerate(dict.fromkeys([*ancestors.parent, *ancestors.child]))}
    nodes = [f'a{n}["{html.escape(name)}"]' for name, n in places.items()]
    edges = [f"a{places[row.parent]} --> a{places[row.child]}" for row in ancestors.itertuples()]
    graph = (
        mo.mermaid("\n".join(["graph LR", *nodes, *edges])) if edges else mo.md("It was made from no other.")
    )
    mo.vstack([graph, ancestors])
    return (ancestors,)


@app.cell
def as_script(ancestors, cost, mo, scores, success):
    if mo.app_meta().mode == "script":
        best = scores.groupby("run", as_index=False).last()[["run", "candidate", "best"]]
        for heading, table in (
            ("Success by strategy", success),
            ("Cost per improvement", cost),
            ("Best score", best),
            ("Ancestors", ancestors),
        ):
            print(f"\n{heading}\n{table.to_string(index=False)}")
    return


if __name__ == "__main__":
    app.run()
