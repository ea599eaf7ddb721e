"""`evometrics replay`: derived tables recomputed from recorded events, compared, and repaired."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm

from evometrics.deploy.commands.replay import replay_settings, source, stream_settings
from evometrics.deploy.console.options import clickhouse_settings
from evometrics.deploy.console.tables import QueryResult, cell, table, to_json
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.terminal import tell
from evometrics.schemas.topics import KPI_SNAPSHOTS
from evometrics.sinks.replay.checkpoints import RESUMABLE_HOURS
from evometrics.sinks.replay.compare import Sample, TableDifferences, total
from evometrics.sinks.replay.recompute import Computed
from evometrics.sinks.replay.replay import Replay, replaying
from evometrics.sinks.replay.shadow import ReplayEnded
from evometrics.sinks.replay.sql import KINDS

MADE = "are KPI snapshots, created from the evolutions that call for them"
TO_MAKE = "are KPI snapshots that evolutions call for and nobody has created"
MEANINGS = {
    "added": "are missing from the live table",
    "gone": "are in the live table, but no event leads to them",
    "changed": "have other values in the live table",
    "newer": "were written while the replay ran, and are left unchanged",
    "kept": "can't be recomputed, because some of their source events are gone, and are left unchanged",
}


async def run_replay(args: argparse.Namespace) -> int:
    """Compute and compare; repair if requested. Returns the exit code."""
    clickhouse, settings, stream = clickhouse_settings(args), replay_settings(args), stream_settings(args)
    began = time.monotonic()
    raw = source(args, settings, stream)
    async with replaying(clickhouse, settings, stream, raw, again=args.restart) as replay:
        try:
            computed, found, left = await done(replay, args)
        except ReplayEnded:
            raise
        except BaseException:
            if replay.resumable:
                tell(f"the same command goes on with this replay within {RESUMABLE_HOURS} hours")
            raise
    applied = args.apply and total(found) > 0
    made = sum(each.counts["added"] for each in found if each.table == KPI_SNAPSHOTS.table)
    if args.json:
        print(to_json(as_json(computed, found, applied, made, total(left))))
    elif applied:
        seconds = time.monotonic() - began
        print(f"\n{total(found)} rows corrected in {seconds:.0f} s, {total(left)} differ now")
    else:
        print(report(found))
        print("\n" + conclusion(total(found)))
    if made and not args.json:
        print(f"{made} of them {MADE if applied else TO_MAKE}")
    if total(left):
        return ExitCode.FAILED if args.apply else ExitCode.DIFFERENT
    return ExitCode.DONE


async def done(
    replay: Replay, args: argparse.Namespace
) -> tuple[Computed, list[TableDifferences], list[TableDifferences]]:
    """Compute, compare, and repair if requested; return what differed, and what differs now."""
    began = time.monotonic()
    if replay.resumed:
        tell(resumed(replay))
    with tqdm(
        total=replay.events, initial=replay.resumed, desc="computed", unit="event", disable=None
    ) as bar:
        computed = await replay.compute(bar.update)
    if not args.json:
        tell(f"{computed.events} events computed in {time.monotonic() - began:.0f} s; comparing")
    found = await replay.compare()
    if not (args.apply and total(found)):
        return computed, found, found
    if not args.json:
        print(report(found), flush=True)
    await replay.apply()
    return computed, found, await replay.compare()


def resumed(replay: Replay) -> str:
    """Return how far an interrupted replay had come that this one goes on with."""
    begun = datetime.fromtimestamp(replay.begun / 1000, UTC)
    return (
        f"goes on with the replay that began at {begun:%Y-%m-%d %H:%M:%S} UTC, after {replay.resumed} of "
        f"{replay.events} events; --restart begins again"
    )


def conclusion(number: int) -> str:
    """Return the conclusion of a dry run."""
    if number:
        return f"{number} rows differ; nothing was changed. --apply corrects them"
    return "nothing to correct: the live tables agree with the events"


def as_json(
    computed: Computed, found: Sequence[TableDifferences], applied: bool, made: int, left: int
) -> dict[str, Any]:
    """Return a run's result for a program; `made`: the number of missing snapshots."""
    return {
        "computed": dataclasses.asdict(computed),
        "tables": {each.table: dataclasses.asdict(each) for each in found},
        "different": total(found),
        "applied": applied,
        "snapshots_made": made if applied else 0,
        "different_now": left,
    }


def report(found: Sequence[TableDifferences]) -> str:
    """Return the differences as text: numbers, then some rows of each kind."""
    rows = [(e.table, e.live, e.replayed, *(e.counts[kind] for kind in KINDS)) for e in found]
    parts = [table(QueryResult(["table", "live", "replayed", *KINDS], list(rows)))]
    for each in found:
        for kind in KINDS:
            if each.counts[kind]:
                parts.append(f"\n{each.table}: {each.counts[kind]} {kind}; they {MEANINGS[kind]}")
                parts += map(shown, each.samples.get(kind, ()))
    return "\n".join(parts)


def shown(sample: Sample) -> str:
    """Return one differing row as text."""
    live, replayed = sample.live, sample.replayed
    if live is not None and replayed is not None:
        changes = (f"{n} {cell(live[n])} -> {cell(replayed[n])}" for n in live if n != "event_id")
        return f"  {sample.event_id}  {', '.join(changes)}"
    row = live or replayed or {}
    told = (f"{n} {cell(v)}" for n, v in row.items() if n != "event_id" and v not in (None, "", {}, []))
    return f"  {sample.event_id}  {', '.join(list(told)[:8])}"
