"""Defines the section of the report on policies that have given their tools up: which method brings them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final

from axpo_benchmarks.evidence.arms import START, arm_named
from axpo_benchmarks.evidence.comparing import Point, Rows, by_arm, mean_of, values
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.markdown import line, mean_cell
from axpo_benchmarks.evidence.phase_map import COLLAPSED
from axpo_benchmarks.evidence.rows import Row

_COLUMNS: Final[Mapping[str, str]] = {"tool_attempt_rate": "tool-attempt rate", "pass1": "Pass@1", "pass4": "Pass@4"}
_INTRODUCTION: Final = f"""\
## A policy that has given its tools up

Each arm begins from the policy that another one of the same seed ended with, which is also what its KL penalty is
measured against, and trains for as many steps again. *Back* are the seeds that end with at least {COLLAPSED:g} of
the tool-attempt rate of the family's start. What it began with is from 200 held-out questions asked 4 times, what it
ended with from the full evaluation."""


def recovering_section(families: Sequence[Family], rows: Sequence[Row], *, picture: str | None = None) -> str:
    """The arms of each family that came after another, by what they began and ended with; empty where none was run."""
    parts = []
    for family in families:
        found = by_arm(rows, family.name)
        arms = sorted((arm for arm in found if arm_named(arm).after), key=lambda arm: (arm_named(arm).after, arm))
        if arms:
            parts.append("\n".join(_table(family, found, arms)))
    shown = [f"![Tool-attempt rate before and after]({picture})"] if picture else []
    return "\n\n".join([_INTRODUCTION, *shown, *parts]) if parts else ""


def _table(family: Family, rows: Rows, arms: Sequence[str]) -> Iterator[str]:
    heads = (f"{head}, {when}" for head in _COLUMNS.values() for when in ("first", "last"))
    yield f"### {family.label}"
    yield ""
    yield line("", "seeds", *heads, "back")
    yield line("---", "---", *["---"] * (2 * len(_COLUMNS)), "---")
    for arm in arms:
        cells = []
        for metric in _COLUMNS:
            cells += [_first(rows[arm].values(), metric), mean_cell(mean_of(rows, Point(arm=arm), metric))]
        yield line(arm_named(arm).label, str(len(rows[arm])), *cells, _back(rows, arm))


def _first(rows: Iterable[Row], metric: str) -> str:
    return f"{fmean(row['marks'][0][metric] for row in rows):.3f}"


def _back(rows: Rows, arm: str) -> str:
    """How many seeds call tools again."""
    start = values(rows, Point(arm=START), "tool_attempt_rate")
    if not start:
        return ""
    limit = COLLAPSED * fmean(start.values())
    rates = values(rows, Point(arm=arm), "tool_attempt_rate").values()
    return f"{sum(rate >= limit for rate in rates)} of {len(rates)}"
