"""`evometrics report`: a night or a run as one document."""

from __future__ import annotations

import argparse
from datetime import UTC, date
from pathlib import Path

from evometrics.deploy.commands.ui import read_from
from evometrics.deploy.console.flags import add_server, filled, zone
from evometrics.deploy.console.options import running_stack
from evometrics.deploy.exit_codes import ExitCode

DEFAULT = Path("report.html")


def day(text: str) -> date:
    """Parse a date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date, such as 2026-11-28") from None


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    about = sub.add_mutually_exclusive_group()
    text = "the night that begins on this day, from noon to noon (default: the last with an evolution)"
    about.add_argument("--night", type=day, metavar="DATE", help=text)
    about.add_argument(
        "--run", dest="run_id", type=filled, metavar="RUN_ID", help="a run, instead of a night"
    )
    text = "time zone of the night's noons, such as America/Los_Angeles (default UTC)"
    sub.add_argument("--timezone", type=zone, metavar="ZONE", default=UTC, help=text)
    text = f"write HTML to this file; - is standard output (default {DEFAULT}, if nothing else is asked for)"
    sub.add_argument("--output", type=Path, metavar="FILE", help=text)
    sub.add_argument(
        "--png", type=Path, metavar="FILE", help="write a picture to this file; - is standard output"
    )
    sub.add_argument("--terminal", action="store_true", help="print plots in the terminal")
    add_server(sub)


async def run(args: argparse.Namespace) -> int:
    """Write the report in each form that is asked for."""
    from evometrics.deploy.ui.report.writing import STANDARD, Forms, report
    from evometrics.schemas.service.settings import SettingsError

    standard = [name for name in ("output", "png") if getattr(args, name) == STANDARD]
    if len(standard) + args.terminal > 1:
        raise SettingsError("one of --output -, --png - and --terminal has standard output: name a file")
    output = args.output if args.output or args.png or args.terminal else DEFAULT
    forms = Forms(output, args.png, args.terminal)
    await report(read_from(args, running_stack(args)), args.run_id, args.night, args.timezone, forms)
    return ExitCode.DONE
