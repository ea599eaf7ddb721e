"""The check of a reader's statement: each part of its tree, as the engine's own parser has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evometrics.deploy.clickhouse.catalog import Catalog, rows
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.readable import (
    EXPLAINS,
    HEADS,
    IN_FUNCTIONS,
    PARTS,
    STANDARD_CATALOGS,
    STRUCTURED,
    SYSTEM_TABLES,
    TABLE_FUNCTIONS,
)
from evometrics.deploy.clickhouse.reader_kill import killed
from evometrics.deploy.clickhouse.reader_refusals import (
    NO_TREE,
    denied,
    no_database,
    no_function,
    no_table,
    no_table_function,
    statement_kind,
    too_long,
)
from evometrics.deploy.clickhouse.reader_settings import check_setting, read_only
from evometrics.deploy.clickhouse.reader_tree import Node, arguments_of, children, parts_of, without_brackets
from evometrics.deploy.clickhouse.users import ReaderRights

NAME = r"\w+|`[^`\\]+`"
#: Statements that have no tree in JSON, as the engine prints them.
ABOUT_ONE = re.compile(
    rf"(?:EXISTS|SHOW CREATE) (?P<kind>TABLE|VIEW|DATABASE) (?:(?P<database>{NAME})\.)?(?P<name>{NAME})"
    r"(?: FORMAT \w+)?"
)
ABOUT_THE_ENGINE = re.compile(r"SHOW (?:FUNCTIONS|ENGINES)(?: I?LIKE '(?:[^'\\]|\\.)*')?(?: FORMAT \w+)?")
DESCRIBE = "DESCRIBE TABLE "
#: What the engine's own words for a fault of the statement end with when a function parses it.
SCOPE = re.compile(r": (?:In scope|while executing) .*(?=\. \()", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one statement; its methods raise `EngineError` for what is not allowed.

    Attributes:
        file: the file that the server itself has the result written to.
        passing: what the check has asked for that may be different the next time.
    """

    connection: Any
    catalog: Catalog
    reader: ReaderRights
    database: str
    params: Mapping[str, str]
    file: str = ""
    passing: list[str] = field(default_factory=list, init=False)

    def statement(self, sql: str) -> None:
        """Check a whole statement."""
        try:
            sql.encode()
        except UnicodeEncodeError:
            raise EngineError.named(62, "SYNTAX_ERROR", "The statement of a reader is not UTF-8") from None
        (printed,) = self._ask("formatQuerySingleLine({q:String})", sql)
        listed = printed.replace(f" INTO OUTFILE '{self.file}' APPEND", "") if self.file else printed
        if found := ABOUT_ONE.fullmatch(listed):
            name = found["name"].strip("`")
            if found["kind"] == "DATABASE":
                self.in_database(name)
            else:
                self.table([found["database"].strip("`"), name] if found["database"] else [name])
            return
        if ABOUT_THE_ENGINE.fullmatch(listed):
            return
        if printed.startswith(DESCRIBE):  # what is described stands where FROM has its tables
            sql = printed = f"SELECT * FROM {printed.removeprefix(DESCRIBE)}"
        tree = self.tree(sql, printed)
        if tree["type"] not in HEADS:
            raise self.not_reading(statement_kind(tree["type"], tree))
        if tree["type"] == "ExplainQuery" and tree["kind"] not in EXPLAINS:
            raise self.denied(tree["kind"])
        self.head(tree)

    def tree(self, sql: str, printed: str) -> Node:
        """Return a statement's tree; it is all of the statement."""
        try:
            text, again = self._ask("parseQueryToJSON({q:String}) AS tree, formatQueryFromJSON(tree)", sql)
        except EngineError as error:
            if error.code == 168:
                raise too_long() from None
            if error.code != 36:
                raise
            named = NO_TREE.search(str(error))
            raise self.not_reading(statement_kind(named["name"] if named else "this")) from None
        try:
            tree: Node = json.loads(text)
        except RecursionError:
            raise EngineError.named(306, "TOO_DEEP_RECURSION", "The statement is nested too deeply") from None
        if without_brackets(again) != without_brackets(printed):
            raise self.denied("a statement of which the parser does not show every part")
        return tree

    def head(self, tree: Node) -> None:
        """Check a statement by its kind, then its parts."""
        kind = tree["type"]
        if kind == "KillQueryQuery":
            self.kill(tree)
            return
        if kind in ("ShowColumnsQuery", "ShowIndexesQuery"):
            self.table([tree["database"], tree["table"]] if tree.get("database") else [tree["table"]])
        elif kind == "ShowTablesQuery" and "from" in tree:
            self.in_database(self.parts_of(tree["from"])[-1], listing=True)
        elif kind == "UseQuery":
            self.in_database(self.parts_of(tree["database"])[-1])
        if kind == "ExplainQuery":  # its settings are words of EXPLAIN
            if tree["query"]["type"] != "SelectWithUnionQuery":
                raise self.denied("EXPLAIN of anything but a SELECT")
            self.walk(tree["query"])
        elif kind == "SetQuery":
            self.settings(tree)
        else:
            for node in children(tree):
                self.walk(node)
            self.no_file(tree)

    def walk(self, top: Node) -> None:
        """Check a node and all below it."""
        pending = [top]
        while pending:
            pending += self.below(pending.pop())

    def below(self, node: Node) -> Iterable[Node]:
        """Check a node, and return what is to be checked below it."""
        kind = node.get("type")
        if kind is None:
            pass  # a part of the node above it
        elif kind not in PARTS:
            raise self.denied(kind)
        elif kind == "Literal":
            return ()
        elif kind == "SetQuery":
            self.settings(node)
            return ()
        elif kind == "TableIdentifier":
            self.table(self.parts_of(node))
        elif kind == "Function":
            self.function(node)
        elif kind == "TableExpression" and "table_function" in node:
            called = node["table_function"]
            self.table_function(called)
            node = {**node, "table_function": arguments_of(called)}
        elif kind == "ColumnsApplyTransformer" and "func_name" in node:
            self.calculates(node["func_name"])
        self.no_file(node)
        return children(node)

    def no_file(self, node: Node) -> None:
        """Refuse INTO OUTFILE, except the server's own."""
        if "out_file" in node and not (self.file and node["out_file"]["value"]["value"] == self.file):
            raise self.denied("INTO OUTFILE")

    def table(self, parts: Sequence[str]) -> None:
        """Check the name of a table."""
        if len(parts) > 2 or not all(parts):
            raise self.denied(f"table {'.'.join(parts)}")
        database, name = parts if len(parts) == 2 else (self.database, parts[0])
        readable = database in self.reader.databases or database in STANDARD_CATALOGS
        if not readable and not (database == "system" and name in SYSTEM_TABLES):
            raise no_table(self.connection, self.reader, database, name)

    def in_database(self, name: str, *, listing: bool = False) -> None:
        """Check the name of a database that the statement is about."""
        readable = (*self.reader.databases, *STANDARD_CATALOGS, "system")
        if name not in readable and not (listing and name == "default"):
            raise no_database(self.connection, self.reader, name)

    def function(self, node: Node) -> None:
        """Check a function in an expression."""
        name = node["name"]
        self.calculates(name)
        if name.lower() == "hascolumnintable":
            self.column_in_table(node["arguments"]["children"])
        if name.lower() in IN_FUNCTIONS:
            for argument in node["arguments"]["children"][1:]:
                if argument["type"] in ("Identifier", "TableIdentifier"):
                    self.table(self.parts_of(argument))

    def column_in_table(self, arguments: Sequence[Node]) -> None:
        """Check `hasColumnInTable`: names that stand there, of a table that may be read."""
        if len(arguments) != 3 or not all(each["type"] == "Literal" for each in arguments):
            raise self.denied("hasColumnInTable of anything but three texts, database, table and column,")
        self.table([str(each["value"]["value"]) for each in arguments[:2]])

    def calculates(self, name: str) -> None:
        """Check the name of a function in an expression."""
        if not self.catalog.calculates(name):
            raise no_function(self.connection, self.catalog, self.reader, name)

    def table_function(self, node: Node) -> None:
        """Check a table function, or a view with parameters, which is written as one."""
        name = node["name"]
        arguments = node.get("arguments", {}).get("children", ())
        if name.lower() == "loop":
            self.looped(arguments)
        if name.lower() in STRUCTURED:
            position, least = STRUCTURED[name.lower()]
            if len(arguments) >= least:
                self.structure(arguments[position])
        if name.lower() in TABLE_FUNCTIONS:
            return
        if name.lower() in self.catalog.table_functions:
            raise self.no_table_function(self.database, name)
        parts = name.split(".") if node.get("is_compound_name") else [name]
        self.table(parts)
        database = parts[0] if len(parts) == 2 else self.database
        self.passing.append(f"whether {database}.{parts[-1]} is a view")
        found = rows(
            self.connection,
            "SELECT 1 FROM system.tables WHERE database = {d:String} AND name = {t:String} "
            "AND engine = 'View'",
            {"d": database, "t": parts[-1]},
        )
        if not found:
            raise self.no_table_function(database, parts[-1])

    def looped(self, arguments: Sequence[Node]) -> None:
        """Check what `loop` reads: a table function; a table's name could be an alias of another."""
        if (
            len(arguments) != 1
            or arguments[0]["type"] != "Function"
            or arguments[0]["name"].lower() == "loop"
        ):
            raise self.denied("loop over anything but a table function, as loop(view(SELECT ...)),")
        self.table_function(arguments[0])

    def structure(self, argument: Node) -> None:
        """Check columns that stand in a text: names and types, and no expressions for defaults."""
        if argument["type"] == "Function" and argument["name"] == "tuple":
            return
        value = argument.get("value", {}).get("value")
        if argument["type"] != "Literal":
            raise self.denied("a table function whose columns are calculated")
        if isinstance(value, str) and not re.fullmatch(r"\w*", value):
            self._ask("defaultValueOfTypeName('Tuple(' || {q:String} || ')') IS NULL", value)

    def settings(self, node: Node) -> None:
        """Check the settings that a statement sets."""
        for parameter in node.get("query_parameters", ()):
            raise read_only(f"Cannot set param_{parameter['name']}: parameters come with their request")
        for change in node.get("changes", ()):
            self.setting(change["name"], str(change["value"]["value"]))
        for name in node.get("default_settings", ()):
            self.setting(name, "0")

    def setting(self, name: str, value: str) -> None:
        """Check a setting that stands in the statement."""
        check_setting(self.catalog, self.reader, name, value)

    def kill(self, node: Node) -> None:
        """Check that a KILL names statements by their ids, and none of another user."""
        ids = list(killed(node["where_expression"], self.params)) if node.get("kill_type") == "Query" else []
        self.passing.append("whose statements are killed")
        if not ids:
            raise self.denied("KILL of anything but its own, by query_id = '...',")
        for each in ids:
            if self.reader.owner(each) not in (None, self.reader.name):
                raise self.denied(f"KILL of another user's statement {each}")

    def parts_of(self, node: Node) -> list[str]:
        """Return the parts of a name, with the request's parameters."""
        return parts_of(node, self.params, self.reader)

    def denied(self, what: str) -> EngineError:
        """Return the error for what a reader may not use."""
        return denied(self.reader, what)

    def no_table_function(self, database: str, name: str) -> EngineError:
        """Return the error for a table function, or a view with parameters in a database that may be read."""
        return no_table_function(self.connection, self.catalog, self.reader, database, name)

    def not_reading(self, kind: str) -> EngineError:
        """Return the error for a kind of statement that is not for readers."""
        return read_only(f"{self.reader.name} only reads: {kind} is not for readers")

    def _ask(self, expressions: str, sql: str) -> list[str]:
        """Return what expressions over the statement's text give."""
        try:
            return rows(self.connection, f"SELECT {expressions} SETTINGS max_query_size = 0", {"q": sql})[0]
        except RuntimeError as error:
            told = EngineError.of(str(error))
            raise EngineError(told.code, SCOPE.sub("", str(told))) from None
