from __future__ import annotations

from pathlib import Path

from axpo_benchmarks.loaders import BENCHMARKS
from axpo_benchmarks.scoring import ScoringConfig, measure


def test_every_benchmark_is_loaded_and_its_responses_scored(tmp_path: Path) -> None:
    rows = measure(ScoringConfig(answers=36, questions=2), tmp_path)
    assert [row.benchmark for row in rows] == list(BENCHMARKS)
    assert {row.answers for row in rows} == {4}
    assert {row.questions for row in rows} == {2}
