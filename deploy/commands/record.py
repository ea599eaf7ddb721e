"""`evometrics record`: any program as one evolution.

What it loads before the program starts, the program waits for: little.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evometrics.deploy.console.flags import add_common, add_kafka, filled, whole
from evometrics.deploy.program.run import run_program

DIRECTIONS = ("maximize", "minimize", "pareto")


def entry(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as dataset=wine")
    return name.strip(), value


class CommandLine(argparse.Action):
    """Take the program and its arguments, without the `--` before them."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, *_: object
    ) -> None:
        assert isinstance(values, list)
        words = values[1:] if values[:1] == ["--"] else values
        if not words:
            parser.error("name the program to run: evometrics record -- CMD ARG...")
        setattr(namespace, self.dest, words)


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.set_defaults(at_once=True)
    text = "the program to run, and its arguments; its own flags are not taken for this command's"
    sub.add_argument("program", nargs=argparse.REMAINDER, action=CommandLine, metavar="CMD", help=text)
    text = "the agent that evolves (default: the program's file name)"
    sub.add_argument("--agent-id", type=filled, metavar="ID", help=text)
    text = "JSON object that the program writes (default: its last line of output, where that is one)"
    sub.add_argument("--kpis", type=Path, metavar="FILE", help=text)
    text = "KPIs before the evolution: a JSON object, or a file with one"
    sub.add_argument("--pre-kpis", type=filled, metavar="JSON", help=text)
    text = "kind of the evolution (default program)"
    sub.add_argument("--evolution-type", type=filled, default="program", metavar="NAME", help=text)
    sub.add_argument("--strategy", metavar="NAME", help="the strategy that it follows")
    sub.add_argument("--generation", type=whole, metavar="NUMBER", help="the generation that it leads to")
    text = "an agent that this one is made from; may be given several times"
    sub.add_argument("--parent", type=filled, action="append", metavar="ID", help=text)
    text = "the KPI that is optimised; no thresholds judge it"
    sub.add_argument("--objective", type=filled, metavar="KPI", help=text)
    text = "which way the objective is better (default maximize); pareto: several, none is judged"
    sub.add_argument("--direction", choices=DIRECTIONS, help=text)
    sub.add_argument("--model", type=filled, metavar="NAME", help="the model that was asked")
    text = "the run that it belongs to (default: EVOMETRICS_RUN_ID, else a new one)"
    sub.add_argument("--run-id", type=filled, metavar="ID", help=text)
    text = "id of the evolution (default: a new one)"
    sub.add_argument("--evolution-id", type=filled, metavar="ID", help=text)
    text = "an entry of the events' metadata; may be given several times"
    sub.add_argument("--metadata", type=entry, action="append", metavar="NAME=VALUE", help=text)
    add_common(sub)
    add_kafka(sub)


def run(args: argparse.Namespace) -> int:
    """Run the program and record it; return the program's exit code."""
    return run_program(args)
