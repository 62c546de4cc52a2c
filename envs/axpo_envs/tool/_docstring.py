"""Defines `read_docstring`, which finds a function's description and those of its arguments in its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from docstring_parser import ParseError, parse


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The text before the first section, and each argument's description, in any of the usual styles."""
    text = inspect.getdoc(function) or ""
    try:
        found = parse(text)
    except ParseError:
        # A section that is none of its style: the whole text is the description.
        return text.strip(), {}
    arguments = {
        parameter.arg_name.lstrip("*"): " ".join((parameter.description or "").split()) for parameter in found.params
    }
    return (found.description or "").strip(), {name: said for name, said in arguments.items() if said}
