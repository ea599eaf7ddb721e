"""`evometrics sql`: one statement, its rows in a format, or a prompt."""

from __future__ import annotations

import argparse
from pathlib import Path

from evometrics.deploy.console.flags import add_server
from evometrics.deploy.console.options import clickhouse_settings

FORMATS = ("table", "vertical", "json", "csv", "parquet", "arrow")


def parameter(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as agent=agent-7")
    return name.strip(), value


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    text = "the statement; - reads it from standard input. Without one, a terminal gets a prompt"
    sub.add_argument("query", nargs="?", help=text)
    text = "read the statement from a file; - is standard input"
    sub.add_argument("-f", "--file", type=Path, metavar="FILE", help=text)
    text = "value of the statement's parameter {NAME:Type}; may be given several times"
    sub.add_argument("--param", type=parameter, action="append", metavar="NAME=VALUE", help=text)
    text = "how rows are written (default: the output's suffix, else table); json is one object per row"
    sub.add_argument("--format", choices=FORMATS, help=text)
    text = "write the rows to a file, such as rows.parquet; - is standard output"
    sub.add_argument("--output", type=Path, metavar="FILE", help=text)
    add_server(sub)


async def run(args: argparse.Namespace) -> int:
    """Run one statement and write its rows as they arrive, or ask for statements."""
    from evometrics.deploy.sql.wanted import STANDARD, below_each_other, chosen_format, statement
    from evometrics.schemas.service.settings import SettingsError

    output = None if args.output == STANDARD else args.output
    text = statement(args.query, args.file)
    values = dict(args.param or ())
    if text is not None:
        from evometrics.deploy.sql.running import run_once

        text, vertical = below_each_other(text)
        format_ = chosen_format(args.format, output, vertical=vertical)
        await run_once(clickhouse_settings(args), text, values, format_, output)
        return 0
    if args.format not in (None, "table", "vertical") or output or values:
        raise SettingsError(
            "--output, --param and formats of files are for one statement: give it, or --file"
        )
    from evometrics.deploy.sql.prompt import prompt

    return await prompt(clickhouse_settings(args), args.format or "table")
