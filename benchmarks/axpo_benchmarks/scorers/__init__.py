"""Scorers of the benchmarks by rules, one a module, their figures, and `SCORERS`, which makes them by name.

A scorer says right, wrong or unparsable, and by which rule; what cannot be read is counted, and nothing is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from axpo_benchmarks.scorers._self_test import Misjudged, near_misses, phrasings, self_test
from axpo_benchmarks.scorers._verdict import CUT, Judge, Opinion, Outcome, Scorer, Tally, Verdict, score_response
from axpo_benchmarks.scorers.dynamath import DynaMathReport, dynamath_report, score_dynamath
from axpo_benchmarks.scorers.hr_bench import HRBenchReport, hr_bench_report, score_hr_bench
from axpo_benchmarks.scorers.hr_mmsearch import HRMMSearchScorer
from axpo_benchmarks.scorers.math_vr import Judgement, MathVRFigures, MathVRScorer, math_vr_report, process_score
from axpo_benchmarks.scorers.mathvision import MathVisionScorer
from axpo_benchmarks.scorers.mmsearch import MMSearchStages, score_mmsearch
from axpo_benchmarks.scorers.v_star import score_v_star
from axpo_benchmarks.scorers.visual_probe import VisualProbeScorer

SCORERS: Final[Mapping[str, Callable[[], Scorer]]] = {
    "mathvision": MathVisionScorer,
    "dynamath": lambda: score_dynamath,
    "math-vr": MathVRScorer,
    "v-star": lambda: score_v_star,
    "visual-probe": VisualProbeScorer,
    "hr-bench-4k": lambda: score_hr_bench,
    "hr-bench-8k": lambda: score_hr_bench,
    "hr-mmsearch": HRMMSearchScorer,
    "mmsearch": lambda: score_mmsearch,
}
"""Makes the scorer of a benchmark, by the names of `axpo_benchmarks.loaders.BENCHMARKS`; none asks a judge."""

__all__ = [
    "CUT",
    "SCORERS",
    "DynaMathReport",
    "HRBenchReport",
    "HRMMSearchScorer",
    "Judge",
    "Judgement",
    "MMSearchStages",
    "MathVRFigures",
    "MathVRScorer",
    "MathVisionScorer",
    "Misjudged",
    "Opinion",
    "Outcome",
    "Scorer",
    "Tally",
    "Verdict",
    "VisualProbeScorer",
    "dynamath_report",
    "hr_bench_report",
    "math_vr_report",
    "near_misses",
    "phrasings",
    "process_score",
    "score_dynamath",
    "score_hr_bench",
    "score_mmsearch",
    "score_response",
    "score_v_star",
    "self_test",
]
