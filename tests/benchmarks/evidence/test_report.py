from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axpo.settings.config import ConfigError
from axpo_benchmarks.evidence import report
from axpo_benchmarks.evidence.arms import TIERS
from axpo_benchmarks.evidence.claims import CLAIMS
from axpo_benchmarks.evidence.comparing import (
    Point,
    by_arm,
    curve_mean,
    difference,
    family_mean_difference,
    question_difference,
)
from axpo_benchmarks.evidence.curve import MEANS, TOTALS
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.report import EvidenceReportConfig, run_evidence_report
from axpo_benchmarks.evidence.rows import Row, append_row

AXPO, GRPO = Point(arm="axpo"), Point(arm="grpo")


@pytest.fixture
def full(row: Callable[..., Row]) -> Callable[..., Row]:
    """A row with everything that reports read."""

    def make(arm: str, seed: int, pass1: float, **values: Any) -> Row:
        names = ("pass1", "pass4", "tool_attempt_rate", "all_wrong_tool_subgroups")
        looked = {"samples": 4, "right": "42", "metrics": {name: [pass1, None, None] for name in names}}
        curve = {name: [0.25, 0.5] for name in (*MEANS, *(f"total_{name}" for name in TOTALS))}
        return row(
            arm,
            seed,
            **{
                "asked_steps": 120,
                "evaluations": [{"at": "end", "step": 120, "sampling": "sampled", **looked}],
                "curve": {**curve, "step": [30, 120]},
                "marks": [
                    {"step": 0, "pass1": 0.1, "tool_attempt_rate": 0.3},
                    {"step": 60, "pass1": pass1, "tool_attempt_rate": 0.14 + 0.01 * seed},
                ],
                "seconds": 9.0,
                **dict.fromkeys(("machine", "commit", "start", "start_hash", "date"), "x"),
                "workers": 1,
                "versions": {"torch": "2"},
                **values,
            },
        )

    return make


def test_arms_are_paired_by_seed_and_families_averaged_before_seeds(full: Callable[..., Row]) -> None:
    rows = [full("axpo", 0, 0.9), full("axpo", 1, 0.8), full("grpo", 1, 0.5), full("grpo", 2, 0.1)]
    ours = by_arm(rows, "toy")
    found = difference(ours, AXPO, GRPO, "pass1")
    assert found is not None
    assert (found.n, found.mean) == (1, pytest.approx(0.3))
    other = by_arm([full("axpo", 1, 0.6), full("grpo", 1, 0.5)], "toy")
    both = family_mean_difference([ours, other], AXPO, GRPO, "pass1")
    assert both is not None
    assert both.mean == pytest.approx(0.2)
    assert family_mean_difference([ours, {}], AXPO, GRPO, "pass1") is None
    questions = question_difference(ours, AXPO, GRPO)
    assert questions is not None
    assert questions.value == 0


def test_a_point_of_training_that_was_not_looked_at_gives_nothing(full: Callable[..., Row]) -> None:
    rows = by_arm([full("axpo", 0, 0.9), full("grpo_longer", 0, 0.5)], "toy")
    assert difference(rows, AXPO, Point(arm="grpo_longer", at="equal_tokens"), "pass1") is None
    assert difference(rows, AXPO, Point(arm="grpo_longer"), "pass1") is not None


def test_early_and_late_training_are_told_apart(full: Callable[..., Row]) -> None:
    one = full("axpo", 0, 0.9)
    assert curve_mean(one, "recovery_rate", last=30) == 0.25
    assert curve_mean(one, "recovery_rate", first=30) == 0.5
    assert curve_mean({}, "recovery_rate") is None


def test_claims_are_about_arms_that_are_run() -> None:
    known = {name for tier in TIERS for name in tier}
    assert {point.arm for claim in CLAIMS for point in (claim.more, claim.less)} <= known


def test_a_page_says_what_holds_what_does_not_and_what_was_not_run(
    full: Callable[..., Row], family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = replace(family, name="never")
    monkeypatch.setattr(report, "FAMILIES", (family, never))
    for seed in range(3):
        for arm, pass1 in (("grpo", 0.5), ("axpo", 0.8), ("axpo_random", 0.9), ("axpo_scratch", 0.8)):
            append_row(tmp_path / "rows", full(arm, seed, pass1 + 0.01 * seed))
    out = tmp_path / "README.md"
    asked = EvidenceReportConfig(out=out, rows=tmp_path / "rows", seeds=3, methods=("grpo", "axpo", "cispo"))
    assert run_evidence_report(asked) == 0
    text = out.read_text()
    verdicts = dict(re.findall(r"^\| (AXPO[^|]*?) \|[^|]*\| ([a-z ]*[a-z])", text, flags=re.MULTILINE))
    assert verdicts["AXPO beats GRPO after as many steps"] == "holds"
    assert verdicts["AXPO beats itself with random ranking"] == "the reverse holds"
    assert verdicts["AXPO beats itself resampling from scratch"] == "open"
    assert verdicts["AXPO beats ARPO"] == "not run"
    assert "Of 6 orderings that were measured: 3 hold, the reverse of 2, 1 open." in text
    assert "| AXPO | 3 | 0.810 (0.785 to 0.835) |" in text
    assert "| GRPO | 0.50 (0.50) | 0.51 (0.51) | 0.52 (0.52) |" in text
    # Marks end at 0.14, 0.15 and 0.16, the start's is 0.3.
    assert "| 1 of 3 | 8 | 100 | 1 | 9 |" in text
    assert "- toy, cispo: seed 0, 1, 2" in text
    assert "- never, grpo: seed 0, 1, 2" in text
    assert (tmp_path / "figures" / "toy.svg").is_file()


def test_without_rows_the_page_says_so(tmp_path: Path) -> None:
    out = tmp_path / "README.md"
    assert run_evidence_report(EvidenceReportConfig(out=out, rows=tmp_path, methods=("grpo",))) == 0
    assert "There are no rows yet." in out.read_text()
    with pytest.raises(ConfigError, match=r"out: expected a file that ends in \.md"):
        run_evidence_report(EvidenceReportConfig(out=tmp_path, rows=tmp_path))
