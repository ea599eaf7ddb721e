"""`evometrics completion`: completion of commands and flags, as a script for the shell."""

from __future__ import annotations

import argparse

from evometrics.deploy.commands.completing import SHELLS, script
from evometrics.deploy.console.flags import add_common


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    text = 'the shell, e.g. in ~/.bashrc: eval "$(evometrics completion bash)"'
    sub.add_argument("shell", choices=SHELLS, help=text)


async def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(script(args.shell))
    return 0
