"""Defines the curves of runs as a page draws them: runs that differ in nothing but their seed are one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

from axpo.algorithm.methods import label_of
from axpo.diagnostics.metric import Metric, Shown
from axpo.diagnostics.registry import metrics
from axpo.records._jsonl import Record
from axpo.report._palette import LIGHT, roles
from axpo.report._panels import OPTIMIZATION, Curve, Line, Panel, drawn, has_data, panels
from axpo.viewer._runs import Run, Shelf

_SAME: Final = ("seed", "out")
"""Settings in which the seeds of one line differ, and sections that change no result."""
_SECTIONS: Final = ("log",)
_TOLD: Final = 2
"""Settings that are told of a line whose method has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strand:
    """Runs of the same settings: what is drawn as one line."""

    label: str
    """What people read."""
    role: str
    """Its colour."""
    runs: tuple[Run, ...]
    """One for each seed."""


def strands(runs: Sequence[Run]) -> tuple[Strand, ...]:
    """The lines of these runs, in the order of the first run of each."""
    together: dict[str, list[Run]] = {}
    for run in runs:
        together.setdefault(_key(run), []).append(run)
    members = [tuple(each) for each in together.values()]
    labels = _labels([each[0] for each in members])
    colours = _colours([each[0].method for each in members])
    return tuple(
        Strand(label=label, role=role, runs=each) for label, role, each in zip(labels, colours, members, strict=True)
    )


def curves_of(shelf: Shelf) -> dict[str, Any]:
    """All charts with their lines, as JSON holds them."""
    found = strands(list(shelf.runs().values()))
    progress = [[shelf.progress(run) for run in strand.runs] for strand in found]
    training = [_line(strand, [each.steps for each in of]) for strand, of in zip(found, progress, strict=True)]
    held_out = [_line(strand, [each.evaluations for each in of]) for strand, of in zip(found, progress, strict=True)]
    charts = [*_charts(evaluation_panels(), held_out), *_charts((*panels(), *OPTIMIZATION), training)]
    legend = [
        {"label": strand.label, "role": strand.role, "runs": [run.name for run in strand.runs]} for strand in found
    ]
    return {"lines": legend, "charts": charts}


def evaluation_panels() -> Iterator[Panel]:
    """Charts of headline figures that evaluations alone measure."""
    trained = {name for panel in panels() for name in panel.metrics}
    for metric in metrics():
        if Shown.TILE in metric.shown and metric.name not in trained:
            yield _evaluated(metric)


def _evaluated(metric: Metric) -> Panel:
    title = f"{metric.title}, held out"
    return Panel(title=title, caption=metric.meaning, metrics=(metric.name,), window=1)


def _line(strand: Strand, records: Sequence[Sequence[Record]]) -> Line:
    return Line(label=strand.label, role=strand.role, runs=tuple(tuple(each) for each in records))


def _charts(found: Iterator[Panel] | Sequence[Panel], lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    for panel in found:
        if has_data(panel, lines):
            yield {
                "title": panel.title,
                "caption": panel.caption,
                "share": panel.share,
                "lines": [[_points(drawn(line, metric, panel)) for metric in panel.metrics] for line in lines],
            }


def _points(curve: Curve) -> dict[str, Any]:
    bands = {"mean": curve.mean, "low": curve.low, "high": curve.high, "single": curve.single}
    return {"steps": curve.steps, **{name: _short(values) for name, values in bands.items() if values is not None}}


def _short(values: Sequence[float | None]) -> list[float | None]:
    """Six digits: more than a screen shows."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def _key(run: Run) -> str:
    kept = {name: value for name, value in run.settings.values.items() if name not in (*_SAME, *_SECTIONS)}
    return json.dumps(kept, sort_keys=True, default=str)


def _labels(firsts: Sequence[Run]) -> list[str]:
    names = [label_of(run.method) for run in firsts]
    settings = [dict(_dotted(run.settings.values)) for run in firsts]
    labels = []
    for number, (name, run) in enumerate(zip(names, firsts, strict=True)):
        others = [settings[other] for other, same in enumerate(names) if same == name and other != number]
        keys = {key for other in others for key in other.keys() | settings[number].keys()}
        differing = sorted(key for key in keys if any(other.get(key) != settings[number].get(key) for other in others))
        told = ", ".join(f"{key} {settings[number].get(key, '-')}" for key in differing[:_TOLD])
        labels.append(f"{name}, {told if len(told) <= 60 else run.name}" if others else name)
    return labels


def _dotted(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and name not in _SECTIONS:
            yield from _dotted(value, f"{before}{name}.")
        elif name not in (*_SAME, *_SECTIONS):
            yield f"{before}{name}", value


def _colours(methods: Sequence[str]) -> list[str]:
    """The methods' colours; of several lines in one colour the later ones take others."""
    taken: list[str] = []
    further = cycle(role for role in LIGHT if role not in ("ink", "line", "start"))
    for role in roles(methods):
        chosen = role
        while chosen in taken and len(set(taken)) < len(LIGHT) - 3:
            chosen = next(further)
        taken.append(chosen)
    return taken
