"""Defines the figures of single benchmarks as they are published, beside those that every benchmark has."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from axpo.diagnostics.estimates import Estimate
from axpo.records.evaluation_records import AskedQuestion
from axpo_benchmarks.harness._figures import Figures, Groups, all_right, mean_of, success
from axpo_benchmarks.scorers import MMSearchStages

_STAGES: Final = {"end_to_end": "end2end", "requery": "requery", "rerank": "rerank", "summary": "summarization"}


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
    """The stages that were asked, and what they weigh together, of one response and of the best of four."""

    def stages(figure: str) -> dict[str, Estimate | None]:
        return {
            name: success([one for one in questions if one.kinds.get("stage") == stage], groups)[figure]
            for name, stage in _STAGES.items()
        }

    means = stages("score")
    return {**means, "final": _weighed(means), "final_best_of_4": _weighed(stages("best_of_4_score"))}


def _weighed(stages: Mapping[str, Estimate | None]) -> Estimate | None:
    """The final score of MMSearch; None unless all stages are there. Its interval takes them for independent."""
    known = {name: one for name, one in stages.items() if one is not None}
    if len(known) < len(stages):
        return None
    value = MMSearchStages(**{name: min(one.value, 1.0) for name, one in known.items()}).final
    weights = {name: MMSearchStages(**{each: float(each == name) for each in known}).final for name in known}
    n = sum(one.n for one in known.values())
    halves = [
        weights[name] * (one.high - one.low) / 2
        for name, one in known.items()
        if one.low is not None and one.high is not None
    ]
    if len(halves) < len(known):
        return Estimate(value=value, n=n, low=None, high=None)
    half = math.hypot(*halves)
    return Estimate(value=value, n=n, low=value - half, high=value + half)


PUBLISHED: Final[Mapping[str, Callable[[Sequence[AskedQuestion], Groups], Figures]]] = {
    "hr-bench-4k": _hr_bench,
    "hr-bench-8k": _hr_bench,
    "dynamath": _dynamath,
    "mmsearch": _mmsearch,
}
"""By the benchmarks' names; those that are not among them report Pass@k alone."""

GRADED: Final = frozenset({"mmsearch"})
"""Benchmarks of which the mean score (F1) is reported, and the best of four, instead of shares of right answers."""
