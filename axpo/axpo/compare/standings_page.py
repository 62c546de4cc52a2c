"""Defines how standings are shown: as tables for a terminal, and as a page in the manner of a comparison's report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from axpo.compare.standings import Standing, Standings
from axpo.diagnostics.metric import Better, Shown, Unit
from axpo.diagnostics.over_runs import OverRuns
from axpo.diagnostics.registry import metric_named, shown_in
from axpo.records.outcomes import COSTS, Outcome
from axpo.report._dates import moment
from axpo.report._page import Legend, Page, Row, Table, compact, render
from axpo.report._page_parts import Measured, charts, charts_note, tiles
from axpo.report._palette import roles
from axpo.report._panels import OPTIMIZATION, Line
from axpo.terminal.fitting_table import FittingTable

_NO_INTERVAL: Final = "-"


def terminal_tables(found: Standings) -> tuple[FittingTable, ...]:
    """The rows, and how the others differ from the first."""
    shown = _shown(found)
    whole = FittingTable(
        title="",
        columns=(*map(_title, shown), "Runs"),
        rows=tuple((row.label, *_cells(row, shown)) for row in found.rows),
    )
    others = found.rows[1:]
    if not others:
        return (whole,)
    against = FittingTable(
        title=f"minus {found.rows[0].label}, paired by seed, with 95\u00a0% intervals",
        columns=(*map(_title, shown), "Seeds"),
        rows=tuple((row.label, *_difference_cells(row, shown)) for row in others),
    )
    return whole, against


def page_of(found: Standings, *, made: datetime | None = None) -> str:
    """The page as one HTML document that loads nothing from anywhere."""
    names = [row.runs[0].method for row in found.rows]
    own = roles([name if name not in names[:place] else f"{name} again" for place, name in enumerate(names)])
    measured = [_measured(row, role) for row, role in zip(found.rows, own, strict=True)]
    lines = [
        Line(label=row.label, role=role, runs=tuple(run.steps for run in row.runs))
        for row, role in zip(found.rows, own, strict=True)
    ]
    settings, shown = found.rows[0].runs[0].settings, _shown(found)
    page = Page(
        title="Finished runs compared",
        lead="Runs as they lie in their folders; nothing was trained.",
        name="",
        dates=(f"Report made {moment(made or datetime.now(UTC))}",),
        facts=(*settings.facts(), *found.asked),
        tiles=tiles(measured),
        columns=(*map(_title, shown), "Runs"),
        rows=tuple(
            Row(label=row.label, role=role, cells=_cells(row, shown)) for row, role in zip(found.rows, own, strict=True)
        ),
        table_note=_note(found),
        legend=tuple(Legend(label=line.label, role=line.role) for line in lines),
        charts=charts(lines),
        charts_note=charts_note(max(len(row.runs) for row in found.rows)),
        regime=None,
        branches=(),
        branches_note="",
        pairs=(),
        examples=(),
        config=settings.text,
        machine={},
        tables=_tables(found, own),
        optimization=charts(lines, OPTIMIZATION),
    )
    return render(page)


def _tables(found: Standings, own: Sequence[str]) -> tuple[Table, ...]:
    if len(found.rows) < 2:
        return ()
    rows, shown = zip(found.rows[1:], own[1:], strict=True), _shown(found)
    return (
        Table(
            title=f"Minus {found.rows[0].label}",
            note="Differences of runs with the same seed: mean over these seeds, and Student's 95 % interval. A row "
            "that shares no seed with the first is not compared; one shared seed, or equal differences, have no "
            "interval, and costs are told without.",
            columns=(*map(_title, shown), "Seeds"),
            rows=tuple(Row(label=row.label, role=role, cells=_difference_cells(row, shown)) for row, role in rows),
        ),
    )


def _measured(row: Standing, role: str) -> Measured:
    means = {name: None if each is None else each.mean for name, each in row.measures.items()}
    costs = {name: means.pop(name) or 0.0 for name in COSTS}
    spans = {
        name: (max(0.0, each.low), min(1.0, each.high))
        for name, each in row.measures.items()
        if each is not None and each.low is not None and each.high is not None
    }
    return Measured(
        label=row.label,
        role=role,
        outcome=Outcome(measures=means, **costs),
        intervals=spans if len(row.runs) > 1 else row.runs[0].intervals,
    )


def _shown(found: Standings) -> tuple[str, ...]:
    def is_observed(name: str) -> bool:
        return any(row.measures.get(name) is not None for row in found.rows)

    return (*shown_in(Shown.TILE, is_observed), *COSTS)


def _title(name: str) -> str:
    if name in COSTS:
        return name.capitalize()
    metric = metric_named(name)
    return f"{metric.label} (lower is better)" if metric.better is Better.LOWER else metric.label


def _cells(row: Standing, shown: Sequence[str]) -> tuple[str, ...]:
    cells = []
    for name in shown:
        each = row.measures.get(name)
        spread = "" if each is None or each.sd is None else f" ± {_number(name, each.sd, bare=True)}"
        cells.append(_NO_INTERVAL if each is None else _number(name, each.mean) + spread)
    return (*cells, str(len(row.runs)))


def _difference_cells(row: Standing, shown: Sequence[str]) -> tuple[str, ...]:
    return (*(_difference(name, row.differences.get(name)) for name in shown), str(len(row.shared)))


def _difference(name: str, found: OverRuns | None) -> str:
    if found is None:
        return _NO_INTERVAL
    sign = "+" if found.mean >= 0 else ""
    ends = (
        ""
        if found.low is None or found.high is None or name in COSTS
        else f" ({_number(name, found.low, bare=True)} to {_number(name, found.high, bare=True)})"
    )
    return f"{sign}{_number(name, found.mean)}{ends}"


def _number(name: str, value: float, *, bare: bool = False) -> str:
    if name in COSTS:
        return compact(value) if abs(value) >= 100 else f"{value:.3g}"
    if metric_named(name).unit is Unit.SHARE:
        return f"{100 * value:.1f}{'' if bare else '%'}"
    return f"{value:.3g}"


def _note(found: Standings) -> str:
    several = (
        "Mean ± standard deviation over runs with different seeds; bars carry Student's 95 % intervals of the mean"
    )
    said = f"{several}, or, of a single run, intervals over its questions."
    if len(found.asked) > 1:
        said += " The runs were evaluated on different questions: their numbers do not compare."
    return said
