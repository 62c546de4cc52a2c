"""Defines `axpo economy`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from axpo.commands.arguments import check_output, parse, write_json
from axpo.diagnostics.estimates import Estimate
from axpo.economy import VERDICTS, Economy, EconomySettings, Pair, economy, names_of, read_prices, read_trials
from axpo.settings.config_file import checked
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.unfailing import Unfailing
from axpo_envs.plumbing.printable import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class EconomyArguments:
    """Say what models achieve for what they cost, from what `axpo eval --json` wrote of each on the same questions.

    Tells accuracy per rollout, token, second and price, which models no other outdoes, whether a cheaper model can take
    another's place, and which model each category of questions should go to.
    """

    evaluations: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files that `axpo eval --json` wrote, two or more; a model is called by its file's name without the ending."""
    prices: Path | None = None
    """A TOML file with a table per model: input and output (and cached) per million tokens, or hour."""
    settings: Annotated[EconomySettings, tyro.conf.arg(name="")] = field(default_factory=EconomySettings)
    """How models are compared."""
    json: Path | None = None
    """Write everything to this file."""


def run(arguments: Sequence[str]) -> int:
    """Compares; returns the exit code."""
    given = parse(EconomyArguments, "economy", arguments)
    check_output(given.json)
    settings = checked(given.settings)
    prices = {} if given.prices is None else read_prices(given.prices)
    found = economy(read_trials(names_of(given.evaluations)), prices, settings)
    write_json(given.json, {**found.as_record(), "settings": asdict(settings)})
    Unfailing()(_show, found)
    return 0


def _show(found: Economy) -> None:
    console = Console()
    left_out = f" ({found.left_out} left out: not every model has them)" if found.left_out else ""
    console.print(f"{found.questions} questions{left_out}; 95\u00a0% intervals over questions", highlight=False)
    labels = next(iter(found.models.values()))
    rows = tuple((label, *(_cell(own.get(label)) for own in found.models.values())) for label in labels)
    console.print(FittingTable(title="", columns=tuple(found.models), rows=rows))
    for cost, names in found.fronts.items():
        console.print(Text(printable(f"Pass@1 against {cost}: {', '.join(names)} (no other model outdoes these)")))
    for pair in found.pairs:
        console.print(Text(printable(_sentence(pair, found.routing.cost))))
    console.print()
    console.print(_routes(found))
    routing = found.routing
    console.print(
        f"routed, on questions that the routes were not chosen by: Pass@1 {_cell(routing.pass1)}, "
        f"{routing.cost} per rollout {_cell(routing.spent)}",
        highlight=False,
    )


def _routes(found: Economy) -> FittingTable:
    rows = tuple(
        (
            route.category,
            route.model,
            _cell(route.pass1),
            _cell(route.cost),
            "surely" if route.surely else ("yes" if route.reaches else "no model does"),
        )
        for route in found.routing.routes
    )
    title = f"cheapest model with a Pass@1 of {found.routing.target:g}, by category"
    columns = ("model", "Pass@1", f"{found.routing.cost} per rollout", "reached")
    return FittingTable(title=title, columns=columns, rows=rows)


def _sentence(pair: Pair, cost: str) -> str:
    difference, ratio = pair.differences["pass1"], pair.ratios.get(cost)
    return (
        f"{pair.first} {VERDICTS[pair.verdict]} {pair.second}: Pass@1 differs by {_cell(difference)}, "
        f"at {_cell(ratio)} of its {cost} per rollout"
    )


def _cell(found: Estimate | None) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.4g}"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
