from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.testing import check_tool
from axpo_envs.tool.protocol import ToolError
from axpo_envs.tools.python_expressions import _printed, python_expressions
from axpo_envs.types import Question

NUMBERS = st.integers(0, 999).map(str)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=8,
)


def test_it_conforms_to_the_contract_of_tools() -> None:
    question = Question(id="0", prompt=("?",), answer="6")
    check_tool(python_expressions(), arguments={"code": "print(34 * 57 % 7)"}, question=question)


def test_deep_nesting_is_computed() -> None:
    assert _printed("print(" + "-" * 190 + "1)") == 1


@given(EXPRESSIONS)
def test_it_prints_what_python_prints(expression: str) -> None:
    try:
        expected = eval(expression)
    except ZeroDivisionError:
        with pytest.raises(ToolError, match="ZeroDivisionError"):
            _printed(f"print({expression})")
        return
    assert _printed(f"print({expression})") == expected


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "SyntaxError"),
        ("print(1", "SyntaxError"),
        ("1 + 1", "NotImplementedError"),
        ("print(1, 2)", "NotImplementedError"),
        ("print(open('x'))", "NotImplementedError"),
        ("print(2 ** 9)", "NotImplementedError"),
        ("print(True)", "NotImplementedError"),
        ("print(1.5)", "NotImplementedError"),
        ("print(" + "9" * 180 + ")", "OverflowError"),
        ("print(" + "9" * 150 + " * " + "9" * 20 + ")", "OverflowError"),
        ("print(" + "(" * 190, "SyntaxError"),
        ("x" * 201, "at most 200 characters"),
    ],
)
def test_anything_else_is_told_to_the_policy(code: str, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        _printed(code)
