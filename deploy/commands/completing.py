"""Completion of commands and flags in a shell (argcomplete): what `evometrics completion` sets up."""

from __future__ import annotations

import argparse
import os

import argcomplete
from argcomplete.shell_integration import shellcode

from evometrics.deploy.commands import COMMANDS

SHELLS = ("bash", "zsh", "fish", "powershell")


def complete(root: argparse.ArgumentParser) -> None:
    """Answer the shell and exit; only the command's module that is being typed is loaded."""
    typed = os.environ.get("COMP_LINE", "").split()
    for action in root._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in COMMANDS:
                if name in typed:
                    action.choices[name].load()
    argcomplete.autocomplete(root)


def script(shell: str) -> str:
    """Return what a shell evaluates to complete `evometrics`."""
    return shellcode(["evometrics"], shell=shell)
