"""Defines `axpo compare`: of finished runs where their folders are given, else of runs that it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from axpo.commands.arguments import check_output, parse, write_json
from axpo.compare.finished import finished_runs
from axpo.compare.standings import standings
from axpo.compare.standings_page import page_of, terminal_tables
from axpo.records import _atomic as atomic
from axpo.terminal.unfailing import Unfailing
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.plumbing.printable import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedArguments:
    """Compare finished runs without training: means over seeds, spread, and differences paired by seed.

    Runs that differ in nothing but their seeds are one row; the first row is what the others are compared with.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folders of runs, or of comparisons, whose runs are meant; they come before the options."""
    json: Path | None = None
    """Write everything to this file."""
    html: Path | None = None
    """Write a page with the tables and the runs' curves to this file; it opens offline."""


def run(arguments: Sequence[str]) -> int:
    """Compares; returns the exit code."""
    if not arguments or arguments[0].startswith("-"):
        require_extra("train", "`axpo compare` without runs")
        from axpo.commands import compare_training

        return compare_training.run(arguments)
    given = parse(FinishedArguments, "compare", arguments)
    check_output(given.json)
    check_output(given.html, "html")
    found = standings(finished_runs(given.runs))
    write_json(given.json, found.as_record())
    if given.html is not None:
        given.html.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(given.html, page_of(found))
    console = Console()
    show = Unfailing()
    for table in terminal_tables(found):
        show(console.print, table)
    if len(found.asked) > 1:
        said = "The runs were evaluated on different questions, so their numbers do not compare:"
        show(console.print, Text(printable(f"{said} {'; '.join(found.asked)}")))
    return 0
