"""`evometrics orchestrate`: one orchestrator node with demo agents."""

from __future__ import annotations

import argparse

from evometrics.deploy.console.flags import add_common, add_http, add_kafka, add_logs, filled, positive
from evometrics.deploy.console.options import http_settings, kafka_settings, log_settings
from evometrics.deploy.exit_codes import ExitCode
from evometrics.schemas.service.logs import set_up_logging


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
    add_kafka(sub)
    add_http(sub)
    add_logs(sub)


async def run(args: argparse.Namespace) -> int:
    """Run one orchestrator node with demo agents until its evolutions are done."""
    from evometrics.deploy.console.running import needs
    from evometrics.deploy.pipeline.nodes import NodePlan, run_nodes

    needs("sklearn")
    logs = log_settings(args)
    set_up_logging(logs, "node", args.node_id)
    plan = NodePlan(args.node_id, args.agents, args.evolutions, args.seed, http_settings(args), logs)
    results = await run_nodes([plan], kafka_settings(args), args.data, echo_json=args.json)
    if not args.json:
        for topic, number in results[0].recorded.items():
            print(f"{topic:36} {number:8} recorded")
    return ExitCode.FAILED if results[0].waiting else ExitCode.DONE
