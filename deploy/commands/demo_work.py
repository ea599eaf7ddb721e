"""`evometrics demo`: the whole pipeline on agents that truly evolve, and what analysts then see."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from tqdm import tqdm

from evometrics.deploy.commands.local import local_stack
from evometrics.deploy.console.options import clickhouse_settings, config_file, kafka_settings
from evometrics.deploy.console.tables import QueryResult, table, to_json
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.deploy.pipeline.nodes import NodePlan, NodeResult, run_nodes, share
from evometrics.deploy.pipeline.reconcile import Reconciliation, mark, reconcile
from evometrics.deploy.stack.stackfile import StackAddresses
from evometrics.deploy.terminal import tell
from evometrics.deploy.ui.report.subject import of_nodes
from evometrics.deploy.ui.report.writing import plotted
from evometrics.schemas.service.settings import SettingsError, read_settings
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.streams.settings import StreamSettings

DRAIN_SECONDS = 120.0

#: An analyst's first questions; docs/tutorials/first-run.md shows the same queries.
REPORTS: tuple[tuple[str, str], ...] = (
    (
        "Success rate per strategy",
        """SELECT strategy_used AS strategy, count() AS attempts, countIf(success) AS successes,
       round(successes / attempts, 3) AS success_rate, round(avg(improvement_delta), 4) AS mean_gain
FROM evolution_metrics WHERE status != 'abandoned'
GROUP BY strategy ORDER BY success_rate DESC, strategy""",
    ),
    (
        "Agents that improved most",
        """SELECT agent_id, count() AS evolutions, round(sumIf(improvement_delta, success), 4) AS gain,
       round(argMaxIf(performance_score, occurred_at, success), 4) AS performance_now
FROM evolution_metrics GROUP BY agent_id ORDER BY gain DESC LIMIT 10""",
    ),
    (
        "Efficiency: gain per minute and GB of memory",
        """SELECT strategy_used AS strategy,
       round(avgOrNullIf(efficiency, efficiency > 0), 3) AS mean_efficiency,
       round(max(efficiency), 3) AS best, round(avg(duration_minutes) * 60, 2) AS seconds,
       round(avg(memory_used_mb), 0) AS memory_mb
FROM evolution_metrics WHERE status != 'abandoned'
GROUP BY strategy ORDER BY mean_efficiency DESC NULLS LAST""",
    ),
    (
        "Rolling success rate of the fleet",
        """SELECT window_seconds / 3600 AS hours, window_end, attempts, successes,
       round(success_rate, 3) AS rate, round(wilson_low, 3) AS low, round(wilson_high, 3) AS high
FROM success_rates WHERE scope = 'fleet' ORDER BY window_end DESC, hours LIMIT 1 BY hours""",
    ),
)


async def run_demo(args: argparse.Namespace, running: StackAddresses | None) -> int:
    """Run the demo on the running local stack, or on one of its own that ends with it.

    Returns the exit code: `FAILED` if a topic is not reconciled.
    """
    if args.agents < args.nodes or args.evolutions < args.nodes:
        raise SettingsError(
            "--agents and --evolutions must each be at least --nodes: a node without any has nothing to do"
        )
    began = time.monotonic()
    async with stack_for(args, running) as addresses:
        kafka = kafka_settings(args, addresses.brokers)
        clickhouse = clickhouse_settings(args, addresses.clickhouse_url, addresses)
        before = await mark(kafka, clickhouse)
        results = await evolve(args, addresses)
        tell("waiting until stream and sink have caught up")
        file = config_file(args)
        groups = pipeline_groups(
            read_settings(StreamSettings, "stream", file=file).group,
            read_settings(SinkSettings, "sink", file=file).group,
        )
        await drain(kafka, groups, DRAIN_SECONDS)
        sides = await reconcile(before, [r.recorded for r in results], kafka, clickhouse)
        evolutions = sum(r.report["evolutions"] for r in results)
        if args.json:
            document = {
                "recorded": sides.recorded,
                "stored": sides.stored,
                "evolutions": evolutions,
                "agents": sum(r.report["agents"] for r in results),
                "nodes": len(results),
                "seconds": round(time.monotonic() - began, 1),
            }
            print(to_json(document))
        else:
            await show(sides, results, clickhouse, addresses, args.data)
            if args.plots or sys.stdout.isatty():
                nodes = [each.node_id for each in results]
                print(f"\n{await plotted(clickhouse, of_nodes('This demo', nodes))}")
            print(f"\n{evolutions} evolutions in {time.monotonic() - began:.0f} s")
    return ExitCode.DONE if sides.equal else ExitCode.FAILED


@contextlib.asynccontextmanager
async def stack_for(
    args: argparse.Namespace, running: StackAddresses | None
) -> AsyncIterator[StackAddresses]:
    """Yield the addresses of the running stack, or of one started for this demo."""
    if running is not None:
        pages = f", whose pages are at {running.pages_url}" if running.pages_url else ""
        tell(f"using the stack running on {running.data}{pages}")
        yield running
        return
    async with local_stack(args) as stack:
        yield stack.addresses


async def evolve(args: argparse.Namespace, addresses: StackAddresses) -> list[NodeResult]:
    """Run the orchestrator nodes, with a progress bar each."""
    # a name that no earlier run had: another run's agents are different agents
    run = f"{int(time.time()):x}"
    plans = [
        NodePlan(f"node-{number + 1}-{run}", agents, evolutions, args.seed + number)
        for number, (agents, evolutions) in enumerate(
            zip(share(args.agents, args.nodes), share(args.evolutions, args.nodes), strict=True)
        )
    ]
    bars = {
        plan.node_id: tqdm(total=plan.evolutions, desc=plan.node_id, unit="evolution", position=number)
        for number, plan in enumerate(plans)
    }

    def advance(message: dict[str, Any]) -> None:
        bars[message["node_id"]].update()

    try:
        return await run_nodes(
            plans, kafka_settings(args, addresses.brokers), args.data, on_evolution=advance
        )
    finally:
        for bar in bars.values():
            bar.close()


async def show(
    sides: Reconciliation,
    results: list[NodeResult],
    clickhouse: ClickHouseSettings,
    addresses: StackAddresses,
    data: str,
) -> None:
    """Print the reports, then the reconciliation."""
    async with MetricsQuery(clickhouse) as query:
        for title, text in REPORTS:
            found = await query.sql(text)
            print(f"\n{title}\n\n{table(QueryResult(list(found.columns), list(found)))}")
    print(f"\n{'topic':34}  {'recorded':>8}  {'in ClickHouse':>13}")
    for topic, recorded in sides.recorded.items():
        stored = sides.stored[topic]
        print(f"{topic:34}  {recorded:8}  {stored:13}  {'equal' if recorded == stored else 'DIFFERENT'}")
    counted = ", ".join(
        f"{sum(r.report[name] for r in results)} {name.replace('_', ' ')}"
        for name in ("succeeded", "rolled_back", "failed", "retired")
    )
    print(f"\n{len(results)} orchestrator nodes: {counted}")
    to_read = f", to read as {addresses.reader_login}" if addresses.clickhouse_reader else ""
    served = f"`evometrics up` serves pages over it, and ClickHouse at {addresses.clickhouse_url}{to_read}"
    print(f"data is kept in {data}; {served}")
