"""Mutants of one module: each is the module's syntax tree with one small change inside a function or a constant.

Comparison (boundary and negation), arithmetic, sign, boolean, numeric and truth constants, conditions, returned
values, paired functions (min and max, sine and cosine), break and continue. Left alone: annotations, strings,
assertions, raised errors, class-level field defaults, and what only a type checker runs.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
NEGATION = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
PAIRS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("cos", "sin"),
    ("floor", "ceil"),
)
PAIRED = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}


@dataclass(frozen=True)
class Mutant:
    """`where`: line, column and kind, unique within the module. `tree`: the changed module."""

    where: str
    line: int
    change: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a module, in order of its lines."""
    tree = ast.parse(source)
    seen: dict[str, int] = {}
    places = list(_places(tree))
    for path, kind, changed in places:
        mutated = copy.deepcopy(tree)
        before = _follow(tree, path)
        _replace(mutated, path, changed)
        ast.fix_missing_locations(mutated)
        name = f"{before.lineno}:{before.col_offset}:{kind}"
        seen[name] = seen.get(name, 0) + 1
        where = name if seen[name] == 1 else f"{name}:{seen[name]}"
        yield Mutant(where, before.lineno, f"{_text(before)}  ->  {_text(changed)}", mutated)


def _places(tree: ast.Module):
    """(path to a node, kind of change, the node changed) for every possible mutant."""
    for path, node in _walk(tree, (), False):
        for kind, changed in _changes(node):
            yield path, kind, ast.copy_location(changed, node)


def _walk(node, path, inside):
    """Nodes that may be changed, with the path of fields that leads to each."""
    for field, value in ast.iter_fields(node):
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.AST) or _left_alone(node, field, child, inside):
                continue
            here = (*path, (field, index))
            if inside or not isinstance(child, ast.stmt):
                yield here, child
            deeper = inside or isinstance(child, (ast.FunctionDef, ast.Assign, ast.AnnAssign))
            yield from _walk(child, here, deeper)


def _left_alone(parent, field, child, inside) -> bool:
    if field in ("annotation", "returns", "decorator_list", "bases", "type_params", "targets", "target", "format_spec"):
        return True
    if isinstance(child, (ast.Assert, ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)):
        return True
    if isinstance(parent, ast.ClassDef) and not isinstance(child, ast.FunctionDef):
        return True
    return isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"


def _changes(node):
    """(kind, changed node) of everything that can be done to one node itself."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for kind, table in (("boundary", BOUNDARY), ("negated", NEGATION)):
                if type(operator) in table:
                    yield kind, _with_operator(node, place, table[type(operator)]())
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC:
        changed = copy.deepcopy(node)
        changed.op = ARITHMETIC[type(node.op)]()
        yield "arithmetic", changed
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
            yield "sign" if isinstance(node.op, ast.USub) else "negated", copy.deepcopy(node.operand)
    elif isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", changed
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and not isinstance(node.test, (ast.Compare, ast.Constant)):
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), changed.test)
        yield "condition", changed
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "returns", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Call):
        yield from _paired(node)
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield "leaves", ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def _text(node) -> str:
    """One line of source; of a statement with a body, its condition."""
    return ast.unparse(node.test if isinstance(node, (ast.If, ast.While)) else node)


def _constants(node):
    if isinstance(node.value, bool):
        yield "constant", ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield "constant", ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield "constant", ast.Constant(node.value * 1.25 if node.value else 1.0)


def _paired(node):
    changed = copy.deepcopy(node)
    if isinstance(node.func, ast.Name) and node.func.id in PAIRED:
        changed.func.id = PAIRED[node.func.id]
        yield "paired", changed
    elif isinstance(node.func, ast.Attribute) and node.func.attr in PAIRED:
        changed.func.attr = PAIRED[node.func.attr]
        yield "paired", changed


def _is_none(node) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _with_operator(node, place, operator):
    changed = copy.deepcopy(node)
    changed.ops[place] = operator
    return changed


def _follow(tree, path):
    node = tree
    for field, index in path:
        node = getattr(node, field) if index is None else getattr(node, field)[index]
    return node


def _replace(tree, path, changed) -> None:
    parent, (field, index) = _follow(tree, path[:-1]), path[-1]
    if index is None:
        setattr(parent, field, changed)
    else:
        getattr(parent, field)[index] = changed
