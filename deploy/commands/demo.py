"""`evometrics demo`: the whole pipeline on agents that truly evolve."""

from __future__ import annotations

import argparse

from evometrics.deploy.console.flags import add_common, add_layout, add_local, positive
from evometrics.deploy.console.options import running_stack


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    sub.add_argument("--nodes", type=positive, default=2, help="number of orchestrator processes (default 2)")
    sub.add_argument(
        "--agents", type=positive, default=20, help="number of agents over all nodes (default 20)"
    )
    sub.add_argument(
        "--evolutions", type=positive, default=200, help="number of evolutions over all nodes (default 200)"
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of all random draws (default 0)")
    sub.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    text = "end with plots also where the output is not a terminal"
    sub.add_argument("--plots", action="store_true", help=text)
    add_local(sub)
    add_layout(sub)


async def run(args: argparse.Namespace) -> int:
    """Run the demo on the running local stack, or on one of its own that ends with it."""
    from evometrics.deploy.commands.demo_work import run_demo
    from evometrics.deploy.console.running import needs, needs_stack

    needs("sklearn")
    running = running_stack(args)
    if running is None:
        needs_stack(args)
    return await run_demo(args, running)
