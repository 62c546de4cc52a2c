"""Defines the tables of the evidence: per family, a row per arm with means over seeds and what training spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev
from typing import Any, Final

from axpo_benchmarks.evidence._job import END
from axpo_benchmarks.evidence.looking import GREEDY, PAPER, SAMPLED
from axpo_benchmarks.evidence.plan import Planned, missing
from axpo_benchmarks.evidence.rows import Row

_COLUMNS: Final = (
    ("Pass@1", SAMPLED, "pass1"),
    ("Pass@4", SAMPLED, "pass4"),
    ("greedy", GREEDY, "pass1"),
    ("Pass@1, paper's sampling", PAPER, "pass1"),
    ("Pass@4, paper's sampling", PAPER, "pass4"),
    ("tool-attempt rate", SAMPLED, "tool_attempt_rate"),
    ("all-wrong tool subgroups", SAMPLED, "all_wrong_tool_subgroups"),
)
_SPENT: Final = ("rollouts", "tokens", "cpu_seconds")


def tables_of(rows: Sequence[Row], planned: Sequence[Planned]) -> str:
    """Markdown: a table per family, and the cells of the plan that were not run."""
    families = dict.fromkeys(one.cell.family.name for one in planned)
    parts = [table for family in families if (table := _table(family, [r for r in rows if r["family"] == family]))]
    left = missing(planned, rows)
    if left:
        parts.append(not_run(left, len(planned)))
    return "\n\n".join(parts) + "\n"


def not_run(left: Sequence[Planned], planned: int) -> str:
    """Markdown: the cells of a plan that were not run; empty where all were."""
    if not left:
        return ""
    return "\n".join(["## Not run", "", f"{len(left)} of {planned} cells.", "", *_left(left)])


def value_of(row: Row, sampling: str, metric: str, at: str = END) -> float | None:
    """What an evaluation of a row found; None where there was none, or nothing to count."""
    for record in row["evaluations"]:
        if record["at"] == at and record["sampling"] == sampling:
            found = record["metrics"].get(metric)
            return None if found is None else float(found[0])
    return None


def summary_of(rows: Iterable[Row]) -> dict[str, Any]:
    """Per family and arm: the seeds, and of every column its values by seed, mean and standard deviation."""
    found: dict[str, Any] = {}
    for family, arm, asked in _grouped(rows):
        columns = {name: [value_of(row, sampling, metric) for row in asked] for name, sampling, metric in _COLUMNS}
        columns |= {name: [row.get(name) for row in asked] for name in _SPENT}
        found.setdefault(family, {})[arm] = {
            "seeds": [row["seed"] for row in asked],
            **{name: _described(values) for name, values in columns.items()},
        }
    return found


def _described(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean = fmean(known) if known else None
    return {"mean": mean, "sd": stdev(known) if len(known) > 1 else None, "by_seed": list(values)}


def _grouped(rows: Iterable[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["arm"]), []).append(row)
    for (family, arm), found in groups.items():
        yield family, arm, sorted(found, key=lambda row: row["seed"])


def _table(family: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    names = [name for name, *_ in _COLUMNS]
    head = ["", "seeds", *names, *(name.replace("_", " ") for name in _SPENT)]
    lines = [f"## {family}", "", _line(head), _line(["---"] * len(head))]
    for arm, summary in summary_of(rows)[family].items():
        cells = [_cell(summary[name]) for name in names]
        spent = ["" if (mean := summary[name]["mean"]) is None else f"{mean:,.0f}" for name in _SPENT]
        lines.append(_line([arm, str(len(summary["seeds"])), *cells, *spent]))
    return "\n".join(lines)


def _cell(described: dict[str, Any]) -> str:
    if described["mean"] is None:
        return ""
    spread = "" if described["sd"] is None else f" ± {described['sd']:.3f}"
    return f"{described['mean']:.3f}{spread}"


def _left(left: Sequence[Planned]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[int]] = {}
    for one in left:
        groups.setdefault((one.cell.family.name, one.cell.arm), []).append(one.cell.seed)
    for (family, arm), seeds in groups.items():
        yield f"- {family}, {arm}: seed {', '.join(map(str, seeds))}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
