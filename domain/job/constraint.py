"""Constraints: a small safe expression over the facts of a node, for example
`gpus >= 8 and labels.zone in ["a", "b"] and not gpu_model == "V100"`.

Python's grammar is parsed, never evaluated: comparisons of facts with constants, `in`, `and`,
`or`, `not` and parentheses are all there is. A label that a node does not have is the empty text.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

from domain.errors import Invalid

Fact = str | int
Test = Callable[[Mapping[str, Fact]], bool]
Value = Callable[[Mapping[str, Fact]], Fact]

FACTS: dict[str, type[Fact]] = {
    "node": str,
    "pool": str,
    "rack": str,
    "spine": str,
    "gpu_model": str,
    "gpus": int,
    "cpus": int,
    "memory_gib": int,
}
"""Facts a constraint may name, beside `labels.NAME`; cpus and memory are rounded down."""
MAX_LENGTH = 1000

_COMPARE: dict[type[ast.cmpop], Callable[[Fact, Fact], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@lru_cache(maxsize=1024)
def parse(text: str) -> Test:
    """The test that the expression stands for; Invalid says what is wrong with it."""
    if len(text) > MAX_LENGTH:
        raise _wrong(f"at most {MAX_LENGTH} characters")
    try:
        return _test(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _wrong("not an expression such as gpus >= 8 and labels.zone == 'a'") from error


def _wrong(detail: str) -> Invalid:
    return Invalid("bad_constraint", f"where.constraint: {detail}", field="where.constraint")


def _test(tree: ast.expr) -> Test:
    match tree:
        case ast.BoolOp(op=ast.And(), values=values):
            parts = [_test(value) for value in values]
            return lambda facts: all(part(facts) for part in parts)
        case ast.BoolOp(values=values):
            parts = [_test(value) for value in values]
            return lambda facts: any(part(facts) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _test(operand)
            return lambda facts: not inner(facts)
        case ast.Compare(left=left, ops=[kind], comparators=[right]):
            return _comparison(left, kind, right)
        case _:
            raise _wrong("compare facts with ==, !=, <, <=, >, >=, in; join by and, or, not")


def _comparison(left: ast.expr, kind: ast.cmpop, right: ast.expr) -> Test:
    one, one_type = _value(left)
    if isinstance(kind, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple):
            raise _wrong("in: write the values as a list, for example ['a', 'b']")
        others = [_value(item) for item in right.elts]
        if any(kind_of is not one_type for _, kind_of in others):
            raise _wrong("in: the values must be of the fact's kind, text or number")
        wanted = isinstance(kind, ast.In)
        return lambda facts: (one(facts) in [other(facts) for other, _ in others]) is wanted
    other, other_type = _value(right)
    compare = _COMPARE.get(type(kind))
    if compare is None or one_type is not other_type:
        raise _wrong("compare text with text and numbers with numbers")
    return lambda facts: compare(one(facts), other(facts))


def _value(tree: ast.expr) -> tuple[Value, type[Fact]]:
    match tree:
        case ast.Constant(value=bool()):
            raise _wrong("write text in quotes, or whole numbers")
        case ast.Constant(value=str() | int() as constant):
            return (lambda _: constant), type(constant)
        case ast.Name(id=name) if name in FACTS:
            return (lambda facts: facts[name]), FACTS[name]
        case ast.Attribute(value=ast.Name(id="labels"), attr=label):
            return (lambda facts: facts.get(f"labels.{label}", "")), str
        case ast.Subscript(value=ast.Name(id="labels"), slice=ast.Constant(value=str() as label)):
            return (lambda facts: facts.get(f"labels.{label}", "")), str
        case _:
            raise _wrong(f"facts are: {', '.join(FACTS)} and labels.NAME or labels['NAME']")
