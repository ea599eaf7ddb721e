"""Whether the command line takes a call that a page shows, where a word in capitals stands for any value."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from evometrics.deploy.cli.main import CommandParser, parser

#: A word of a command that stands for another.
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_:/.-]*")


class Call(NamedTuple):
    """A command that can be called, and its parser."""

    name: str
    parser: argparse.ArgumentParser


def calls(root: argparse.ArgumentParser, name: str = "") -> Iterator[Call]:
    """Give every command that can be called, with its flags."""
    if isinstance(root, CommandParser):
        root.load()
    below = [each for each in root._actions if isinstance(each, argparse._SubParsersAction)]
    if not below:
        yield Call(name, root)
    for action in below:
        for word, deeper in action.choices.items():
            yield from calls(deeper, f"{name} {word}".strip())


class Choices(list[Any]):
    """Choices of a flag, and any placeholder."""

    def __contains__(self, value: object) -> bool:
        return list.__contains__(self, value) or is_placeholder(value)


def is_placeholder(value: object) -> bool:
    """Return whether a word stands for another."""
    return isinstance(value, str) and PLACEHOLDER.fullmatch(value) is not None


def lenient(root: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return a parser that takes a word in capitals for any value."""
    for call in calls(root):
        for action in call.parser._actions:
            if action.type is not None:
                action.type = or_placeholder(action.type)
            if action.choices is not None:
                action.choices = Choices(action.choices)
    return root


def or_placeholder(parse: Any) -> Any:
    """Return what parses a value or leaves a placeholder as it is."""

    def parsed(text: str) -> Any:
        return text if is_placeholder(text) else parse(text)

    parsed.__name__ = getattr(parse, "__name__", "value")
    return parsed


def refusal(arguments: list[str]) -> str | None:
    """Return why the command line refuses arguments, None where it takes them."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        try:
            lenient(parser()).parse_args(arguments)
        except SystemExit as end:
            if end.code:
                return told.getvalue()
    return None
