"""Defines `read_docstring`, which finds a function's description and those of its arguments in its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from docstring_parser import Docstring, DocstringMeta, ParseError, google, numpydoc, rest

_NOTES: Final = [google.Section(title, title.lower(), google.SectionType.SINGULAR) for title in ("Note", "Notes")]
_GOOGLE: Final = google.GoogleParser([*google.DEFAULT_SECTIONS, *_NOTES])
_STYLES: Final[tuple[Callable[[str], Docstring], ...]] = (_GOOGLE.parse, numpydoc.parse, rest.parse)


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The text before the first section, and each argument's description: in the style of Google, NumPy or Sphinx.

    A docstring that none of them can read is all text, so that nothing is kept from the policy.
    """
    text = inspect.getdoc(function) or ""
    # The first of those that find most: Google's where none finds anything.
    found = max((_read(text, style) for style in _STYLES), key=_finds)
    arguments = {param.arg_name.lstrip("*"): " ".join((param.description or "").split()) for param in found.params}
    return (found.description or "").strip(), {name: about for name, about in arguments.items() if about}


def _read(text: str, style: Callable[[str], Docstring]) -> Docstring:
    try:
        return style(text)
    except ParseError:
        whole = Docstring()
        whole.short_description = text
        return whole


def _finds(docstring: Docstring) -> int:
    # Sphinx's style takes any `:word:` at the start of a line for a field, though of no known kind.
    return sum(type(meta) is not DocstringMeta for meta in docstring.meta)
