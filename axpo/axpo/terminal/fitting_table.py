"""Defines `FittingTable`: a table for terminals of any width, in which no number is ever cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from axpo_envs.plumbing.printable import printable

_ANY_WIDTH: Final = 10_000
"""Columns that no table needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingTable:
    """A table; where its cells do not fit side by side, each row becomes a list of them."""

    title: str
    """Stands above it."""
    columns: tuple[str, ...]
    """Headings of the cells behind the label."""
    rows: tuple[tuple[str, ...], ...]
    """Per row its label and its cells, one for each heading."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(printable(self.title))
        table = self._table()
        needed = Measurement.get(console, options.update(max_width=_ANY_WIDTH), table).maximum
        if needed <= options.max_width:
            yield table
        else:
            yield from map(Text, self._list(options.max_width))

    def _table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for place, heading in enumerate(("", *self.columns)):
            # A heading takes no more room than its longest word.
            table.add_column("\n".join(heading.split(" ")), justify="right" if place else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(printable(cell), no_wrap=True) for cell in row))
        return table

    def _list(self, width: int) -> Iterator[str]:
        for label, *cells in self.rows:
            yield printable(label)
            for heading, cell in zip(self.columns, cells, strict=True):
                line = f"  {heading}: {cell}"
                if not cell:
                    continue
                yield from (line,) if cell_len(line) <= width else (f"  {heading}:", f"    {cell}")
