"""Defines `split_statements`, which finds the statements of a text as SQLite reads it, and `is_explained`."""

from __future__ import annotations

import re
from typing import Final

# What is left open (a text, a comment) reaches to the end. Within quotes, a doubled quote is no end.
_TOKENS: Final = re.compile(
    r"""
    (?P<blank> \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<end> ; )
    | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*(?:\]|\Z)
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_TRIGGER: Final = re.compile(r"(EXPLAIN )?(QUERY PLAN )?CREATE (TEMP |TEMPORARY )?TRIGGER ")
_HEAD: Final = 6
"""Tokens by which a trigger is known."""


def is_explained(statement: str) -> bool:
    """Whether a statement tells how another one would be executed, which is not done."""
    words = (token[0].upper() for token in _TOKENS.finditer(statement) if token.lastgroup != "blank")
    return next(words, "") == "EXPLAIN"


def split_statements(text: str) -> tuple[str, ...]:
    """The statements, without those that are empty. What a trigger does belongs to the statement that makes it.

    Worked value: `"SELECT ';'; -- one;\\nSELECT 2"` is the two statements `SELECT ';';` and `-- one;\\nSELECT 2`.
    """
    statements: list[str] = []
    head: list[str] = []
    before, last, start = "", "", 0
    for token in _TOKENS.finditer(text):
        if token.lastgroup == "blank":
            continue
        if token.lastgroup == "end" and not (_makes_trigger(head) and (before, last) != (";", "END")):
            if head:
                statements.append(text[start : token.end()].strip())
            head, before, last, start = [], "", "", token.end()
            continue
        before, last = last, token[0].upper()
        if len(head) < _HEAD:
            head.append(last)
    if head:
        statements.append(text[start:].strip())
    return tuple(statements)


def _makes_trigger(head: list[str]) -> bool:
    return _TRIGGER.match(" ".join((*head, ""))) is not None
