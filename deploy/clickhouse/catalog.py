"""What the engine has: its functions, table functions and settings, as its system tables tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evometrics.deploy.clickhouse.readable import AGGREGATING, FUNCTION_CATEGORIES, FUNCTIONS

AGGREGATES = "Aggregate Functions"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The names that a statement may hold.

    Attributes:
        functions: category by name, in lower case: the engine takes many names in any case.
        aliases: the names that other names stand for, all in lower case.
        combinators: endings of aggregate functions, in lower case.
        table_functions: names in lower case.
        settings: type by name.
    """

    functions: Mapping[str, str]
    aliases: Mapping[str, str]
    combinators: tuple[str, ...]
    table_functions: frozenset[str]
    settings: Mapping[str, str]

    @classmethod
    def of(cls, connection: Any) -> Catalog:
        """Read it from the engine."""
        listed = rows(connection, "SELECT name, categories, alias_to FROM system.functions")
        categories = {name.lower(): category for name, category, of in listed if not of}
        aliases = {
            name.lower(): of.lower() for name, _, of in listed if of and name.lower() not in categories
        }
        combinators = rows(connection, "SELECT name FROM system.aggregate_function_combinators")
        tables = rows(connection, "SELECT name FROM system.table_functions")
        return cls(
            categories,
            aliases,
            tuple(name.lower() for (name,) in combinators),
            frozenset(name.lower() for (name,) in tables),
            dict(rows(connection, "SELECT name, type FROM system.settings")),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The functions' names."""
        return (*self.functions, *self.aliases)

    def has_function(self, name: str) -> bool:
        """Return whether the engine has such a function, also by a combinator."""
        name = name.lower()
        return (
            name in self.functions
            or name in self.aliases
            or any(
                name.endswith(ending) and self.has_function(name.removesuffix(ending))
                for ending in self.combinators
            )
        )

    def calculates(self, name: str) -> bool:
        """Return whether a function only calculates; combinators may follow its name."""
        name = name.lower()
        name = self.aliases.get(name, name)
        if name in FUNCTIONS:
            return True
        if name in self.functions:
            return self.functions[name] in FUNCTION_CATEGORIES
        return self.aggregates(name)

    def aggregates(self, name: str) -> bool:
        """Return whether a name, in lower case, is an aggregate function's that only calculates."""
        name = self.aliases.get(name, name)
        if name in self.functions:
            return self.functions[name] == AGGREGATES or name in AGGREGATING
        return any(
            name.endswith(ending) and self.aggregates(name.removesuffix(ending))
            for ending in self.combinators
        )


def rows(connection: Any, sql: str, params: Mapping[str, str] | None = None) -> list[list[Any]]:
    """Return a query's rows; parameters are texts. Raises chDB's errors."""
    given = {name: escaped(value) for name, value in (params or {}).items()}
    found = connection.query(sql, "JSONCompactEachRow", params=given)
    return [json.loads(line) for line in found.bytes().decode(errors="replace").splitlines()]


def escaped(text: str) -> str:
    """Return a parameter's text as the engine takes it."""
    for mark, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0")):
        text = text.replace(mark, written)
    return text
