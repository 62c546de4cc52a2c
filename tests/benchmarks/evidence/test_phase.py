from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axpo_benchmarks.evidence.cells import settings_of
from axpo_benchmarks.evidence.phase import PhaseConfig, phase_plan
from axpo_benchmarks.evidence.phase_figure import draw_phase
from axpo_benchmarks.evidence.phase_map import axpo_effect, grpo_state, phase_points, phase_section, proposition
from axpo_benchmarks.evidence.rows import Row

SMALL = PhaseConfig(guess_rates=(0.4, 0.9), character_sizes=(0.94,), rates=(1.0, 2.0), seeds=2)


def marked(*rates: float) -> Row:
    return {"marks": [{"tool_attempt_rate": rate} for rate in rates]}


def test_states_of_grpo_follow_the_marks() -> None:
    assert grpo_state(marked(0.28, 0.2, 0.13)) == "collapse"
    assert grpo_state(marked(0.28, 0.14, 0.14)) == "delayed"
    assert grpo_state(marked(0.28, 0.2, 0.9)) == "delayed"
    assert grpo_state(marked(0.28, 0.22, 0.9)) == "no help needed"


def test_effects_of_axpo_need_size_and_the_sign_of_every_seed() -> None:
    assert axpo_effect([0.1, 0.02]) == "makes the difference"
    assert axpo_effect([0.2, -0.01]) == "nothing"
    assert axpo_effect([0.04, 0.04]) == "nothing"
    assert axpo_effect([-0.1, -0.01]) == "harm"


def test_proposition_1_is_computed_from_counts() -> None:
    found = proposition({"q": 0.5, "p_tool": 0.2, "resamples": 16, "right": [0, 16]})
    assert found == {"mean": 0.5, "above": 0.5, "resampled": 0.5, "anew": pytest.approx(1 - 0.9**4)}
    # Of 16 resamples 1 is right: 4 drawn of them hold it in a quarter of all draws.
    assert proposition({"q": 0, "p_tool": 0, "resamples": 16, "right": [1]})["resampled"] == pytest.approx(0.25)
    assert proposition({"q": 0.5, "p_tool": 0.2, "resamples": 16, "right": []})["mean"] == 0


def test_the_first_learning_rate_is_run_with_every_seed_before_the_others() -> None:
    planned = phase_plan(SMALL)
    told = [(dict(p.cell.family.point)["rate"], p.cell.seed, p.cell.arm) for p in planned]
    assert told[:6] == [(1.0, 0, arm) for arm in ("start", "grpo", "axpo")] * 2
    assert [rate for rate, *_ in told] == sorted(rate for rate, *_ in told)
    assert len({p.identity for p in planned}) == len(planned) == 2 * (2 * 2 * 2) + 2
    last = settings_of(planned[-1].cell, Path("out"))
    assert (last.optim.lr, last.env_args) == (2e-4, ("guess_rate=0.9", "character_size=0.94"))


def test_a_page_and_a_picture_tell_points_and_what_was_not_run(row: Callable[..., Row], tmp_path: Path) -> None:
    planned = phase_plan(SMALL)
    probe = {"q": 0.3, "p_tool": 0.4, "p_no_tool": 0.35, "resamples": 16, "right": [0, 8]}
    rows: list[dict[str, Any]] = []
    for one in planned:
        point, cell = dict(one.cell.family.point), one.cell
        if point["rate"] == 2.0 or (point["guess_rate"], cell.arm) == (0.9, "axpo"):
            continue
        pass1 = {"start": 0.3, "grpo": 0.5, "axpo": 0.8}[cell.arm]
        rows.append(
            row(cell.arm, cell.seed, pass1=pass1, cell=one.identity, probe=probe if cell.arm == "start" else None)
        )
        rows[-1] |= {**marked(0.28, 0.05), "curve": {"recovery_rate": [0.75]}}
    points = phase_points(rows, planned)
    assert [(point.state, point.effect, point.left) for point in points] == [
        ("collapse", "makes the difference", 0),
        ("collapse", None, 2),
        (None, None, 4),
        (None, None, 4),
    ]
    text = phase_section(points, picture="phase.svg")
    assert "| 0.94 | collapse; makes the difference: +0.30 (2) | collapse |" in text
    assert "| 0.94 | not run | not run |" in text
    assert "| 0.4 | 0.94 | 0.30 | 0.40 | 0.35 | 2 | 0.25 | 0.50 |" in text
    assert "Not run: 10 cells; 3 of 4 points have no pair of GRPO and AXPO." in text
    draw_phase(points, tmp_path / "phase.svg")
    assert (tmp_path / "phase.svg").read_text().startswith("<?xml")


def test_further_methods_stand_beside_the_diagram_where_they_were_run(row: Callable[..., Row]) -> None:
    planned = phase_plan(
        PhaseConfig(guess_rates=(0.9,), character_sizes=(0.76,), methods=("grpo", "axpo_idle"), seeds=1)
    )
    (cell,) = (one for one in planned if one.cell.arm == "axpo_idle" and dict(one.cell.family.point)["rate"] == 1.0)
    found = row("axpo_idle", 0, pass1=0.8) | {"cell": cell.identity}
    found["evaluations"][0]["metrics"]["tool_attempt_rate"] = [0.25, None, None]
    told = phase_section(phase_points([found], planned), picture="phase.svg")
    assert "| 0.9 | 0.76 | 1 | not run | not run | 0.80 (0.25) |" in told
    assert "AXPO, idle failures act" not in phase_section(phase_points([], planned), picture="phase.svg")
