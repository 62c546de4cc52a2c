"""Defines the section of the report on Desk: whether training that keeps acting also keeps out of what is forbidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from axpo_benchmarks.evidence.arms import START, arm_named
from axpo_benchmarks.evidence.comparing import Point, Rows, by_arm, difference, mean_of
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.looking import SAMPLED
from axpo_benchmarks.evidence.markdown import line, mean_cell, signed_cell
from axpo_benchmarks.evidence.rows import Row

COLUMNS: Final[Mapping[str, str]] = {
    "pass1": "Pass@1",
    "failed_to_act": "failed to act",
    "forbidden_attempt": "forbidden attempts",
    "declined_correctly": "declined correctly",
    "over_acting": "over-acting",
    "tool_attempt_rate": "tool-attempt rate",
}
"""The metrics that are told, and their heads."""
ARMS: Final = (START, "grpo", "axpo", "axpo_idle")
"""The arms that are told, in order."""
_INTRODUCTION: Final = """\
## Does keeping a tool in use make it used where it must not be?

The brief desk demands a call on half of its questions and none on a quarter; on the last quarter either will do,
payments excepted. *Failed to act* is over rollouts of questions that demand a call, *forbidden attempts* over rollouts
of the half of the questions that forbid one, whatever became of the call
([what counts](../docs/declined-or-failed.md)). The families differ in what becomes of a forbidden call."""


def helplessness_section(families: Sequence[Family], rows: Sequence[Row]) -> str:
    """The arms of each family by what they do and leave alone, and AXPO less GRPO; empty where nothing was run."""
    parts = ["\n".join(_table(family, found)) for family in families if (found := by_arm(rows, family.name))]
    return "\n\n".join([_INTRODUCTION, *parts]) if parts else ""


def _table(family: Family, rows: Rows) -> Iterator[str]:
    yield f"### {family.label}"
    yield ""
    yield line("", "seeds", *COLUMNS.values())
    yield line("---", "---", *("---" for _ in COLUMNS))
    for arm in ARMS:
        if arm in rows:
            cells = (mean_cell(mean_of(rows, Point(arm=arm), metric, SAMPLED)) for metric in COLUMNS)
            yield line(arm_named(arm).label, str(len(rows[arm])), *cells)
    found = [difference(rows, Point(arm="axpo"), Point(arm="grpo"), metric) for metric in COLUMNS]
    if found[0] is not None:
        yield line("AXPO less GRPO", str(found[0].n), *map(signed_cell, found))
