"""An orchestrator process under faults: records its node's events, and resumes where it was killed.

In its folder lie `<node>.events` (a pickled list, made once for all its lives), `<node>.journal`, its
outboxes, `enough` once the load is to end before all is recorded, and `rest` while it is to stand still:
`<node>.resting` answers that once all that was recorded is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pickle
import signal
import time
from pathlib import Path

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.events.left_out import LeftOut
from evometrics.schemas.events import Event
from tests.faults.journal import Call, Journal, read_journal

#: Calls under way at a time, as the tasks of one orchestrator would make them.
TOGETHER = 20
ENOUGH, REST, RESTING = "enough", "rest", ".resting"


async def record(node: str, brokers: str, folder: Path, rate: float) -> None:
    """Record what is left of the node's events at a steady rate, then leave once all is sent."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    events: list[Event] = pickle.loads((folder / f"{node}.events").read_bytes())
    path = folder / f"{node}.journal"
    number = read_journal(path).next_number
    journal = Journal(path)
    small = folder / "disk"  # mounted for a run in which it runs full
    config = {"node_id": node, "brokers": brokers}
    config["db_path"] = str((small if small.is_dir() else folder) / f"{node}.db")
    collector = EvolutionMetricsCollector(config | {"stop_timeout": 5, "flush_interval": 5})
    await collector.start()
    # where its own clock is days behind, a node takes events' true times by the broker's, once that is known
    while "FAULTS_CLOCK" in os.environ and not (collector.sending.connected or stop.is_set()):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    began, first = time.monotonic(), number

    async def one(n: int) -> Call | None:
        at, called = time.time(), time.perf_counter()
        stored = await collector.journal.put(events[n], LeftOut())
        return Call(n, at, time.perf_counter() - called) if stored else None

    while number < len(events) and not stop.is_set() and not (folder / ENOUGH).exists():
        numbers = range(number, min(len(events), number + TOGETHER))
        journal.begin(numbers)
        calls = await asyncio.gather(*map(one, numbers))
        journal.returned(call for call in calls if call is not None)
        number = numbers.stop
        while (folder / REST).exists() and not stop.is_set():
            if await collector.drain(0.1):
                (folder / f"{node}{RESTING}").touch()
                await asyncio.sleep(0.1)
        ahead = (number - first) / rate - (time.monotonic() - began)
        if ahead > 0:
            await asyncio.sleep(ahead)
    while not (await collector.drain(0.5) or stop.is_set()):
        pass
    await collector.stop()


def main(arguments: list[str]) -> int:
    """Run one orchestrator; exit code 0 means that everything is recorded and sent."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--node", required=True)
    parse.add_argument("--brokers", required=True)
    parse.add_argument("--folder", type=Path, required=True)
    parse.add_argument("--rate", type=float, required=True, help="events a second")
    args = parse.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(record(args.node, args.brokers, args.folder, args.rate))
    return 0
