"""The mutants of a module: copies of it that differ in one place."""

import ast
import itertools
from collections.abc import Iterator
from typing import NamedTuple

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}

#: Parts of a node that are no code of a running program, or only its words for people.
_SKIPPED = {"annotation", "returns", "decorator_list", "keywords_of_class", "type_params"}


class Mutant(NamedTuple):
    """A copy of a module that differs in one place.

    Attributes:
        module: the module, as in `engine/health`.
        ordinal: the number of mutants of the module before this one.
        number: the number of the changed line.
        function: the function of the line, as in `Health.note`; empty outside of functions.
        line: the changed line, as written in the module.
        change: what has changed, as in `a < b → a <= b`.
    """

    module: str
    ordinal: int
    number: int
    function: str
    line: str
    change: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.number}: {self.line}\n    {self.change}"

    def code(self, source: str) -> str:
        """The source of the mutant, from that of its module."""
        tree, _, _ = next(itertools.islice(_mutated(source), self.ordinal, None))
        return ast.unparse(tree)


class _Place(NamedTuple):
    """A place in a syntax tree: a field of a node, or an item of a field."""

    parent: ast.AST
    field: str
    at: int | None

    def put(self, node: ast.AST) -> None:
        """Put another node into this place."""
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """All mutants of a module.

    Args:
        module: the name of the module.
        source: its source.
    """
    lines = source.splitlines()
    functions = dict(_functions(ast.parse(source)))
    for ordinal, (_, node, changed) in enumerate(_mutated(source)):
        number = node.lineno
        line, function = lines[number - 1].strip(), functions.get(number, "")
        yield Mutant(module, ordinal, number, function, line, _shown(node, changed))


def _functions(tree: ast.AST, outer: str = "") -> Iterator[tuple[int, str]]:
    """The number of each line in a function or class, and its name: the innermost one last."""
    for node in ast.iter_child_nodes(tree):
        name = outer
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{node.name}".lstrip(".")
            yield from ((number, name) for number in range(node.lineno, (node.end_lineno or 0) + 1))
        yield from _functions(node, name)


def _mutated(source: str) -> Iterator[tuple[ast.AST, ast.expr | ast.stmt, ast.AST]]:
    """The tree of each mutant, with the node that was there and the node that is there instead.

    It is the same tree each time, so look at it before the next one.
    """
    tree = ast.parse(source)
    for place, node in list(_places(tree)):
        for changed in _changes(place, node):
            place.put(changed)
            yield tree, node, changed
            place.put(node)


def _shown(node: ast.AST, changed: ast.AST) -> str:
    return f"{ast.unparse(node)} → {ast.unparse(changed)}"


def _places(parent: ast.AST) -> Iterator[tuple[_Place, ast.expr | ast.stmt]]:
    """The places of all expressions and statements below a node that can be mutated."""
    for field, value in ast.iter_fields(parent):
        if field in _SKIPPED or (field == "keywords" and isinstance(parent, ast.ClassDef)):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_about_words(node):
                continue
            if isinstance(node, ast.expr | ast.stmt):
                yield _Place(parent, field, index), node
            yield from _places(node)


def _is_about_words(node: ast.AST) -> bool:
    """Whether a node only makes a text for people, a type or a list of names."""
    match node:
        case ast.JoinedStr() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__hash__" | "log")]):
            return True
    return False


def _changes(place: _Place, node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that replace a node, each in a mutant of its own."""
    match node:
        case ast.Compare(left, [operator, *more], comparators):
            yield ast.Compare(left, [_COMPARISONS[type(operator)](), *more], comparators)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Name(id=name) if name in _NAMES:
            yield ast.Name(_NAMES[name], ast.Load())
        case ast.Name() | ast.Attribute() | ast.Call() | ast.NamedExpr():
            if _is_condition(place):
                yield ast.UnaryOp(ast.Not(), node)
        case ast.stmt():
            yield from _other_statements(node)


def _is_condition(place: _Place) -> bool:
    is_test = place.field == "test" and not isinstance(place.parent, ast.Assert)
    return is_test or (place.field == "ifs" and isinstance(place.parent, ast.comprehension))


def _other_statements(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield ast.Pass()
        case ast.AugAssign(target, operator, value) if type(operator) in _OPERATORS:
            yield ast.AugAssign(target, _OPERATORS[type(operator)](), value)
