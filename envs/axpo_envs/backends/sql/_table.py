"""Defines how results of statements are written for a policy: `write_table`, `shorten`, `foretold`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from axpo_envs.backends.sql.limits import SqlLimits
from axpo_envs.plumbing.printable import printable

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "|": "\\|"})
_BLOB_BYTES: Final = 32


def write_table(names: Sequence[str], rows: Sequence[Sequence[Any]], limits: SqlLimits, *, more: bool) -> str:
    """The names of the columns, a line, and a line for each row; then how many there are.

    Worked value: the columns `id`, `name` and one row are `id | name`, `---+-----`, `1 | Ada`, `(1 row)`.

    Args:
        names: those of the columns.
        rows: the values.
        limits: how much of a value is shown.
        more: there are further rows.
    """
    cells = [[_cell(value, limits.cell_chars) for value in row] for row in rows]
    head = [_cell(name, limits.cell_chars) for name in names]
    widths = [max(len(line[at]) for line in (head, *cells)) for at in range(len(head))]
    # A column with one long value would fill the others with blanks.
    widths = [width if width <= 40 else 0 for width in widths]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *cells)]
    ruler = "-+-".join("-" * max(width, len(name), 1) for name, width in zip(head, widths, strict=True))
    count = f"(the first {len(rows)} rows; there are more)" if more else f"({rows_in_words(len(rows))})"
    return "\n".join((*(line.rstrip() for line in (lines[0], ruler, *lines[1:])), count))


def shorten(text: str, limits: SqlLimits) -> str:
    """The beginning of a long text, and how much is left out."""
    if len(text) <= limits.shown_chars:
        return text
    return f"{text[: limits.shown_chars]}\n... ({len(text) - limits.shown_chars} further characters are not shown)"


def foretold(changes: Sequence[tuple[str, str]], count: int | None) -> str:
    """What a statement would change, in words; empty for nothing.

    Worked value: `UPDATE orders: 2 rows would be changed`.

    Args:
        changes: actions and what they are done to, as SQLite names them.
        count: rows that would be changed; None where the statement is about more than rows.
    """
    if not changes:
        return ""
    # What follows from the first is SQLite's own business.
    name, what = changes[0]
    return f"{name} {what}: " + ("would be done" if count is None else f"{rows_in_words(count)} would be changed")


def rows_in_words(count: int) -> str:
    """`1 row`, `2 rows`."""
    return "1 row" if count == 1 else f"{count} rows"


def _cell(value: Any, most: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes | memoryview):
        data = bytes(value)
        shown = f"x'{data[:_BLOB_BYTES].hex()}'"
        return shown if len(data) <= _BLOB_BYTES else f"{shown}... ({len(data)} bytes)"
    text = str(value)
    written = printable(text[:most].translate(_ESCAPES))
    return written if len(text) <= most else f"{written}... ({len(text)} characters)"
