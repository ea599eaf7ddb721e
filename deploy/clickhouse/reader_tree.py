"""The tree of a reader's statement, as `parseQueryToJSON` gives it: what is below a node, what a name is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.reader_refusals import denied
from evometrics.deploy.clickhouse.users import ReaderRights

Node = Mapping[str, Any]

#: Quoted text and empty brackets, which are kept, or a bracket: the tree has none around a single value.
BRACKETS = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|\(\)|[()]""", re.DOTALL)


def arguments_of(called: Node) -> Node:
    """Return the part of a table function that is checked like any expression."""
    if called["name"].lower() == "loop":
        (called,) = called["arguments"]["children"]
    return {name: called[name] for name in called if name != "type"}


def children(node: Node) -> Iterator[Node]:
    """Yield what is directly below a node."""
    for value in node.values():
        if isinstance(value, Mapping):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, Mapping))


def parts_of(node: Node, params: Mapping[str, str], reader: ReaderRights) -> list[str]:
    """Return the parts of a name; `{name:Identifier}` are replaced by their values.

    Raises `EngineError` where a value is missing, or is no name.
    """
    parameters = iter([each for each in node.get("children", ()) if each["type"] == "QueryParameter"])
    found: list[str] = []
    for part in node.get("name_parts") or [node["name"]]:
        if part:
            found.append(part)
            continue
        name = next(parameters, {"name": ""})["name"]
        value = params.get(name)
        if value is None:
            raise EngineError.named(456, "UNKNOWN_QUERY_PARAMETER", f"Substitution `{name}` is not set")
        if not re.fullmatch(r"\w+(\.\w+)?", value):
            raise denied(reader, f"the name {value!r} in a parameter")
        found += value.split(".")
    return found


def without_brackets(statement: str) -> str:
    """Return a statement, as the engine prints it, without brackets outside of quotes."""
    return BRACKETS.sub(lambda found: "" if found[0] in ("(", ")") else found[0], statement)
