"""Defines the report page as its template reads it, and its rendering to one self-contained HTML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from axpo.report._gallery import BranchView
from axpo.report._live_charts import LiveChart
from axpo.report._palette import DARK, LIGHT
from axpo.report._regime import Regime
from axpo.report._rollout_view import RolloutView

REPORT_TEMPLATES: Final = PackageLoader("axpo.report", "templates")
_TAG: Final = re.compile(r"(</?(?:think|tool_call|tool_response|answer)>)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One measured share."""

    label: str
    """What was measured: a method, or a moment."""
    role: str
    """Its colour: a key of `axpo.report._palette.LIGHT`."""
    value: float | None
    """0 to 1; None where nothing was counted."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end of its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One headline measure."""

    title: str
    """Its name."""
    note: str
    """What it means."""
    bars: tuple[Bar, ...]
    """Its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the headline table; its cells are text, formatted already."""

    label: str
    """A method, or a moment."""
    role: str
    """Its colour."""
    cells: tuple[str, ...]
    """As many as the table has columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A further table."""

    title: str
    """Its heading."""
    note: str
    """How its numbers came about."""
    columns: tuple[str, ...]
    """Headings of its columns."""
    rows: tuple[Row, ...]
    """Its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """One entry of the charts' legend."""

    label: str
    """A method."""
    role: str
    """Its colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that a report shows."""

    title: str
    """The page's heading."""
    name: str
    """What the run or the comparison is called: its folder's name; empty where there is none."""
    dates: tuple[str, ...]
    """When it began, where that is known, and when the page was made."""
    lead: str
    """What the page shows, in plain words."""
    facts: tuple[str, ...]
    """What was run, in a few words each."""
    tiles: tuple[Tile, ...]
    """The headline measures."""
    columns: tuple[str, ...]
    """Headings of the table."""
    rows: tuple[Row, ...]
    """The table."""
    table_note: str
    """How the table's numbers came about."""
    legend: tuple[Legend, ...]
    """The charts' legend."""
    charts: tuple[LiveChart, ...]
    """The charts."""
    charts_note: str
    """How the curves are drawn."""
    regime: Regime | None
    """What the default setting shows and what it does not; None for other settings."""
    branches: tuple[BranchView, ...]
    """Examples of resampled tool calls."""
    branches_note: str
    """What was done to their sources."""
    pairs: tuple[Mapping[str, RolloutView], ...]
    """Questions with one rollout of each method, by the method's label."""
    examples: tuple[RolloutView, ...]
    """Other rollouts."""
    config: str
    """The settings, as TOML."""
    machine: Mapping[str, str]
    """What it was run with."""
    tables: tuple[Table, ...] = ()
    """Further tables, behind the first."""
    optimization: tuple[LiveChart, ...] = ()
    """Charts of what the optimizer did, drawn like the others."""
    evaluations: tuple[LiveChart, ...] = ()
    """Charts of the evaluations over steps, where there are more than two."""
    parts: tuple[LiveChart, ...] = ()
    """Charts of environments, tools and numbers of needed calls over steps."""
    evaluations_note: str = ""
    """How their curves are drawn."""


def render(page: Page) -> str:
    """The page as one HTML document that loads nothing from anywhere. Every text is escaped."""
    return render_template("report.html.j2", page)


def render_template(name: str, page: object) -> str:
    """A page by its template, in the colours of all pages."""
    return templates(REPORT_TEMPLATES).get_template(name).render(page=page, **colours())


def templates(loader: BaseLoader) -> Environment:
    """Templates in which every text is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(tagged=tagged, percent=percent)
    return environment


def colours() -> dict[str, Markup]:
    """The colours that style sheets ask for: CSS variables on a `light` and on a `dark` ground."""
    return {"light": _variables(LIGHT), "dark": _variables(DARK)}


def tagged(text: str) -> Markup:
    """Escaped text in which the tags of the turn format are bold."""
    parts = (Markup("<b>{}</b>").format(part) if _TAG.fullmatch(part) else part for part in _TAG.split(text))
    return Markup("").join(parts)


def percent(value: float | None) -> str:
    """A share in per cent, one digit after the point; a dash for None."""
    return "-" if value is None else f"{100 * value:.1f}%"


def compact(value: float) -> str:
    """A count in a few characters.

    Worked value: 7680 gives `7,680`, 1234567 gives `1.23 M`.
    """
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:,.0f}"


def _variables(colours: Mapping[str, str]) -> Markup:
    return Markup(" ").join(Markup("--{}: {};").format(role, colour) for role, colour in colours.items())
