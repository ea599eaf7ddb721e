"""`evometrics alerts`: alert rules for Prometheus, and examples of its and Alertmanager's configuration."""

from __future__ import annotations

import argparse
from importlib.resources import files

from evometrics.deploy.console.flags import add_common

FILES = ("rules", "prometheus", "alertmanager")
#: The page that alerts refer to, in this repository.
RUNBOOKS = "docs/how-to/runbooks.md"


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    what = "the alert rules (default), or an example of Prometheus' or Alertmanager's configuration"
    sub.add_argument("file", nargs="?", choices=FILES, default=FILES[0], help=what)
    text = "where these docs are served, for the alerts' links, e.g. https://docs.example.org/evometrics"
    sub.add_argument("--docs", metavar="URL", help=text)


async def run(args: argparse.Namespace) -> int:
    """Print the file."""
    text = (files("evometrics.deploy.prometheus") / f"{args.file}.yml").read_text(encoding="utf-8")
    if args.docs:
        text = text.replace(RUNBOOKS, f"{args.docs.rstrip('/')}/how-to/runbooks.html")
    print(text, end="")
    return 0
