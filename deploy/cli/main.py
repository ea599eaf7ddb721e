"""The command line `evometrics`: one command for each thing that a person or a supervisor starts."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from evometrics.deploy.commands import COMMANDS


def nothing() -> None:
    """Most commands run in a process as Python sets it up."""


class CommandParser(argparse.ArgumentParser):
    """The parser of a command, which takes its flags from the command's module when the command is called."""

    module: str | None = None

    def load(self) -> None:
        """Take the flags and the work from the command's module."""
        if self.module is None:
            return
        module = importlib.import_module(f"evometrics.deploy.commands.{self.module}")
        self.module = None
        module.add(self)
        if self.get_default("run") is None:
            self.set_defaults(run=module.run)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, by the flags of the command."""
        self.load()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2; a password in what was given is not shown."""
        from evometrics.schemas.service.settings import masked

        super().error(str(masked(message)))


class ShowVersion(argparse.Action):
    """Print the package's version, and whether it runs compiled."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        from evometrics.schemas.service.compiled import build

        print(f"evometrics {version('evometrics')} ({build()})")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = CommandParser(
        prog="evometrics",
        description="Records how AI agents evolve: Kafka, Faust, ClickHouse.",
        epilog="Every setting can also be given as EVOMETRICS_<SECTION>_<NAME> or in a TOML file (--config).",
    )
    root.add_argument(
        "--version",
        action=ShowVersion,
        nargs=0,
        help="print the version, and whether it runs compiled, and exit",
    )
    root.set_defaults(prepare=nothing, at_once=False)
    subs = root.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    for name, command in COMMANDS.items():
        sub = subs.add_parser(name, help=command.text, description=command.text)
        sub.module = command.module
    return root


def run_command(arguments: Sequence[str] | None) -> int:
    """Parse and run one command; return its exit code."""
    root = parser()
    if "_ARGCOMPLETE" in os.environ:
        from evometrics.deploy.commands.completing import complete

        complete(root)
    try:
        args = root.parse_args(arguments)
        if args.at_once:  # without loading what another program would wait for
            code: int = args.run(args)
            return code
        from evometrics.deploy.console import running  # not for `--help`

        return running.run(args)
    except ModuleNotFoundError as error:
        return extra_missing(sys.argv[1:] if arguments is None else arguments, error)


def extra_missing(arguments: Sequence[str], error: ModuleNotFoundError) -> int:
    """Say which extra to install for a command that lacks a module; raise any other error."""
    from evometrics.deploy.exit_codes import ExitCode

    name = next((word for word in arguments if word in COMMANDS), "")
    extra = COMMANDS[name].extra if name else ""
    lacking = (error.name or "evometrics").partition(".")[0]
    if not extra or lacking == "evometrics":
        raise error
    way_out = f"pip install 'evometrics[{extra}]'"
    print(f"evometrics {name}: needs {lacking}, which is not installed: {way_out}", file=sys.stderr)
    return ExitCode.FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, one of `ExitCode`."""
    try:
        try:
            return run_command(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        from evometrics.deploy.exit_codes import ExitCode
        from evometrics.deploy.terminal import hush, reader_gone

        if not reader_gone():
            raise
        hush()
        return ExitCode.READER_GONE
