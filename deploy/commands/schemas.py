"""`evometrics schemas`: the events' Avro schemas, for whoever writes or reads them without this package."""

from __future__ import annotations

import argparse
from importlib import resources

from evometrics.deploy.console.flags import add_common, positive
from evometrics.deploy.console.tables import QueryResult, table
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import released


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    text = "the record to print; without one, all are listed with their topics and fingerprints"
    sub.add_argument("record", nargs="?", choices=sorted(BY_RECORD), metavar="RECORD", help=text)
    sub.add_argument("--version", type=positive, metavar="NUMBER", help="its version (default: the newest)")
    add_common(sub)


async def run(args: argparse.Namespace) -> int:
    """Print one schema, as it ships, or the list."""
    if args.record is None:
        rows = [
            (each.record, each.version, each.fingerprint.hex(), BY_RECORD[each.record].name)
            for versions in released().values()
            for each in versions
        ]
        print(table(QueryResult(["record", "version", "fingerprint", "topic"], rows)))
        return 0
    versions = released()[args.record]
    number = args.version or len(versions)
    if number > len(versions):
        raise SettingsError(f"--version {number}: {args.record} has versions 1 to {len(versions)}")
    file = resources.files("evometrics.schemas") / "avro" / args.record / f"v{number}.avsc"
    print(file.read_text(encoding="utf-8"), end="")
    return 0
