"""Defines the figures of single benchmarks as they are published, beside those that every benchmark has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from axpo.records.evaluation_folder import AskedQuestion
from axpo_benchmarks.harness._figures import Figures, Groups, all_right, mean_of, success


def _hr_bench(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """The mean over categories of the mean over cycles, and questions that are right in all four of their cycles."""
    cells: dict[str, dict[str, list[AskedQuestion]]] = {}
    for question in questions:
        cycles = cells.setdefault(question.kinds["category"], {})
        cycles.setdefault(question.kinds["cycle_category"], []).append(question)
    by_category = [
        mean_of([success(members, groups)["pass1"] for members in cycles.values()]) for cycles in cells.values()
    ]
    return {"accuracy": mean_of(by_category), "all_cycles": all_right(questions, groups, size=4)}


def _dynamath(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """Average over everything asked; worst case where several variants of each seed question were asked."""
    sizes = set(Counter(question.cluster for question in questions).values())
    whole = len(sizes) == 1 and sizes != {1}
    return {
        "average": success(questions, groups)["pass1"],
        "worst_case": all_right(questions, groups, size=sizes.pop()) if whole else None,
    }


def _mmsearch(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """The stages that end in an answer; requery and rerank are not asked, so neither is the final score known."""

    def stage(name: str) -> Figures:
        return success([one for one in questions if one.kinds.get("stage") == name], groups)

    stages = {
        "end_to_end": stage("end2end")["score"],
        "requery": None,
        "rerank": None,
        "summary": stage("summarization")["score"],
    }
    return {**stages, "final": None}


PUBLISHED: Final[Mapping[str, Callable[[Sequence[AskedQuestion], Groups], Figures]]] = {
    "hr-bench-4k": _hr_bench,
    "hr-bench-8k": _hr_bench,
    "dynamath": _dynamath,
    "mmsearch": _mmsearch,
}
"""By the benchmarks' names; those that are not among them report Pass@k alone."""

GRADED: Final = frozenset({"mmsearch"})
"""Benchmarks of which the mean score (F1) is reported, and the best of four, instead of shares of right answers."""
