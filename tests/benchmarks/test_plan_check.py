from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from axpo.plan import measuring
from axpo_benchmarks import plan_check
from axpo_benchmarks.cli import main
from axpo_benchmarks.plan_cases import CASES
from axpo_benchmarks.plan_check import Row

RESULTS = Path(plan_check.__file__).parent / "results" / "plan.json"


def test_a_prediction_is_off_by_its_share_of_what_was_measured() -> None:
    row = Row(case="c", name="step", unit="s", predicted=1.2, measured=1.0)
    assert row.error == pytest.approx(0.2)
    assert row.is_met
    assert not replace(row, predicted=0.7).is_met
    assert replace(row, predicted=9.0, limit=None).is_met


def test_a_case_is_predicted_and_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "REPEATS", 1)
    monkeypatch.setattr(measuring, "_GROUPS", (1, 2))
    monkeypatch.setattr(plan_check, "_PILOT", 1)
    monkeypatch.setattr(plan_check, "peak_bytes", lambda action: 2**20 if action() else 0)
    case = CASES["tiny"]
    small = replace(case.config.sampling, questions=2, group_size=2)
    config = replace(case.config, sampling=small, selection=replace(case.config.selection, budget=0.0), method="grpo")
    rows = plan_check.check_case(replace(case, config=config, pilot=small), lambda _doing: None, steps=1)
    assert [(row.name, row.unit) for row in rows] == [
        ("sampling", "s"),
        ("update", "s"),
        ("step", "s"),
        ("peak memory", "MiB"),
    ]
    assert all(row.predicted >= 0 and row.measured > 0 for row in rows)


def test_a_case_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "huge"]) == 2
    assert "cases: expected some of tiny" in capsys.readouterr().err


def test_what_was_committed_is_within_the_limit() -> None:
    record = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert {"command", "machine", "clock"} < set(record)
    rows = [Row(**{name: row[name] for name in Row.__dataclass_fields__}) for row in record["rows"]]
    assert {row.case for row in rows} == set(CASES)
    assert all(row.is_met for row in rows)
