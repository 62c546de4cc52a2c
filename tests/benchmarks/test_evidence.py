from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axpo.compare.comparison import ComparisonConfig
from axpo.records.outcomes import Comparison, Entry, Outcome, RunOutcome
from axpo_benchmarks import evidence
from axpo_benchmarks.cli import main


def outcome(pass1: float) -> Outcome:
    return Outcome(
        measures={
            "pass1": pass1,
            "pass4": 0.9,
            "tool_attempt_rate": 0.5,
            "all_wrong_tool_subgroups": None,
        },
        rollouts=10.0,
        tokens=100.0,
        seconds=1.0,
    )


def run(seed: int, pass1: float) -> RunOutcome:
    return RunOutcome(seed=seed, folder=f"axpo-seed{seed}", outcome=outcome(pass1), intervals={})


def test_results_hold_every_seed_the_mean_and_the_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ComparisonConfig] = []

    def fake(config: ComparisonConfig, **_: Any) -> Comparison:
        asked.append(config)
        entry = Entry(name="axpo", runs=(run(0, 0.7), run(1, 0.9)))
        return Comparison(start=None, entries=(entry,), steps=3, machine={})

    monkeypatch.setattr(evidence, "compare", fake)
    file = tmp_path / "evidence.json"
    arguments = ["--methods", "axpo", "--seeds", "0", "1", "--guess-rates", "0.4", "0.6", "--steps", "3"]
    assert main(["evidence", *arguments, "--out", str(tmp_path / "runs"), "--json", str(file)]) == 0

    assert [config.base.env_args for config in asked] == [("guess_rate=0.4",), ("guess_rate=0.6",)]
    assert len({config.base.out for config in asked}) == 2
    assert {(config.seeds, config.base.steps) for config in asked} == {((0, 1), 3)}
    record = json.loads(file.read_text())
    assert [point["guess_rate"] for point in record["points"]] == [0.4, 0.6]
    axpo = record["points"][0]["methods"]["axpo"]
    assert axpo["mean"]["pass1"] == pytest.approx(0.8)
    # Sample standard deviation of 0.7 and 0.9.
    assert axpo["sd"]["pass1"] == pytest.approx(0.02**0.5)
    assert axpo["sd"]["all_wrong_tool_subgroups"] is None
    assert axpo["by_seed"]["1"]["pass1"] == 0.9
