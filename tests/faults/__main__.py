"""The pipeline under trouble, each run checked against the model.

    python -m tests.faults --seeds 40 --local-brokers 3   random kills, pauses and cuts of every part
    python -m tests.faults --secured --local-brokers 3 --events 20000
                                                      the same on a Kafka with TLS, logins and an authorizer
    python -m tests.faults --crash all                a crash at each named step
    python -m tests.faults --without all              each guarantee switched off: the check has to see it
    python -m tests.faults --outage 120               broker unreachable, then ClickHouse, under steady load
    python -m tests.faults --scale 2                  workers from one to three and back, twice
    python -m tests.faults --rolling                  every part restarted, one after another, by the chart's
                                                      stop times; no event may be 5 s late
    python -m tests.faults --disks all                each disk runs full, by itself and by another file; may
                                                      need `unshare --map-root-user --mount` before it
    python -m tests.faults --clocks all               clocks of parts wrong, and corrected in the middle
    python -m tests.faults --topics all               raw topics deleted and recreated; all topics given 12
                                                      partitions: refused, then recreated and republished

Exit code 1 where a guarantee was broken (with --without: where a missing one was not seen).
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator

from tests.faults import outage, rolling, scaling
from tests.faults.clocks import PARTS, WRONG, supported
from tests.faults.crash import CRASH_POINTS, parse_crashes
from tests.faults.disks import CASES
from tests.faults.run import NODES, Plan, Report, run
from tests.faults.show import line_of, missing_line, phase_table, step_table
from tests.faults.topics import CASES as CHANGES
from tests.faults.weakened import GUARANTEES

#: Events a second: what a machine of two cores bears with all parts on it, and while it catches up besides.
RATE, CRASH_RATE, OUTAGE_RATE, SCALE_RATE, DISK_RATE = 2000.0, 500.0, 400.0, 600.0, 600.0
ROLL_RATE = 100.0
#: At most where the load ends once the planned crashes have happened.
SEED_EVENTS, CRASH_EVENTS, DISK_EVENTS = 50_000, 30_000, 60_000
CLOCK_EVENTS, CLOCK_RATE = 16_000, 400.0
TOPIC_EVENTS, TOPIC_RATE = 24_000, 400.0
FAULTS = 12


def main() -> int:
    """Carry out the runs one after the other and print a line for each."""
    args = arguments()
    right = True
    for plan in plans(args):
        report = asyncio.run(ended_by_signals(plan))
        as_wanted = seen(report) if plan.without else report.right
        right = right and as_wanted
        if args.json:
            print(json.dumps(dataclasses.asdict(report)), flush=True)
            continue
        print(missing_line(report) if plan.without else line_of(report), flush=True)
        if report.outage:
            print(phase_table(report.outage), flush=True)
        if report.rolled:
            print(step_table(report.rolled), flush=True)
        for example in report.result.examples[:6] if not plan.without else []:
            print(f"    {example[:400]}", flush=True)
    return 0 if right else 1


async def ended_by_signals(plan: Plan) -> Report:
    """Carry out a run; SIGTERM and SIGHUP end it as Ctrl-C does: parts ended, disks unmounted."""
    own = asyncio.current_task()
    assert own is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, own.cancel)
    return await run(plan, lambda line: print(line, file=sys.stderr, flush=True))


def arguments() -> argparse.Namespace:
    parse = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parse.add_argument("--seeds", type=int, default=1, help="how many seeds (default 1)")
    parse.add_argument("--first-seed", type=int, default=1, help="the first seed (default 1)")
    parse.add_argument(
        "--local-brokers", type=int, choices=(1, 3), default=1, help="Kafka nodes to start (default 1)"
    )
    parse.add_argument("--events", type=int, help="events of a run (default: as the run needs)")
    parse.add_argument("--rate", type=float, help="events a second (default: as the run needs)")
    parse.add_argument(
        "--faults", type=int, default=FAULTS, help="random faults of a seed (default %(default)s)"
    )
    trouble = parse.add_mutually_exclusive_group()
    trouble.add_argument("--crash", help=f"all, or POINT[:PASSES],.. of {', '.join(CRASH_POINTS)}")
    trouble.add_argument("--without", choices=["all", *GUARANTEES], help="switch a guarantee off")
    trouble.add_argument("--outage", type=float, metavar="SECONDS", help="how long each is unreachable")
    trouble.add_argument("--scale", type=int, metavar="TIMES", help="how often 1 -> 3 -> 1")
    trouble.add_argument("--rolling", action="store_true", help="restart every part, one after another")
    trouble.add_argument("--disks", choices=["all", *CASES], help="which disk runs full")
    trouble.add_argument("--clocks", metavar="PART[:SECONDS]", help=f"all, or one of {', '.join(PARTS)}")
    trouble.add_argument("--topics", choices=["all", *CHANGES], help="how topics change under load")
    text = "Kafka wants TLS and a login, and allows each kind of part what its role needs alone"
    parse.add_argument("--secured", action="store_true", help=text)
    parse.add_argument("--json", action="store_true", help="print one JSON line for each run")
    args = parse.parse_args()
    if args.crash and args.crash != "all":
        try:
            parse_crashes(args.crash)
        except ValueError as error:
            parse.error(f"--crash: {error}")
    if args.clocks:
        part, _, ahead = args.clocks.partition(":")
        if part not in (*PARTS, "all") or (ahead and not ahead.lstrip("-").isdigit()):
            parse.error(f"--clocks: {args.clocks!r} is not PART[:SECONDS]; the parts are {', '.join(PARTS)}")
        if why := supported():
            parse.error(f"--clocks: {why}")
    return args


def plans(args: argparse.Namespace) -> Iterator[Plan]:
    """Return the runs that the arguments ask for."""
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        if args.crash:
            for crash in each_crash() if args.crash == "all" else [args.crash]:
                yield planned(args, seed, CRASH_EVENTS, CRASH_RATE, crash=crash, streams=1, sinks=1)
        elif args.without:
            for name in GUARANTEES if args.without == "all" else [args.without]:
                plan = without(
                    name, seed=seed, events=args.events or CRASH_EVENTS, rate=args.rate or CRASH_RATE
                )
                yield dataclasses.replace(plan, brokers=args.local_brokers)
        elif args.outage:
            rate = args.rate or OUTAGE_RATE
            events = round(rate * outage.most_seconds(args.outage))
            yield planned(args, seed, events, rate, outage=args.outage, duplicates=0.0)
        elif args.disks:
            for case in CASES if args.disks == "all" else [args.disks]:
                yield planned(args, seed, DISK_EVENTS, DISK_RATE, disk=case, streams=1, sinks=1)
        elif args.clocks:
            for kind, ahead in each_clock(args.clocks):
                yield planned(args, seed, CLOCK_EVENTS, CLOCK_RATE, clock=kind, ahead=ahead)
        elif args.topics:
            for case in CHANGES if args.topics == "all" else [args.topics]:
                yield planned(args, seed, TOPIC_EVENTS, TOPIC_RATE, topics=case)
        elif args.scale:
            rate, gap = args.rate or SCALE_RATE, Plan.gap
            events = round(rate * scaling.most_seconds(args.scale, gap))
            yield planned(args, seed, events, rate, scalings=args.scale, streams=1, sinks=1)
        elif args.rolling:
            rate, brokers = args.rate or ROLL_RATE, args.local_brokers
            restarts = brokers + 2 * Plan.streams + len(NODES) + 1
            events = round(rate * rolling.most_seconds(restarts, Plan.gap))
            yield planned(args, seed, events, rate, rolling=True, duplicates=0.0)
        else:
            yield planned(args, seed, SEED_EVENTS, RATE, faults=args.faults)


def each_clock(asked: str) -> Iterator[tuple[str, int]]:
    """Return the parts whose clocks are to be wrong, and by how much."""
    part, _, ahead = asked.partition(":")
    for kind in PARTS if part == "all" else [part]:
        for seconds in [int(ahead)] if ahead else WRONG:
            yield kind, seconds


def each_crash() -> Iterator[str]:
    """Return a plan for each crash point; nothing is claimed but after another crash."""
    for point in CRASH_POINTS:
        yield "sink:after-plan:3,sink:after-claim" if point == "sink:after-claim" else f"{point}:3"


def planned(args: argparse.Namespace, seed: int, events: int, rate: float, **more: object) -> Plan:
    """Return a plan with the defaults of its kind where the arguments say nothing."""
    how = {"secured": args.secured, **more}
    return Plan(seed, args.events or events, args.local_brokers, args.rate or rate, **how)


def without(*names: str, seed: int, events: int = CRASH_EVENTS, rate: float = CRASH_RATE) -> Plan:
    """Return the plan that shows what guarantees are for by switching them off.

    Several may go together where each shows in a way of its own.
    """
    crash = ",".join(GUARANTEES[name].crash for name in names)
    return Plan(seed, events, rate=rate, streams=1, sinks=1, without=",".join(names), crash=crash)


def seen(report: Report) -> bool:
    """Return whether every missing guarantee showed in the way that its lack must."""
    names = report.plan.without.split(",")
    return all(getattr(report.result, GUARANTEES[name].shown_as) > 0 for name in names)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except asyncio.CancelledError:
        sys.exit("ended by a signal")
