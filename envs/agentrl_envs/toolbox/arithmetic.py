"""Arithmetic on what a model wrote, without running it as code."""

import ast
import operator
from collections.abc import Callable
from typing import Any

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_MAX_BITS = 100_000


def evaluate(expression: str) -> Any:
    """Return the value of an expression of numbers, ``+ - * / // **`` and parentheses, as Python computes it.

    Raises:
      SyntaxError, ArithmeticError, TypeError: as Python would; OverflowError also for powers of over 100,000 bits.
    """
    tree = compile(expression.lstrip(" \t"), "<string>", "eval", ast.PyCF_ONLY_AST)
    assert isinstance(tree, ast.Expression)
    return _value(tree.body)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.Tuple(elts=[]):
            return ()
        case ast.Call(func=function):
            raise TypeError(f"{type(_value(function)).__name__!r} object is not callable")
        case _:
            raise SyntaxError("invalid syntax")


def _power(base: Any, exponent: Any) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and abs(base).bit_length() * exponent > _MAX_BITS:
        raise OverflowError("int too large to convert to float")
    return base**exponent
