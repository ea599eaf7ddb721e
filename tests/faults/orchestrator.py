"""An orchestrator process under faults: records its node's events, and goes on where it was killed."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from pathlib import Path

from evometrics.producers.collector import EvolutionMetricsCollector
from evometrics.schemas.events import Event
from tests.faults.journal import Journal, read_journal
from tests.generator import Load
from tests.load import node_events

#: Calls under way at a time, as the tasks of one orchestrator would make them.
TOGETHER = 20


async def record(args: argparse.Namespace, load: Load) -> None:
    """Record what is left of the node's events at a steady rate, then leave once all is sent."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    path = Path(args.folder) / f"{args.node}.journal"
    events: list[Event] = [event for _, event in node_events(load, args.node)]
    number = read_journal(path).next_number
    journal = Journal(path)
    collector = EvolutionMetricsCollector(
        {
            "node_id": args.node,
            "brokers": args.brokers,
            "db_path": f"{args.folder}/{args.node}.db",
            "stop_timeout": 5,
            "flush_interval": 5,
        }
    )
    await collector.start()
    latencies: list[float] = []
    began, first = time.monotonic(), number

    async def one(n: int) -> int | None:
        called = time.monotonic()
        stored = await collector.store(events[n], collector.encoder.encode(events[n]))
        latencies.append(time.monotonic() - called)
        return None if stored is None else n

    while number < len(events) and not stop.is_set():
        numbers = range(number, min(len(events), number + TOGETHER))
        journal.begin(numbers)
        stored = await asyncio.gather(*map(one, numbers))
        journal.returned([n for n in stored if n is not None])
        number = numbers.stop
        ahead = (number - first) / args.rate - (time.monotonic() - began)
        if ahead > 0:
            await asyncio.sleep(ahead)
    while not (await collector.drain(0.5) or stop.is_set()):
        pass
    await collector.stop()
    latencies.sort()
    print(
        json.dumps(
            {
                "node": args.node,
                "finished": number >= len(events) and collector.outbox_depth == 0,
                "latency_p50_ms": 1000 * latencies[len(latencies) // 2] if latencies else None,
                "latency_p99_ms": 1000 * latencies[len(latencies) * 99 // 100] if latencies else None,
            }
        ),
        flush=True,
    )


def main() -> int:
    """Run one orchestrator; exit code 0 means that everything is recorded and sent."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--node", required=True)
    parse.add_argument("--brokers", required=True)
    parse.add_argument("--folder", required=True, help="outboxes and journals")
    parse.add_argument("--load", required=True, help="the Load as JSON")
    parse.add_argument("--rate", type=float, required=True, help="events a second")
    args = parse.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(record(args, Load(**json.loads(args.load))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
