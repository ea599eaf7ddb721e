"""One orchestrator node that evolves demo agents, recorded like any other."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.schemas.service import tasks
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.health import HealthSettings, Standing, Watchdog
from evometrics.schemas.service.http import HttpSettings, serve
from evometrics.schemas.service.logs import LogSettings, set_up_logging
from evometrics.schemas.service.settings import SettingsError, read_settings

if TYPE_CHECKING:
    from evometrics.producers.orchestrator.evolution import EvolutionOutcome

#: Each node is one of several processes on the same cores; read when numpy and OpenMP are first loaded.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="python -m evometrics.producers.demo", description=__doc__)
    parse.add_argument("--node-id", required=True, help="name of this node; no two nodes may share one")
    parse.add_argument("--agents", type=positive, default=10, help="number of agents (default %(default)s)")
    parse.add_argument(
        "--evolutions", type=positive, default=100, help="number of evolutions (default %(default)s)"
    )
    parse.add_argument("--seed", type=int, default=0, help="seed of all random draws (default %(default)s)")
    parse.add_argument("--brokers", help="host:port of the broker; separate several by commas")
    parse.add_argument(
        "--outbox-dir", type=Path, default=Path(), help="folder for the outbox (default: current folder)"
    )
    parse.add_argument("--http-port", type=int, help="port that serves /metrics and /health (default: none)")
    parse.add_argument("--http-host", help="address to serve on (default: 127.0.0.1)")
    parse.add_argument("--json-progress", action="store_true", help="print one JSON line per evolution")
    return parse


def positive(text: str) -> int:
    """Read a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be at least 1")
    return number


async def orchestrate(args: argparse.Namespace) -> dict[str, Any]:
    """Run the night with a collector of its own; return the `done` line."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    done = 0

    def show(outcome: EvolutionOutcome) -> None:
        nonlocal done
        done += 1
        if args.json_progress:
            try:
                print(json.dumps(progress_line(args, outcome, done)), flush=True)
            except BrokenPipeError:  # whoever started this node has exited
                stopping.set()

    args.outbox_dir.mkdir(parents=True, exist_ok=True)
    config = {"node_id": args.node_id, "brokers": args.brokers, "db_path": str(args.outbox_dir / "outbox.db")}
    collector = EvolutionMetricsCollector(config)
    # takes seconds, and reads the thread limits
    from evometrics.producers.demo.night import run_demo_night

    async def look() -> Standing:
        # the state of sending is checked here first: evolutions continue even if it hangs
        if waiting := collector.outbox_depth:
            sent = sum(collector.published.values())
            return Standing(sent, f"{waiting} events are not sent", collector.sending.problem or None)
        recorded = sum(collector.recorded.values())
        return Standing((done, recorded), f"{args.evolutions - done} evolutions to do")

    def not_ready() -> str | None:
        return collector.sending.problem or None if collector.running else "the outbox is not open yet"

    async with contextlib.AsyncExitStack() as stack:
        if args.http_port is not None:
            watchdog = Watchdog(f"node {args.node_id}", read_settings(HealthSettings, "health"), look)
            await stack.enter_async_context(watchdog)
            given = {"port": args.http_port, "host": args.http_host}
            http = read_settings(HttpSettings, "http", flags=given).address
            assert http is not None
            metrics = Exposition(collector.prometheus_registry, Beginnings())
            server = await serve(http, metrics.answer, watchdog.live, not_ready)
            stack.push_async_callback(server.close)
        await collector.start()
        stack.push_async_callback(collector.stop)
        report = await run_demo_night(
            collector,
            node_id=args.node_id,
            agents=args.agents,
            evolutions=args.evolutions,
            seed=args.seed,
            on_progress=show,
            stopping=stopping,
        )
    return {
        "event": "done",
        "node_id": args.node_id,
        "recorded": dict(collector.recorded),
        "waiting": collector.outbox_depth,
        "problem": collector.sending.problem,
        "report": dataclasses.asdict(report),
    }


def progress_line(args: argparse.Namespace, outcome: EvolutionOutcome, done: int) -> dict[str, Any]:
    """Return the line printed for one finished evolution."""
    return {
        "event": "evolution",
        "node_id": args.node_id,
        "agent_id": outcome.agent_id,
        "generation": outcome.generation,
        "strategy": outcome.strategy,
        "status": outcome.status,
        "gain": outcome.gain,
        "retired": outcome.retired,
        "done": done,
        "of": args.evolutions,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run one node; return 0, or 2 where a setting can't be used."""
    args = parser().parse_args(arguments)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        set_up_logging(read_settings(LogSettings, "log"), "node", args.node_id)
        print(json.dumps(tasks.run(orchestrate(args))), flush=True)
    except ModuleNotFoundError as error:
        print(f"demo agents need scikit-learn ({error}): pip install 'evometrics[local]'", file=sys.stderr)
        return 2
    except (SettingsError, OSError) as error:
        print(f"evometrics demo node {args.node_id}: {error}", file=sys.stderr)
        if isinstance(error, BrokenPipeError):  # else Python's last flush fails, too: exit code 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
