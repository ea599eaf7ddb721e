"""settings.md: every section's dataclass, from its fields and docstring."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from evometrics.deploy.console.options import LOCAL
from evometrics.producers.settings import CollectorSettings
from evometrics.schemas.service.settings import SECTIONS, variable_of
from tests.reference.markdown import attributes, cell, code, document, paragraphs, sentence, table, wrapped

CLASSES: dict[str, type[Any]] = dict(sorted({**LOCAL, "collector": CollectorSettings}.items()))
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}
HEAD = ["setting", "type", "default", "meaning, and environment variable"]
#: Read by the parts that start Kafka, and named as other programs name them.
OTHER_VARIABLES = {
    "KAFKA_HOME": "An installed Kafka, to start instead of one whose jars are fetched.",
    "JAVA_HOME": "The Java to run Kafka with, 17 or newer; else the one on `PATH`.",
    "XDG_CACHE_HOME": "Folder for the jars that are fetched; else `~/.cache`, else that of the data.",
    "HOME": "The user's home, in which Maven keeps what it fetches.",
    "SSL_CERT_FILE": "PEM file with the authorities to trust where jars are fetched without Maven.",
}
#: What is to be known of a section beside its docstring.
REMARKS = {
    "collector": "A node's collector takes these names, and those of `[kafka]`, as keys of its `config`. "
    "What the config leaves out is read from the variables; no file is read.",
    "stream": "A command that starts a worker sets `data` to the folder `stream` in that of `--data`.",
}


def meanings(cls: type[Any]) -> dict[str, str]:
    """Return what each field means, from the docstrings of the class and of those it is made of."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        found |= attributes(each.__dict__.get("__doc__"))
    return found


def type_of(hint: Any) -> str:
    """Return a type in words."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [each for each in typing.get_args(hint) if each is not type(None)]
        return f"{type_of(inner[0])}, or none"
    return TYPES[hint]


def default_of(field: dataclasses.Field[Any]) -> str:
    """Return a default as the file has it."""
    match field.default:
        case None:
            return "none"
        case "":
            return "empty"
        case bool():
            return code(str(field.default).lower())
    return code(str(field.default))


def rows(section: str, cls: type[Any]) -> list[list[str]]:
    """Return a row for each setting of a section."""
    hints, found = typing.get_type_hints(cls), meanings(cls)
    return [
        [
            code(field.name),
            type_of(hints[field.name]),
            default_of(field),
            f"{cell(sentence(found[field.name]))}<br>{code(variable_of(section, field.name))}",
        ]
        for field in dataclasses.fields(cls)
    ]


def page() -> str:
    """Return the page."""
    assert set(CLASSES) == set(SECTIONS)
    blocks = [
        wrapped(
            "A setting is given as a flag, as an environment variable, or as an entry of a TOML file "
            "that `--config` names. A flag wins over the variable, the variable over the file, the file "
            "over the default. [Commands](commands.md) has the flags; `evometrics config` prints the "
            "settings in force and where each of them comes from."
        ),
        "```toml\n"
        '[kafka]\nbrokers = "kafka-1:9092,kafka-2:9092"\nreplication = 3\n\n'
        '[clickhouse]\nurl = "http://clickhouse-1:8123"\nuser = "evometrics"\n'
        "```",
        wrapped(
            "A section, an entry or a variable `EVOMETRICS_...` that no part knows is refused, with the "
            "name that may be meant. A variable or an entry that is empty means none, where none is "
            "possible. Keep passwords and tokens in variables or in the file: no flag takes one, and "
            "none is ever printed."
        ),
        wrapped(
            "A variable with `_FILE` at its end names a file that holds the value, as containers are given "
            "secrets: `EVOMETRICS_KAFKA_SASL_PLAIN_PASSWORD_FILE=/run/secrets/kafka`."
        ),
    ]
    for section, cls in CLASSES.items():
        blocks += [f"## {section}", *map(wrapped, paragraphs(cls.__doc__))]
        if section in REMARKS:
            blocks.append(wrapped(REMARKS[section]))
        blocks.append(table(HEAD, rows(section, cls)))
    blocks += [
        "## Other variables",
        "`evometrics up` and `evometrics demo` read these where they start Kafka:",
        table(["variable", "meaning"], ([code(n), cell(text)] for n, text in OTHER_VARIABLES.items())),
    ]
    return document("Settings", *blocks)
