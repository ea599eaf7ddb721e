"""Every panel of Grafana's dashboards on a real stack: its query is asked, and has to return rows.

    python -m tests.grafana           the table of panels: dashboard, panel, source, rows
    python -m tests.grafana --schema  the files by Grafana's own schema (npm: @grafana/schema), no stack

`evometrics up`, the demo's night, a node with candidates that have costs, and a Prometheus with the alert
rules that scrapes all of it. `prometheus` has to be installed (Debian's package). Macros and variables are
replaced as Grafana and its plugins do; ClickHouse is asked as its reader. Exit code 1 where a panel has no
rows and its description does not say when it is empty, or a panel that counts what is lost counts anything.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.clients.outside import Missing
from tests.grafana import clickhouse, prometheus, schema
from tests.grafana.macros import Shown
from tests.grafana.panels import NAMES, Asked, asked, first_choices, variables
from tests.grafana.stage import Looked, stage

SCRAPED_SECONDS, AGO_SECONDS, STEP = 20.0, 900.0, 2
#: Panels whose figures are 0 while nothing is wrong.
WELL = ("Parts down", "Alerts", "Lost or set aside", "Not recorded as it came")


def main() -> int:
    """Run; print a line for each panel's query."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.grafana", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--schema", action="store_true", help="hold the files against Grafana's schema")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evometrics-grafana-") as folder:
        if args.schema:
            try:
                return schema.checked(Path(folder))
            except Missing as lacking:
                print(f"not held against Grafana's schema: {lacking}", file=sys.stderr)
                return 1
        return asyncio.run(run(Path(folder)))


async def run(folder: Path) -> int:
    """Ask everything, and print the table."""
    began, right = time.time(), True
    async with stage(folder) as looked:
        await asyncio.sleep(SCRAPED_SECONDS)
        print(f"{'dashboard':9}  {'panel':34}  {'source':10}  {'rows':>4}")
        async for each, source, rows, wrong in lines(looked, began):
            empty = not rows and not each.may_be_empty
            said = "NO ROWS" if empty else wrong or ("" if rows else "as its description says")
            print(f"{each.dashboard:9}  {each.where:34}  {source:10}  {rows:4}  {said}".rstrip(), flush=True)
            right &= not empty and not wrong
    return 0 if right else 1


async def lines(looked: Looked, began: float) -> AsyncIterator[tuple[Asked, str, int, str]]:
    """Yield each query with its source, how many rows it has, and what is wrong with them."""
    settings = ClickHouseSettings(url=looked.clickhouse_url, user="analyst")
    async with MetricsQuery(settings) as query:
        for name in NAMES:
            if "clickhouse" in variables(name):
                begin = min(began, time.time() - AGO_SECONDS)
                async for each, rows in clickhouse.asked_of_all(name, query, begin):
                    yield each, "ClickHouse", rows, ""
            else:
                seen = Shown(int(began), int(time.time()), STEP, first_choices(name), STEP)
                for each in asked(name):
                    rows = await asyncio.to_thread(prometheus.answered, each, seen, looked.prometheus)
                    wrong = ""
                    if each.panel["title"] in WELL:
                        value = await asyncio.to_thread(prometheus.highest, each, seen, looked.prometheus)
                        wrong = f"NOT WELL: {value:g}" if value else ""
                    yield each, "Prometheus", rows, wrong


if __name__ == "__main__":
    sys.exit(main())
