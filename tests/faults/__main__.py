"""Faults under load: `python -m tests.faults --seeds 3 --events 50000 --brokers 3`.

Each seed runs the real parts, kills, pauses and disconnects them at random moments while four orchestrator
processes record, lets the pipeline drain, and compares every table with the model. Exit code 1 where a
guarantee was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys

from tests.faults.run import Plan, Report, run_seed
from tests.faults.weakened import CRASH_POINTS, GUARANTEES


def main() -> int:
    """Run the seeds one after the other and print a line for each."""
    parse = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parse.add_argument("--seeds", type=int, default=1, help="how many seeds (default 1)")
    parse.add_argument("--first-seed", type=int, default=1, help="the first seed (default 1)")
    parse.add_argument("--events", type=int, default=50_000, help="events of each seed (default 50000)")
    parse.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="Kafka nodes (default 1)")
    parse.add_argument("--rate", type=float, default=Plan.rate, help="events a second (default %(default)s)")
    parse.add_argument("--every", type=float, default=Plan.every, help="mean seconds between faults")
    parse.add_argument("--without", choices=GUARANTEES, default="", help="switch one guarantee off")
    parse.add_argument("--crash", default="", help=f"POINT:PASSES, a point of {', '.join(CRASH_POINTS)}")
    parse.add_argument("--json", action="store_true", help="print one JSON line for each seed")
    args = parse.parse_args()
    if args.crash and args.crash.rpartition(":")[0] not in CRASH_POINTS:
        parse.error(f"--crash {args.crash!r}: give POINT:PASSES, such as sink:after-plan:3")
    right = True
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        plan = Plan(
            seed, args.events, args.brokers, args.rate, args.every, without=args.without, crash=args.crash
        )
        report = asyncio.run(run_seed(plan, lambda line: print(line, file=sys.stderr, flush=True)))
        right = right and report.result.right
        print(json.dumps(dataclasses.asdict(report)) if args.json else line_of(report), flush=True)
        for example in report.result.examples[:6] if not args.json else []:
            print(f"    {example[:400]}", flush=True)
    return 0 if right else 1


def line_of(report: Report) -> str:
    """Return a seed's result in one line."""
    result = report.result
    faults = ", ".join(f"{number} {kind}" for kind, number in sorted(report.faults.items())) or "none"
    return (
        f"seed {report.plan.seed}: recorded {result.recorded}, lost {result.lost}, doubled {result.doubled}, "
        f"stored twice {result.stored_twice}, differing {result.differing}, "
        f"dead letters {result.dead_letters}; {report.seconds} s; faults: {faults}"
    )


if __name__ == "__main__":
    sys.exit(main())
