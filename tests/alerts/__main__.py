"""Each alert of deploy/prometheus/rules.yml on a real stack: quiet while all is well, firing with its fault.

    python -m tests.alerts                        all faults
    python -m tests.alerts clickhouse_cut poison  these
    python -m tests.alerts --healthy 60           an hour of load and no fault, with the rules as they are
    python -m tests.alerts --scrape 100000        what Prometheus scrapes of so many agents, and no more

Three brokers, ClickHouse, a stream worker, two sinks and nodes, scraped by Prometheus every two seconds. It
reads a copy of the rules in which each `for` is ten seconds, and a window of an hour or a day is one minute
(`tests.alerts.prometheus` has them all). `prometheus` has to be installed; one fault needs the right to
mount. Exit code 1 where an alert did not fire, or fired while all was well.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.alerts.faults import FAULTS, Fault
from tests.alerts.healthy import healthy
from tests.alerts.prometheus import badly_said
from tests.alerts.scrape import scraped
from tests.alerts.stage import SINKS, STREAMS, Stage, staged

BEFORE_SECONDS, FIRE_SECONDS, END_SECONDS, SETTLE_SECONDS = 120.0, 120.0, 240.0, 20.0


def main() -> int:
    """Run; print a line for each fault."""
    names = {each.make.__name__: each for each in FAULTS}
    parser = argparse.ArgumentParser(
        prog="python -m tests.alerts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(names))
    parser.add_argument("--healthy", type=float, metavar="MINUTES", help="make no fault for so many minutes")
    parser.add_argument("--scrape", type=int, metavar="AGENTS", help="measure scrapes of so many agents")
    args = parser.parse_args()
    if unknown := [name for name in args.faults if name not in names]:
        parser.error(f"no fault {unknown[0]!r}; there are {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="evometrics-alerts-") as folder:
        if args.scrape:
            return asyncio.run(scraped(Path(folder), args.scrape))
        if args.healthy:
            return asyncio.run(healthy(Path(folder), args.healthy))
        return asyncio.run(run(Path(folder), [names[name] for name in args.faults or names]))


async def run(folder: Path, faults: list[Fault]) -> int:
    """Wait while all is well, make the faults one after the other, and wait until all is well again."""
    right = True
    async with staged(folder) as stage:
        await settled(stage)
        fired = await watched(stage, BEFORE_SECONDS)
        print(f"{BEFORE_SECONDS:.0f} s of load: {said(fired) or 'no alert'}", flush=True)
        right &= not fired
        for each in faults:
            right &= await made(stage, each)
        ended = await quiet(stage, END_SECONDS)
        print(
            f"all undone: {'no alert' if ended else 'still firing: ' + said(set(firing(stage)))}", flush=True
        )
        right &= ended
    return 0 if right else 1


async def made(stage: Stage, fault: Fault) -> bool:
    """Make a fault and wait for its alerts; whether they fired."""
    before, began, seen = set(firing(stage)), time.monotonic(), dict[str, float]()
    badly: list[str] = []
    async with fault.make(stage):
        made_at = time.monotonic()
        while time.monotonic() < made_at + FIRE_SECONDS and not fault.alerts <= seen.keys():
            found = await asyncio.to_thread(firing, stage)
            badly += [*badly_said(found.values())]
            for name in found.keys() - before if not fault.alerts <= before else found:
                seen.setdefault(name, time.monotonic() - began)
            await asyncio.sleep(0.5)
    missed = fault.alerts - seen.keys()
    fired = ", ".join(f"{name} {seen[name]:.0f} s" for name in sorted(fault.alerts & seen.keys()))
    others = sorted(seen.keys() - fault.alerts)
    print(
        f"{fault.what}: {fired or 'nothing'}"
        + (f"; DID NOT FIRE: {said(missed)}" if missed else "")
        + (f"; with it: {said(set(others))}" if others else "")
        + (f"; BADLY SAID: {badly[0]}" if badly else ""),
        flush=True,
    )
    await quiet(stage, END_SECONDS)
    return not missed and not badly


def firing(stage: Stage) -> dict[str, dict[str, object]]:
    return stage.prometheus.firing()


async def settled(stage: Stage) -> None:
    """Wait until every part is scraped and ready, and evolutions are counted; then for a rebalance to end."""
    ends = time.monotonic() + END_SECONDS
    targets = STREAMS + SINKS + 1
    counted = "sum(increase(evometrics_evolution_attempts_total[60s])) > 5"
    well = f"{counted} and on () count(up == 1) == {targets} and on () min(evometrics_ready) == 1"
    while await asyncio.to_thread(stage.prometheus.value, well) is None:
        if time.monotonic() > ends:
            raise TimeoutError("the parts did not become ready")
        await asyncio.sleep(1)
    await asyncio.sleep(SETTLE_SECONDS)
    await quiet(stage, END_SECONDS)


async def watched(stage: Stage, seconds: float) -> set[str]:
    """Return the alerts that fired within so many seconds."""
    fired: set[str] = set()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        fired |= set(await asyncio.to_thread(firing, stage))
        await asyncio.sleep(1)
    return fired


async def quiet(stage: Stage, seconds: float) -> bool:
    """Wait until no alert fires; False after so many seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if not await asyncio.to_thread(firing, stage):
            return True
        await asyncio.sleep(1)
    return False


def said(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))


if __name__ == "__main__":
    sys.exit(main())
