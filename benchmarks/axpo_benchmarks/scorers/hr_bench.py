"""Defines the scorer of HR-Bench and `HRBenchReport`, its figures.

A response is right where it chooses the right option, by its letter or by its text (see `_choice`). No judge is asked.
Each question has four rows, in which its options stand in four cyclic orders. The reported accuracy is the mean over
cycles of the accuracy of their rows, per category and over both. A question is solved in all cycles where each of its
four rows is right; that share is another figure and is named so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from axpo_benchmarks.scorers._choice import score_choice
from axpo_benchmarks.scorers._verdict import Outcome, Tally, Verdict
from axpo_envs.types import Question


def score_hr_bench(question: Question, response: str | None, /) -> Verdict:
    """Right where the response chooses the right option; unparsable where it chooses none."""
    return score_choice(question, response)


@dataclass(frozen=True, slots=True, kw_only=True)
class HRBenchReport:
    """The figures of HR-Bench over one response per row."""

    categories: Mapping[str, float]
    """Per category the mean over cycles of the rows' accuracy."""
    accuracy: float
    """The mean over the categories."""
    all_cycles: float
    """Share of the questions, each of several rows, all of whose rows are right."""
    questions: int
    """Number of questions."""
    incomplete: int
    """Questions that were not asked in every cycle; where there are some, the figures are not the published ones."""
    tally: Tally
    """Counts of rows."""


def hr_bench_report(results: Iterable[tuple[Question, Verdict]]) -> HRBenchReport:
    """The figures over rows and their verdicts.

    Raises:
        ValueError: there are none.
    """
    listed = list(results)
    if not listed:
        raise ValueError("expected at least one verdict; got none")
    cells: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    groups: dict[str, list[bool]] = defaultdict(list)
    for question, verdict in listed:
        is_right = verdict.outcome is Outcome.RIGHT
        cells[question.extra["category"]][question.extra["cycle_category"]].append(is_right)
        groups[question.extra["group"]].append(is_right)
    seen = {cycle for cycles in cells.values() for cycle in cycles}
    categories = {name: fmean(map(fmean, cycles.values())) for name, cycles in cells.items()}
    return HRBenchReport(
        categories=categories,
        accuracy=fmean(categories.values()),
        all_cycles=fmean(map(all, groups.values())),
        questions=len(groups),
        incomplete=sum(len(rights) != len(seen) for rights in groups.values()),
        tally=Tally.of(verdict for _, verdict in listed),
    )
