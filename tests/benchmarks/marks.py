"""When marked events become visible: ClickHouse is asked again and again for the newest it has."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS
from tests.benchmarks.checks import require
from tests.benchmarks.node import MARK_AGENTS
from tests.benchmarks.stack import Stack

POLL_SECONDS = 0.01
TABLES = (EVOLUTION_COMPLETED.table, EVOLUTION_METRICS.table)


class Marks:
    """The newest mark of each of a node's mark agents, by table, and since when.

    An agent's events are stored in order, so that the newest tells of all before it.
    """

    def __init__(self, stack: Stack, node: str) -> None:
        self.stack = stack
        agents = ", ".join(f"'{node}-{n}'" for n in range(MARK_AGENTS))
        self.query = " UNION ALL ".join(
            f"SELECT '{table}', agent_id, max(generation) FROM {table}_rows "
            f"WHERE agent_id IN ({agents}) GROUP BY agent_id"
            for table in TABLES
        )
        self.seen: dict[tuple[str, str], list[tuple[int, float]]] = {}
        self.polls: list[float] = []

    async def poll(self) -> None:
        """Ask until cancelled."""
        while True:
            rows = await self.stack.sql(self.query)
            now = time.time()
            self.polls.append(now)
            for table, agent, newest in rows:
                known = self.seen.setdefault((table, agent), [])
                if not known or known[-1][0] < int(newest):
                    known.append((int(newest), now))
            await asyncio.sleep(POLL_SECONDS)

    def gaps(self) -> list[float]:
        """Return the seconds between two looks: a wait is known no closer than that."""
        return [after - before for before, after in zip(self.polls, self.polls[1:], strict=False)]

    def waits(self, path: Path) -> tuple[list[float], list[float]]:
        """Return the seconds from each marked call to its row, and to the row derived from it.

        Raises `WorkNotDone` where one was never seen.
        """
        found: dict[str, list[float]] = {table: [] for table in TABLES}
        for line in path.read_text().splitlines():
            agent, number, called = line.split()
            for table in TABLES:
                seen = self.seen.get((table, agent), [])
                at = next((at for newest, at in seen if newest >= int(number)), None)
                require(at is not None, f"mark {number} of {agent} was not seen in {table}")
                found[table].append(at - float(called) if at is not None else 0.0)
        return found[TABLES[0]], found[TABLES[1]]
