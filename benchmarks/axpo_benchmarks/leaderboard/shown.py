"""Defines how a leaderboard is shown: a table in Markdown, in which what does not compare is marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from axpo_benchmarks.harness._record import headline
from axpo_benchmarks.harness.tables import TITLES
from axpo_benchmarks.leaderboard.board import Entry, Leaderboard, Metric, Published, Scored

ARM = "tools"
"""The arm that is shown."""
_MARKS = (
    "Pass@1 / Pass@4 in per cent (Pass@4: any of four; MMSearch: mean F1 / best F1 of four), with tools. "
    "* rollouts are missing, or not all published questions were asked; "
    "≠ other questions, rules or judge than in the first row of this column: not to be compared."
)
_APART = ("slice", "fingerprint", "scorer", "judge")


def markdown(board: Leaderboard, published: Published | None = None) -> str:
    """The board as a table, best average first, and beneath it a paper's figures, marked as such."""
    columns = [name for name in TITLES if any(name in entry.benchmarks for entry in board.entries)]
    ranked = sorted(board.entries, key=lambda entry: -_average(entry, columns)[0])
    first = {name: next(entry.benchmarks[name] for entry in ranked if name in entry.benchmarks) for name in columns}
    lines = [
        "| | " + " | ".join([*(TITLES[name] for name in columns), "Average", "Protocol"]) + " |",
        "|---|" + "---|" * (len(columns) + 2),
    ]
    protocols = list(dict.fromkeys(_protocol(entry) for entry in ranked))
    for entry in ranked:
        cells = [_cell(entry, name, first[name]) for name in columns]
        whole = all(name in entry.benchmarks for name in columns)
        average = " / ".join(f"{100 * value:.1f}" for value in _average(entry, columns)) if whole else "-"
        number = str(protocols.index(_protocol(entry)) + 1)
        lines.append("| " + " | ".join([entry.name.replace("|", " "), *cells, average, number]) + " |")
    notes = [f"Protocol {number}: {text}" for number, text in enumerate(protocols, start=1)]
    return "\n".join([*lines, "", _MARKS, "", *notes, "", *_published(published)])


def _published(published: Published | None) -> Iterator[str]:
    if published is None:
        return
    yield f"As published ({published.source}; {published.protocol}), not measured here:"
    yield ""
    yield "| | table | Pass@1 / Pass@4 | mean over |"
    yield "|---|---|---|---|"
    for row in published.rows:
        values = " / ".join("-" if value is None else f"{value:.1f}" for value in (row.pass1, row.pass4))
        yield f"| {row.model} | {row.table} | {values} | {', '.join(TITLES.get(name, name) for name in row.over)} |"
    yield ""


def _cell(entry: Entry, name: str, first: Scored) -> str:
    scored = entry.benchmarks.get(name)
    if scored is None or ARM not in scored.metrics:
        return "-"
    partial = bool(scored.asked.differences) or scored.missing[ARM] > 0
    apart = any(getattr(scored.asked, label) != getattr(first.asked, label) for label in _APART)
    pair = " / ".join(_percent(metric) for metric in headline(name, scored.metrics[ARM]))
    return pair + ("*" if partial else "") + ("≠" if apart else "")


def _average(entry: Entry, columns: Sequence[str]) -> tuple[float, float]:
    """Pass@1 and Pass@4, each benchmark counted once; what is lacking counts 0, so that it ranks last."""
    pairs = [
        headline(name, entry.benchmarks[name].metrics[ARM])
        for name in columns
        if name in entry.benchmarks and ARM in entry.benchmarks[name].metrics
    ]
    count = max(len(columns), 1)
    return (
        sum(one["value"] or 0.0 for one, _ in pairs) / count,
        sum(other["value"] or 0.0 for _, other in pairs) / count,
    )


def _percent(metric: Metric) -> str:
    value = metric["value"]
    return "-" if value is None else f"{100 * value:.1f}"


def _protocol(entry: Entry) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str | int | float) else json.dumps(value)}"
        for name, value in sorted(entry.protocol.items())
        if value is not None
    )
