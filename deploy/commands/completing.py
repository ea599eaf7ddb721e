"""Completion of commands and flags in a shell (argcomplete): what `evometrics completion` sets up."""

from __future__ import annotations

import argparse
import os

import argcomplete
from argcomplete.shell_integration import shellcode

from evometrics.deploy.commands import COMMANDS

SHELLS = ("bash", "zsh", "fish", "powershell")


def complete(root: argparse.ArgumentParser) -> None:
    """Answer the shell and exit; loads only the module of the command that is being typed."""
    typed = os.environ.get("COMP_LINE", "").split()
    for action in root._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in COMMANDS:
                if name in typed:
                    action.choices[name].load()
    argcomplete.autocomplete(root)


def script(shell: str) -> str:
    """Return the script that a shell evaluates to complete `evometrics`."""
    return shellcode(["evometrics"], shell=shell)
