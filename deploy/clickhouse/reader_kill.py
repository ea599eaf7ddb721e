"""Which statements a reader's KILL QUERY names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def killed(condition: Mapping[str, Any], params: Mapping[str, str]) -> Iterator[str]:
    """Yield the ids in `query_id = '...'` or `query_id IN (...)`; none if it says anything else."""
    arguments = condition.get("arguments", {}).get("children", ())
    if condition.get("name") in ("equals", "in") and len(arguments) == 2:
        column, value = arguments
        if column.get("type") == "Identifier" and column.get("name") == "query_id":
            yield from texts(value, params)


def texts(node: Mapping[str, Any], params: Mapping[str, str]) -> Iterator[str]:
    """Yield the texts of a literal or parameter."""
    if node["type"] == "QueryParameter":
        yield from filter(None, [params.get(node["name"])])
    elif node["type"] == "Literal":
        value = node["value"]["value"]
        yield from (each["value"] for each in value) if isinstance(value, list) else [str(value)]
