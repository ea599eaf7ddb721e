"""`evometrics orchestrate`: one orchestrator node with demo agents."""

from __future__ import annotations

import argparse

from evometrics.deploy.console.options import (
    add_common,
    add_http,
    add_kafka,
    filled,
    http_address,
    kafka_settings,
    positive,
)


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    sub.add_argument(
        "--node-id", type=filled, required=True, help="name of this node; no two nodes may share one"
    )
    sub.add_argument("--agents", type=positive, default=10, help="number of agents (default 10)")
    sub.add_argument("--evolutions", type=positive, default=100, help="number of evolutions (default 100)")
    sub.add_argument("--seed", type=int, default=0, help="seed of all random draws (default 0)")
    sub.add_argument("--json", action="store_true", help="print one JSON line per evolution")
    add_http(sub)
    add_kafka(sub)


async def run(args: argparse.Namespace) -> int:
    """Run one orchestrator node with demo agents until its evolutions are done."""
    from evometrics.deploy.console.running import needs
    from evometrics.deploy.pipeline.nodes import NodePlan, run_nodes

    needs("sklearn")
    plan = NodePlan(args.node_id, args.agents, args.evolutions, args.seed, http_address(args))
    results = await run_nodes([plan], kafka_settings(args), args.data, echo_json=args.json)
    if not args.json:
        for topic, number in results[0].recorded.items():
            print(f"{topic:36} {number:8} recorded")
    return 0
