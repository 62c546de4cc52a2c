"""Defines `read_docstring`, which finds a function's description and those of its arguments in its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

_SECTION: Final = re.compile(r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):\s*$", re.MULTILINE)
_ARGUMENT: Final = re.compile(r"^ {1,8}\*{0,2}(\w+)(?: ?\([^)]*\))?:[ \n]\s*(\S.*)$")


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The text before the first section, and each argument's description from the section `Args:` (Google style)."""
    text = inspect.getdoc(function) or ""
    pieces = _SECTION.split(text)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    body = next((sections[name] for name in ("Args", "Arguments", "Parameters") if name in sections), "")
    arguments: dict[str, str] = {}
    current = ""
    for line in body.splitlines():
        if (match := _ARGUMENT.match(line)) is not None and not line.startswith("     "):
            current = match.group(1)
            arguments[current] = match.group(2).strip()
        elif current and line.strip():
            arguments[current] += " " + line.strip()
    return pieces[0].strip(), arguments
