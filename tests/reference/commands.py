"""commands.md: each command with its flags, from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from evometrics.deploy.cli.main import CommandParser, parser
from evometrics.deploy.commands import COMMANDS
from tests.reference.examples import EXAMPLES
from tests.reference.markdown import cell, code, document, sentence, table, wrapped

Actions = list[argparse.Action]


class Leaf(NamedTuple):
    """A command that can be called, such as `topics` or `dead-letters list`."""

    name: str
    text: str
    actions: Actions

    @property
    def flags(self) -> Actions:
        """What it takes by name."""
        return [each for each in self.actions if each.option_strings and each.dest != "help"]

    @property
    def arguments(self) -> Actions:
        """What it takes by place."""
        return [each for each in self.actions if not each.option_strings]


def leaves() -> Iterator[Leaf]:
    """Give every command that can be called, in the order of `--help`."""
    for name, sub in subparsers(parser()).items():
        actions = subparsers(sub)
        if not actions:
            yield Leaf(name, COMMANDS[name].text, list(sub._actions))
        for action, deeper in actions.items():
            yield Leaf(f"{name} {action}", help_of(sub, action), list(deeper._actions))


def subparsers(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers below one, with their flags."""
    if isinstance(of, CommandParser):
        of.load()
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def help_of(of: argparse.ArgumentParser, name: str) -> str:
    """Return what a parser's help says of one below it."""
    (action,) = (each for each in of._actions if isinstance(each, argparse._SubParsersAction))
    (found,) = (each.help for each in action._choices_actions if each.dest == name)
    return found or ""


def shared(every: list[Leaf]) -> Actions:
    """Return the flags that all commands have alike."""
    first, *others = [{spelt(each): (each.help, each) for each in leaf.flags} for leaf in every]
    return [
        action
        for name, (text, action) in first.items()
        if all(name in other and other[name][0] == text for other in others)
    ]


def spelt(action: argparse.Action) -> str:
    """Return a flag or argument as one types it."""
    words = list(action.option_strings)
    if action.nargs != 0:
        words.append(value(action))
    return " ".join(words)


def value(action: argparse.Action) -> str:
    """Return the placeholder of a flag's value, or of an argument."""
    name = action.metavar if isinstance(action.metavar, str) else None
    if name is None and action.choices is not None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    name = name or action.dest.upper()
    return f"[{name} ...]" if action.nargs == "*" else name


def row(action: argparse.Action) -> list[str]:
    """Return a flag's or an argument's row."""
    text = sentence(action.help or "")
    if action.option_strings and action.required:
        text = f"Required. {text}"
    return [code(spelt(action)), cell(text.replace("%%", "%"))]


def section(leaf: Leaf, known: Actions, level: int) -> list[str]:
    """Return a command's section: what it does, how it is called, arguments, flags, examples."""
    names = {spelt(each) for each in known}
    own = [each for each in leaf.flags if spelt(each) not in names]
    words = ["evometrics", leaf.name]
    words += [spelt(each) for each in own if each.required]
    words += [spelt(each) for each in leaf.arguments]
    call = " ".join([*words, "[FLAGS]"])
    blocks = [f"{'#' * level} {leaf.name}", sentence(leaf.text), f"```text\n{call}\n```"]
    if leaf.arguments:
        blocks.append(table(["argument", "meaning"], map(row, leaf.arguments)))
    if own:
        blocks.append(table(["flag", "meaning"], map(row, own)))
    if leaf.name not in EXAMPLES:
        raise LookupError(f"{leaf.name} has no example: add one to tests/reference/examples.py")
    lines = [f"# {each.what}\n{each.line}" for each in EXAMPLES[leaf.name]]
    blocks.append("```bash\n" + "\n".join(lines) + "\n```")
    return blocks


def page() -> str:
    """Return the page."""
    every = list(leaves())
    known = shared(every)
    blocks = [
        wrapped(
            "Everything is started by `evometrics COMMAND`. `evometrics --help` lists the commands, "
            "`evometrics COMMAND --help` the flags of one, and `evometrics --version` prints the "
            "version. A setting can be given as a flag, where the command has one, as an environment "
            "variable, or in a TOML file, in this order of precedence: see [settings](settings.md). What "
            "a command returns is under [exit codes](exit-codes.md)."
        ),
        table(
            ["command", "what it does", "needs"],
            ([f"[{name}](#{name})", cell(each.text), extra(each.extra)] for name, each in COMMANDS.items()),
        ),
        wrapped(
            "*Needs* names the extra of the package that has the command's dependencies: `pip install "
            "'evometrics[sinks]'`. A command whose extra is not installed says which one to install."
        ),
        "## Flags of every command",
        table(["flag", "meaning"], map(row, known)),
    ]
    parts: dict[str, list[Leaf]] = {}
    for leaf in every:
        parts.setdefault(leaf.name.split()[0], []).append(leaf)
    for name, leaves_below in parts.items():
        if leaves_below[0].name == name:
            blocks += section(leaves_below[0], known, 2)
            continue
        blocks += [f"## {name}", COMMANDS[name].text]
        for leaf in leaves_below:
            blocks += section(leaf, known, 3)
    return document("Commands", *blocks)


def extra(name: str) -> str:
    """Return the extra that a command needs, as the table has it."""
    return code(name) if name else "none"
