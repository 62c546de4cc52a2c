"""Defines `axpo compare`: of evaluations or finished runs whose folders are given, else of runs that it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from axpo.commands.arguments import check_output, parse, write_json
from axpo.compare.finished import finished_runs
from axpo.compare.standings import standings
from axpo.compare.standings_page import page_of, terminal_tables
from axpo.economy import ComparingSettings, compare_evaluations, read_prices
from axpo.economy.evaluations_shown import page, sentences, tables
from axpo.records import _atomic as atomic
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationsArguments:
    """Compare models that were evaluated on the same benchmarks (`axpo eval --benchmark`), question by question.

    The first one is held against each of the others: paired differences, by category, of everything that was spent.
    """

    evaluations: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="EVALUATION")]
    """Folders of evaluations, two or more; a model is called by its folder's name. They come before the options."""
    prices: Path | None = None
    """A TOML file with a table per model: input and output (and cached) per million tokens, or hour."""
    settings: Annotated[ComparingSettings, tyro.conf.arg(name="")] = field(default_factory=ComparingSettings)
    """How they are compared."""
    json: Path | None = None
    """Write everything to this file."""
    html: Path | None = None
    """Write a page with the tables to this file; it opens offline."""


def run(arguments: Sequence[str]) -> int:
    """Compares; returns the exit code."""
    if arguments and EvaluationFolder(arguments[0]).exists():
        return _run_evaluations(arguments)
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


def _run_evaluations(arguments: Sequence[str]) -> int:
    given = parse(EvaluationsArguments, "compare", arguments)
    check_output(given.json)
    check_output(given.html, "html")
    settings = checked(given.settings)
    names = [path.absolute().name for path in given.evaluations]
    if len(set(names)) < len(names):
        raise ConfigError(f"evaluations: expected folders of different names; got {', '.join(names)}")
    folders = {name: EvaluationFolder(path) for name, path in zip(names, given.evaluations, strict=True)}
    prices = {} if given.prices is None else read_prices(given.prices)
    found = compare_evaluations(folders, prices, settings)
    write_json(given.json, {**found.as_record(), "settings": asdict(settings)})
    if given.html is not None:
        given.html.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(given.html, page(found, settings))
    console, show = Console(), Unfailing()
    for table in tables(found):
        show(console.print, table)
    for sentence in sentences(found):
        show(console.print, Text(printable(sentence)))
    return 0
