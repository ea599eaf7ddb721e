"""The small changes: each is one token of a module's source, or one value, replaced by another.

Not changed are annotations, decorators and docstrings; numbers that are merely given a name (a constant or a
table of them, a field's or a parameter's default), for another number would be as right; and what stands
under `TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

#: A comparison with its boundary moved, and turned round.
COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one change.

    Attributes:
        file: the module's path in the checkout.
        line: number of the line that is changed.
        before, after: that line without its indentation, as it is and as it becomes.
        source: the whole changed module.
    """

    file: str
    line: int
    before: str
    after: str
    source: str


def mutants(root: Path, file: str) -> list[Mutant]:
    """Return all changes of a module that still compile, in the order of its lines."""
    data = (root / file).read_bytes()
    starts = [0]
    for each in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(each))
    found = {}
    for begin, end, text in replacements(ast.parse(data), data, starts):
        changed = data[:begin] + text.encode() + data[end:]
        try:
            compile(changed, file, "exec", dont_inherit=True)
        except SyntaxError:
            continue
        line = data.count(b"\n", 0, begin)
        before, after = (each.splitlines()[line].decode().strip() for each in (data, changed))
        found[begin, end, text] = Mutant(file, line + 1, before, after, changed.decode())
    return [found[key] for key in sorted(found)]


def replacements(tree: ast.AST, data: bytes, starts: list[int]) -> Iterator[tuple[int, int, str]]:
    """Yield what may be replaced in a module: first byte, byte after the last, and the new text."""

    def begin(node: ast.expr) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return starts[node.end_lineno - 1] + node.end_col_offset

    def between(left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[tuple[int, int, str]]:
        words = old.isalpha() or " " in old
        pattern = rf"\b{old}\b" if words else re.escape(old)
        if token := re.search(pattern.encode(), data[end(left) : begin(right)]):
            yield end(left) + token.start(), end(left) + token.end(), new

    for node in walk(tree):
        match node:
            case ast.Compare(left=left, ops=ops, comparators=others):
                for one, op, other in zip([left, *others], ops, others, strict=False):
                    old, news = COMPARISONS[type(op)]
                    for new in news:
                        yield from between(one, other, old, new)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                yield from between(left, right, *ARITHMETIC[type(op)])
            case ast.AugAssign(target=target, op=op, value=value) if type(op) in ARITHMETIC:
                old, new = ARITHMETIC[type(op)]
                yield from between(target, value, f"{old}=", f"{new}=")
            case ast.BoolOp(op=op, values=values):
                old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                for left, right in pairwise(values):
                    yield from between(left, right, old, new)
            case ast.UnaryOp(op=ast.Not()):
                yield begin(node), begin(node) + len(b"not "), ""
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                yield begin(node), begin(operand), ""
            case ast.Constant(value=bool(value)):
                yield begin(node), end(node), str(not value)
            case ast.Constant(value=int(value) | float(value)):
                yield begin(node), end(node), str(value + 1)
                yield begin(node), end(node), f"({value - 1})" if value < 1 else str(value - 1)
            case ast.Call(func=ast.Name(id=name) as function) if name in FUNCTIONS:
                yield begin(function), end(function), FUNCTIONS[name]
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if isinstance(
                test, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
            ):
                yield begin(test), begin(test), "not "
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield begin(value), end(value), "None"


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that may be changed."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params", "format_spec"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not is_given(node, field, child):
                yield from walk(child)


def is_given(parent: ast.AST, field: str, child: ast.AST) -> bool:
    """Return whether a node is but a number with a name, an alias of types, or for type checkers alone."""
    match parent:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Module() | ast.ClassDef() if isinstance(child, (ast.Assign, ast.AnnAssign)):
            value = child.value.operand if isinstance(child.value, ast.UnaryOp) else child.value
            alias = isinstance(child, ast.AnnAssign) and "TypeAlias" in ast.unparse(child.annotation)
            values = value.values if isinstance(value, ast.Dict) else [value]
            return alias or all(isinstance(each, ast.Constant) for each in values)
        case ast.arguments():
            return field in ("defaults", "kw_defaults") and isinstance(child, ast.Constant)
    return False
