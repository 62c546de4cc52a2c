"""Tests of what the policy is told of a function: its description, and its arguments', in every usual style."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.tool._docstring import read_docstring

GOOGLE = """Finds a place.

As maps do.

Args:
    name (str): what it is
        called: in Latin letters.
    *more: further names.
    limit:
        how many.

Returns:
    Its coordinates.

Notes:
    They are rough.
"""
NUMPY = """Finds a place.

As maps do.

Parameters
----------
name : str
    what it is
    called: in Latin letters.
*more
    further names.
limit : int, optional
    how many.

Returns
-------
str
    Its coordinates.
"""
SPHINX = """Finds a place.

As maps do.

:param name: what it is
    called: in Latin letters.
:param str more: further names.
:param limit: how many.
:returns: its coordinates.
"""


def read(text: str | None) -> tuple[str, dict[str, str]]:
    def function() -> Any: ...

    function.__doc__ = text
    return read_docstring(function)


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_every_usual_style_is_read(text: str) -> None:
    arguments = {"name": "what it is called: in Latin letters.", "more": "further names.", "limit": "how many."}
    assert read(text) == ("Finds a place.\n\nAs maps do.", arguments)


@pytest.mark.parametrize(
    "text",
    [
        "Opens at 10:30. Use `a:b`.\n:smile: is allowed.",
        "Finds a place.\n\n- of any size\n    - even small: very small",
        "Finds a place.\n\nArgs:\n  a name without a colon\n  limit: how many",
        "Finds a place.\n\nArgs:\nname: not indented",
    ],
)
def test_what_is_in_no_style_is_all_text(text: str) -> None:
    assert read(text) == (text, {})


def test_there_need_be_none() -> None:
    assert read(None) == read("  \n ") == ("", {})


LINES = st.sampled_from(
    ["Args:", "    a: b", "  a", "Returns:", "----", "Parameters", ":param a: b", ":param", ":returns", "a : int", ""]
)


@given(st.lists(LINES | st.text(max_size=8), max_size=9).map("\n".join))
def test_no_docstring_is_an_error(text: str) -> None:
    description, arguments = read(text)
    assert description == description.strip()
    assert all(arguments.values())
