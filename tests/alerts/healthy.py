"""A healthy hour: the rules as they are, over a stack that people run, with a night's load and nothing wrong.

`evometrics up` with three brokers and two sinks, and three nodes (`tests.alerts.night`), scraped and judged
every 15 seconds, as the example of Prometheus' configuration has it. Every 15 seconds it prints which alerts
are pending or fire.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evometrics.deploy.process.ports import HOST
from tests.alerts.prometheus import RULES, Prometheus
from tests.faults.parts import PARTITIONS, ROOT
from tests.support.stack import Running, running_stack

STACK = ("--local-brokers", "3", "--replication", "3", "--sinks", "2")
NODES = 3
EVERY_SECONDS = 15.0
NODE_STOP_SECONDS = 30.0
STAYS_SECONDS = 120.0
#: What the summary says of the hour, by PromQL; `{span}` is its length.
FIGURES = {
    "evolutions": "sum(increase(evometrics_evolution_attempts_total[{span}]))",
    "of them failed": 'sum(increase(evometrics_evolution_attempts_total{{status="failed"}}[{span}]))',
    "events sent a second": "sum(increase(evometrics_events_sent_total[{span}])) / {seconds}",
    "targets": "count(up)",
    "scrapes that failed": "sum(count_over_time(up[{span}]) - sum_over_time(up[{span}]))",
    "slowest scrape, seconds": "max(max_over_time(scrape_duration_seconds[{span}]))",
    "largest lag, messages": "max(max_over_time(evometrics_consumer_lag[{span}]))",
}


async def healthy(folder: Path, minutes: float) -> int:
    """Watch for so many minutes; 1 where an alert fired, or one stays pending at the end."""
    prometheus = Prometheus(folder / "prometheus", RULES.read_text(), EVERY_SECONDS, EVERY_SECONDS)
    with running_stack(folder / "stack", PARTITIONS, *STACK) as up:
        async with nodes(folder, up) as addresses:
            prometheus.scrape("evometrics-sink", *addresses_of(up, "sink"))
            prometheus.scrape("evometrics-stream", *addresses_of(up, "stream"))
            prometheus.scrape("evometrics-node", *addresses)
            prometheus.start()
            try:
                await prometheus.until_ready()
                return await watched(prometheus, minutes * 60)
            finally:
                prometheus.stop()


async def watched(prometheus: Prometheus, seconds: float) -> int:
    """Print the alerts every 15 seconds, and then what they were."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(EVERY_SECONDS)
        states = await asyncio.to_thread(states_of, prometheus)
        said = ", ".join(f"{name} {state}" for name, state in states)
        print(f"{datetime.now():%H:%M:%S} {said or 'no alert'}", flush=True)
    return await asyncio.to_thread(summed_up, prometheus, seconds)


def summed_up(prometheus: Prometheus, seconds: float) -> int:
    """Print the hour's figures, and every evaluation that had an alert; 1 where not all was quiet."""
    itself = prometheus.itself()
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    failed = sum(each for name, each in itself.items() if "rule_evaluation_failures_total" in name)
    judged = sum(each for name, each in itself.items() if "rule_evaluations_total" in name)
    missed = sum(each for name, each in itself.items() if "group_iterations_missed_total" in name)
    unhealthy = [rule["name"] for rule in rules if rule["health"] != "ok"]
    print(f"{seconds / 60:g} minutes: {len(rules)} rules, evaluated {judged:,.0f} times, {failed:.0f} failed")
    print(f"groups left out since Prometheus was late: {missed:.0f}")
    for what, expression in FIGURES.items():
        found = prometheus.value(expression.format(span=f"{seconds:.0f}s", seconds=seconds))
        print(f"{what}: {'none' if found is None else format(found, ',.6g')}")
    times = f"sum by (alertname, alertstate) (count_over_time(ALERTS[{seconds:.0f}s]))"
    fired = set()
    for each in prometheus.ask("query", query=times)["result"]:
        name, state = each["metric"]["alertname"], each["metric"]["alertstate"]
        print(f"{name} was {state} at {each['value'][1]} of {seconds / EVERY_SECONDS:.0f} evaluations")
        fired |= {name} if state == "firing" else set()
    pending = sorted(staying(prometheus))
    print(f"fired: {', '.join(sorted(fired)) or 'none'}; stays pending: {', '.join(pending) or 'none'}")
    return 1 if fired or pending or failed or unhealthy else 0


def states_of(prometheus: Prometheus) -> list[tuple[str, str]]:
    """Return which alerts are pending or fire, each state of a name once."""
    alerts: list[dict[str, Any]] = prometheus.ask("alerts")["alerts"]
    return sorted({(each["labels"]["alertname"], each["state"]) for each in alerts})


def staying(prometheus: Prometheus) -> set[str]:
    """Return which alerts have been pending, or firing, for longer than a scrape or two that failed."""
    began = datetime.now(UTC) - timedelta(seconds=STAYS_SECONDS)
    alerts: list[dict[str, Any]] = prometheus.ask("alerts")["alerts"]
    return {
        each["labels"]["alertname"] for each in alerts if datetime.fromisoformat(each["activeAt"]) < began
    }


def addresses_of(up: Running, kind: str) -> Iterator[str]:
    for name, url in up.metrics_urls.items():
        if name.startswith(kind):
            yield urlsplit(url).netloc


@asynccontextmanager
async def nodes(folder: Path, up: Running) -> AsyncIterator[list[str]]:
    """Run the nodes; the addresses of their metrics."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(node(folder, up, f"node-{n}")) for n in range(1, NODES + 1)]


@asynccontextmanager
async def node(folder: Path, up: Running, name: str) -> AsyncIterator[str]:
    command = (sys.executable, "-m", "tests.alerts.night", up.brokers, str(folder / name), name)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        port = (await process.stdout.readline()).decode().strip()
        yield f"{HOST}:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), NODE_STOP_SECONDS)
