"""`evometrics sql`: one statement, its rows in a format, or a prompt."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evometrics.deploy.console.options import add_server, clickhouse_settings

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
    sub.add_argument("-f", "--file", type=Path, metavar="FILE", help="read the statement from a file")
    text = "value of the statement's parameter {NAME:Type}; may be given several times"
    sub.add_argument("--param", type=parameter, action="append", metavar="NAME=VALUE", help=text)
    text = "how rows are written (default table); json is one object per row"
    sub.add_argument("--format", choices=FORMATS, default="table", help=text)
    sub.add_argument("--output", type=Path, metavar="FILE", help="write the rows to a file")
    add_server(sub)


def statement(args: argparse.Namespace) -> str | None:
    """Return the statement that is meant; None for a prompt. Raises `SettingsError` if two are given."""
    from evometrics.schemas.service.settings import SettingsError

    if args.file is not None:
        if args.query is not None:
            raise SettingsError("give a statement or --file, not both")
        return str(args.file.read_text(encoding="utf-8-sig"))
    if args.query == "-" or (args.query is None and not sys.stdin.isatty()):
        return sys.stdin.read()
    return None if args.query is None else str(args.query)


async def run(args: argparse.Namespace) -> int:
    """Run one statement and write its rows as they arrive, or ask for statements."""
    from evometrics.schemas.service.settings import SettingsError

    text = statement(args)
    values = dict(args.param or ())
    if text is not None:
        from evometrics.deploy.sql.running import run_once

        await run_once(clickhouse_settings(args), text, values, args.format, args.output)
        return 0
    if args.format not in ("table", "vertical") or args.output or values:
        raise SettingsError(
            "--output, --param and formats of files are for one statement: give it, or --file"
        )
    from evometrics.deploy.sql.prompt import prompt

    return await prompt(clickhouse_settings(args), args.format)
