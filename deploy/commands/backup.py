"""`evometrics backup`: a whole copy of the local stack's folder."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from evometrics.deploy.console.flags import add_common


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    sub.add_argument("target", type=Path, metavar="DIR", help="folder to copy to; it must not exist yet")


async def run(args: argparse.Namespace) -> int:
    """Copy the folder; the stack is paused meanwhile."""
    from evometrics.deploy.stack.backup import backup

    seconds = await backup(Path(args.data), args.target)
    print(f"{args.target} is a complete copy of {args.data}, which was paused for {seconds:.1f} s")
    print(f"Start it with: evometrics up --data {shlex.quote(str(args.target))}")
    return 0
