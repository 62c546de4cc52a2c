"""Defines the tables of an evaluation in the paper's shape: a row per arm, Pass@1 and Pass@4 of every benchmark.

A figure is a percentage. A mark says where it is none that could be compared with a published one: `*` where not all
published questions were asked or rollouts are missing, `+` where a judge is published and none was asked.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from axpo_benchmarks.harness._record import headline

TITLES: Final = {
    "mathvision": "MathVision",
    "dynamath": "DynaMath",
    "math-vr": "Math-VR",
    "v-star": "V*",
    "visual-probe": "VisualProbe",
    "hr-bench-4k": "HR-Bench-4K",
    "hr-bench-8k": "HR-Bench-8K",
    "hr-mmsearch": "HR-MMSearch",
    "mmsearch": "MMSearch",
}
"""What people call the benchmarks, in the paper's order."""
_ARMS: Final = {"tools": "with tools", "no_tools": "without tools", "unseen_tools": "with unseen tools"}
_JUDGED: Final = ("visual-probe", "hr-mmsearch", "math-vr")
_NOTES: Final = (
    "Pass@1 / Pass@4 in per cent (Pass@4: any of four; MMSearch: mean F1 / best F1 of four). "
    "* not all published questions, or rollouts are missing; + no judge was asked where published figures have one: "
    "a lower bound."
)


class _Row(NamedTuple):
    title: str
    cells: tuple[str, ...]


def _percent(metric: Mapping[str, Any]) -> str:
    return "-" if metric["value"] is None else f"{100 * metric['value']:.1f}"


def _rows(record: Mapping[str, Any]) -> tuple[tuple[str, ...], list[_Row]]:
    benchmarks = [name for name in TITLES if name in record["benchmarks"]]
    columns = tuple(TITLES[name] for name in benchmarks)
    arms = [arm for arm in _ARMS if any(arm in record["benchmarks"][name]["arms"] for name in benchmarks)]
    model = str(record["provenance"]["model"])
    rows = []
    for arm in arms:
        found = [record["benchmarks"][name]["arms"].get(arm) for name in benchmarks]
        pairs = [
            None if one is None else headline(name, one["metrics"]) for name, one in zip(benchmarks, found, strict=True)
        ]
        cells = [
            "-" if pair is None else f"{_percent(pair[0])} / {_percent(pair[1])}{_mark(record, name, arm)}"
            for name, pair in zip(benchmarks, pairs, strict=True)
        ]
        rows.append(_Row(f"{model}, {_ARMS[arm]}", (*cells, _average(pairs))))
    return (*columns, "Average"), rows


def _average(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]] | None]) -> str:
    known = [pair for pair in pairs if pair is not None]
    means = []
    for place in (0, 1):
        values = [pair[place]["value"] for pair in known]
        means.append("-" if None in values or not values else f"{100 * sum(values) / len(values):.1f}")
    return " / ".join(means)


def _mark(record: Mapping[str, Any], name: str, arm: str) -> str:
    asked, found = record["provenance"]["benchmarks"][name], record["benchmarks"][name]
    partial = asked["differences"] or found["arms"][arm]["missing"]
    return ("*" if partial else "") + ("+" if name in _JUDGED and asked["judge"] is None else "")


def markdown(record: Mapping[str, Any]) -> str:
    """The table in Markdown, with its notes and the protocol."""
    columns, rows = _rows(record)
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {row.title.replace('|', ' ')} | {' | '.join(row.cells)} |" for row in rows]
    return "\n".join([*lines, "", _NOTES, "", _protocol(record), ""])


def latex(record: Mapping[str, Any]) -> str:
    """The table in LaTeX, for the package booktabs."""
    columns, rows = _rows(record)
    lines = [
        f"\\begin{{tabular}}{{l{'c' * len(columns)}}}",
        "\\toprule",
        " & ".join(["", *map(_escaped, columns)]) + " \\\\",
        "\\midrule",
        *(" & ".join([_escaped(row.title), *map(_escaped, row.cells)]) + " \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join([*(f"% {line}" for line in (_NOTES, _protocol(record))), *lines, ""])


def page(record: Mapping[str, Any]) -> str:
    """The tables as one HTML page that loads nothing: the paper's, then every figure and category of each benchmark."""
    columns, rows = _rows(record)
    model = html.escape(str(record["provenance"]["model"]))
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{model} on benchmarks</title><style>{_STYLE}</style><h1>{model} on benchmarks</h1>",
        _html_table(("", *columns), [(row.title, *row.cells) for row in rows]),
        f"<p>{html.escape(_NOTES)}</p><p>{html.escape(_protocol(record))}</p>",
    ]
    for name, found in record["benchmarks"].items():
        parts.append(f"<h2>{html.escape(TITLES[name])}, {html.escape(found['slice'])}</h2>")
        parts += [f"<p>Not as published: {html.escape(one)}</p>" for one in found["differences"]]
        for arm, counted in found["arms"].items():
            parts.append(f"<h3>{_ARMS[arm]}: {counted['rollouts']} rollouts, {counted['missing']} missing</h3>")
            parts.append(_html_metrics(counted["metrics"]))
            parts += [_html_category(kind, values) for kind, values in counted["categories"].items()]
        if found["metrics"]:
            parts += ["<h3>between arms</h3>", _html_metrics(found["metrics"])]
    return "\n".join([*parts, "</html>", ""])


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}"
    "th,td{padding:.25rem .7rem;border-bottom:1px solid #ccc;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}th,td{border-color:#444}}"
)


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{html.escape(one)}</th>" for one in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_metrics(metrics: Mapping[str, Any]) -> str:
    rows = [(name, *_cells(metric)) for name, metric in metrics.items()]
    return _html_table(("figure", "value", "95 % interval", "n"), rows)


def _html_category(kind: str, values: Mapping[str, Any]) -> str:
    rows = [
        (value, *(_percent(found["metrics"][name]) for name in ("pass1", "any_of_4", "score")), str(_n(found)))
        for value, found in values.items()
    ]
    return _html_table((kind, "Pass@1", "any of 4", "score", "questions"), rows)


def _n(found: Mapping[str, Any]) -> int:
    return int(found["metrics"]["pass1"]["n"])


def _cells(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    if metric["value"] is None:
        return "-", "", "0"
    interval = "" if metric["low"] is None else f"{metric['low']:.3f} to {metric['high']:.3f}"
    return f"{metric['value']:.3f}", interval, str(metric["n"])


def _protocol(record: Mapping[str, Any]) -> str:
    protocol = record["provenance"]["protocol"]
    told = ", ".join(f"{name} {_told(value)}" for name, value in protocol.items() if value is not None)
    return f"Protocol: {told}."


def _told(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _escaped(text: str) -> str:
    odd = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", **{one: f"\\{one}" for one in "&%$#_{}"}}
    return "".join(odd.get(one, one) for one in text)
