"""Defines `python_expressions`, the tool `python` cut down to printing whole-number expressions, evaluated in place."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Final

from axpo_envs.tool._function import FunctionTool, tool
from axpo_envs.tool.protocol import ToolError

_MOST_CODE: Final = 200
"""Characters; nothing so short nests deeper than the interpreter can follow."""
_MOST_BITS: Final = 512
_BINARY: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_TAKES: Final = "only print(...) of whole numbers with + - * // % and parentheses"


def python_expressions() -> FunctionTool:
    """The tool: no interpreter, no sandbox and no state, so that a call takes microseconds.

    It executes nothing: it walks the syntax tree of what it is given and refuses all but print and whole numbers.
    """

    @tool(name="python")
    def python(code: str) -> str:
        """Executes Python code of the simplest kind: print(...) of one whole-number expression.

        Args:
            code: The code, such as print(12 * 34 % 7).
        """
        return f"{_printed(code)}\n"

    return python


def _printed(code: str) -> int:
    if len(code) > _MOST_CODE:
        raise ToolError(f"code must have at most {_MOST_CODE} characters; it has {len(code)}")
    try:
        tree = ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ToolError(f"SyntaxError: {_TAKES}") from None
    match tree:
        case ast.Call(func=ast.Name(id="print"), args=[value], keywords=[]):
            return _value(value)
        case _:
            raise ToolError(f"NotImplementedError: {_TAKES}")


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return _bounded(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            try:
                return _bounded(_BINARY[type(sign)](_value(left), _value(right)))
            except ZeroDivisionError:
                raise ToolError("ZeroDivisionError: integer modulo by zero") from None
        case _:
            raise ToolError(f"NotImplementedError: {_TAKES}")


def _bounded(number: int) -> int:
    if number.bit_length() > _MOST_BITS:
        raise ToolError(f"OverflowError: numbers have at most {_MOST_BITS} bits")
    return number
