"""Reads an array, tuple or map that is given as text: ClickHouse's words, as far as they are Python's."""

from __future__ import annotations

import ast
import re
from typing import Any

from evometrics.sinks.query.text import tokens

CONSTANTS = {"null": None, "true": True, "false": False}
#: What is written alike in both: no doubled quotes, and no escapes but these.
ALIKE = re.compile(r"(?:[^'\\]|\\[\\'nrt])*\Z")


def read_literal(text: str) -> Any:
    """Return the value that text is; raises `ValueError` where it is not a literal, or not alike in both."""
    if any(token["quoted"] and not ALIKE.match(token[0][1:-1]) for token in tokens(text)):
        raise ValueError("has quotes that are written otherwise in Python")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError("is no literal") from None
    return ast.literal_eval(Constants().visit(tree))


class Constants(ast.NodeTransformer):
    """Puts values in place of NULL, true and false."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Return the constant that a name is."""
        name = node.id.lower()
        return ast.Constant(CONSTANTS[name]) if name in CONSTANTS else node
