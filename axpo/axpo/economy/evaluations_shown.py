"""Defines how a comparison of evaluations is shown: as tables and sentences for a terminal, and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from axpo.diagnostics.estimates import Estimate
from axpo.economy.evaluations import ComparingSettings, EvaluationComparison, Part
from axpo.economy.pairs import VERDICTS, Pair
from axpo.report._dates import moment
from axpo.report._page import Bar, Page, Row, Table, Tile, render
from axpo.report._palette import roles
from axpo.terminal.fitting_table import FittingTable

_ARMS: Final = {"tools": "with tools", "no_tools": "without tools", "unseen_tools": "with unseen tools"}
_SHARES: Final = frozenset(("pass1", "pass4", "score", "tool_attempt_rate"))


def tables(found: EvaluationComparison) -> Iterator[FittingTable]:
    """Per benchmark every measure of the models and how the first differs from the others, then the categories."""
    for part in found.parts:
        if part.kind is None:
            yield FittingTable(title=_title(part), columns=_columns(part), rows=tuple(_measure_rows(part)))
            for kind, parts in _categories(found, part).items():
                rows = tuple(_category_row(each) for each in parts)
                yield FittingTable(
                    title=f"Pass@1 by {kind}",
                    columns=("questions", *_columns(part), "only first / only second"),
                    rows=rows,
                )


def sentences(found: EvaluationComparison) -> Iterator[str]:
    """What the pairs come to, in words; then what was not compared."""
    for part in found.parts:
        for pair, won in zip(part.pairs if part.kind is None else (), part.won, strict=False):
            yield (
                f"{_title(part)}: {pair.first} {VERDICTS[pair.verdict]} {pair.second}: "
                f"Pass@1 differs by {_cell('pass1', pair.differences['pass1'], signed=True)}; right more often on "
                f"{len(won.first)} questions, less often on {len(won.second)}, as often on {won.equal}"
            )
            yield from _where_better(found, part, pair)
    yield from found.notes


def page(found: EvaluationComparison, settings: ComparingSettings, *, made: datetime | None = None) -> str:
    """The page as one HTML document that loads nothing from anywhere."""
    whole = [part for part in found.parts if part.kind is None]
    names = tuple(whole[0].models)
    colours = dict(zip(names, roles(names), strict=True))
    shown = Page(
        title="Evaluations compared",
        name="",
        lead=f"{names[0]} against {', '.join(names[1:])}, question by question.",
        dates=(f"Report made {moment(made or datetime.now(UTC))}",),
        facts=tuple(sentences(found)),
        tiles=tuple(_tile(part, colours) for part in whole),
        columns=("questions", "Pass@1", "Pass@4", "tool attempts"),
        rows=tuple(_model_row(part, name, colours[name]) for part in whole for name in names),
        table_note="95 % intervals, bootstrapped over clusters of questions, the same for all models.",
        legend=(),
        charts=(),
        charts_note="",
        regime=None,
        branches=(),
        branches_note="",
        pairs=(),
        examples=(),
        config=json.dumps(asdict(settings), indent=2),
        machine={},
        tables=tuple(_page_tables(found, whole)),
        optimization=(),
    )
    return render(shown)


def _where_better(found: EvaluationComparison, part: Part, pair: Pair) -> Iterator[str]:
    """Categories in which the first model is surely better, and those in which it surely is not."""
    place = part.pairs.index(pair)
    for kind, parts in _categories(found, part).items():
        ahead: list[str] = []
        behind: list[str] = []
        for each in parts:
            difference = each.pairs[place].differences["pass1"]
            if difference is not None and difference.low is not None and difference.high is not None:
                (ahead if difference.low > 0 else behind if difference.high < 0 else []).append(str(each.value))
        if ahead or behind:
            better, worse = ", ".join(ahead) or "none", ", ".join(behind) or "none"
            yield f"  by {kind}: surely better on {better}; surely worse on {worse}"


def _categories(found: EvaluationComparison, whole: Part) -> dict[str, list[Part]]:
    kinds: dict[str, list[Part]] = {}
    for part in found.parts:
        if part.kind is not None and (part.benchmark, part.arm) == (whole.benchmark, whole.arm):
            kinds.setdefault(part.kind, []).append(part)
    return kinds


def _title(part: Part) -> str:
    left_out = f", {part.left_out} left out: not every model has rollouts of them" if part.left_out else ""
    return f"{part.benchmark}, {_ARMS.get(part.arm, part.arm)} ({part.questions} questions{left_out})"


def _columns(part: Part) -> tuple[str, ...]:
    return (*part.models, *(f"{pair.first} minus {pair.second}" for pair in part.pairs))


def _measure_rows(part: Part) -> Iterator[tuple[str, ...]]:
    labels = dict.fromkeys(label for own in part.models.values() for label in own)
    for label in labels:
        values = [_cell(label, own.get(label)) for own in part.models.values()]
        differences = [_cell(label, pair.differences.get(label), signed=True) for pair in part.pairs]
        if any(cell != "-" for cell in values):
            yield label, *values, *differences


def _category_row(part: Part) -> tuple[str, ...]:
    values = [_cell("pass1", own["pass1"]) for own in part.models.values()]
    differences = [_cell("pass1", pair.differences["pass1"], signed=True) for pair in part.pairs]
    won = "; ".join(f"{len(each.first)} / {len(each.second)}" for each in part.won)
    return str(part.value), str(part.questions), *values, *differences, won


def _tile(part: Part, colours: Mapping[str, str]) -> Tile:
    bars = []
    for name, own in part.models.items():
        pass1 = own["pass1"]
        value, low, high = (None, None, None) if pass1 is None else (pass1.value, pass1.low, pass1.high)
        bars.append(Bar(label=name, role=colours[name], value=value, low=low, high=high))
    return Tile(title=_title(part), note="Pass@1", bars=tuple(bars))


def _model_row(part: Part, name: str, role: str) -> Row:
    own = part.models[name]
    cells = (_cell(label, own.get(label)) for label in ("pass1", "pass4", "tool_attempt_rate"))
    label = f"{part.benchmark}, {_ARMS.get(part.arm, part.arm)}: {name}"
    return Row(label=label, role=role, cells=(str(part.questions), *cells))


def _page_tables(found: EvaluationComparison, whole: Sequence[Part]) -> Iterator[Table]:
    role = roles([""])[0]
    for part in whole:
        rows = tuple(Row(label=label, role=role, cells=tuple(cells)) for label, *cells in _measure_rows(part))
        yield Table(title=_title(part), note="Differences are paired.", columns=_columns(part), rows=rows)
        for kind, parts in _categories(found, part).items():
            lines = [_category_row(each) for each in parts]
            yield Table(
                title=f"{part.benchmark} by {kind}",
                note="Pass@1; at the end, questions that only one of the two models answers more often rightly.",
                columns=("questions", *_columns(part), "first / second"),
                rows=tuple(Row(label=label, role=role, cells=tuple(cells)) for label, *cells in lines),
            )


def _cell(label: str, found: Estimate | None, *, signed: bool = False) -> str:
    if found is None:
        return "-"
    share = label in _SHARES

    def told(value: float) -> str:
        number = f"{100 * value:.1f}" if share else f"{value:.4g}"
        return f"+{number}" if signed and value > 0 else number

    ends = "" if found.low is None or found.high is None else f" ({told(found.low)} to {told(found.high)})"
    return f"{told(found.value)}{'%' if share and not signed else ''}{ends}"
