from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from axpo.settings.config import ConfigError
from axpo_benchmarks.evidence._job import TRAINED
from axpo_benchmarks.evidence.arms import arm_named
from axpo_benchmarks.evidence.cells import Cell, identity
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.plan import job_of, missing, plan, planned_cell
from axpo_benchmarks.evidence.rows import Row


def test_what_readers_see_first_runs_first(family: Family) -> None:
    asked = ("axpo_random", "grpo_n10", "axpo", "grpo", "start", "grpo_n3")
    other = replace(family, name="other")
    cells = [(p.cell.family.name, p.cell.arm, p.cell.seed) for p in plan((family, other), asked, seeds=2, steps=2)]
    assert cells[:6] == [
        ("toy", "start", 0),
        ("other", "start", 0),
        ("toy", "grpo", 0),
        ("toy", "axpo", 0),
        ("toy", "grpo", 1),
        ("toy", "axpo", 1),
    ]
    assert [arm for _, arm, _ in cells[-4:]] == ["grpo_n3"] * 4
    assert len(set(cells)) == len(cells) == 2 + 5 * 4


def test_an_unknown_arm_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"methods: expected start, grpo_longer.*got 'nonsense'"):
        arm_named("nonsense")


@pytest.mark.parametrize(
    "name", ["start_then_axpo", "grpo_then_start", "grpo_longer_then_axpo", "grpo_then_axpo_then_grpo"]
)
def test_only_arms_that_train_for_the_steps_asked_for_come_before_or_after_others(name: str) -> None:
    with pytest.raises(ConfigError, match="expected two arms that train for the steps asked for"):
        arm_named(name)


def test_an_arm_after_another_takes_over_what_that_one_ended_with_where_it_is_there(
    cell: Callable[..., Cell], row: Callable[..., Row], tmp_path: Path
) -> None:
    after = planned_cell(cell("grpo_then_axpo"))
    assert (after.needs, after.begun_by) == (None, identity(cell("grpo")))
    rows = {identity(cell("grpo")): row("grpo", 0)}
    assert job_of(after, rows, out=tmp_path, command="", workers=1).begun is None
    begun = tmp_path / identity(cell("grpo"))
    begun.mkdir()
    (begun / TRAINED).write_text("{}")
    assert job_of(after, rows, out=tmp_path, command="", workers=1).begun == begun
    # It is still being evaluated, or was killed before.
    assert job_of(after, {}, out=tmp_path, command="", workers=1).begun is None


def test_a_longer_run_spends_what_the_other_did_and_begins_with_the_shorter_one(
    cell: Callable[..., Cell], row: Callable[..., Row], tmp_path: Path
) -> None:
    longer = planned_cell(cell("grpo_longer"))
    assert longer.needs == identity(cell("axpo"))
    rows = {
        identity(cell("axpo")): row("axpo", 0, rollouts=10, tokens=200, cpu_seconds=2.0),
        identity(cell("grpo")): row("grpo", 0, rollouts=8, tokens=90, cpu_seconds=1.0),
    }

    def job() -> object:
        return job_of(longer, rows, out=tmp_path, command="", workers=1)

    assert job().until == {"rollouts": 10, "tokens": 200, "cpu_seconds": 2.0}
    assert job().begun is None
    begun = tmp_path / str(longer.begun_by)
    begun.mkdir()
    (begun / TRAINED).write_text("{}")
    assert job().begun == begun
    # It has passed the point where it had spent as many tokens.
    rows[identity(cell("grpo"))]["tokens"] = 201
    assert job().begun is None


def test_a_cell_with_a_row_of_any_commit_is_not_run_again(cell: Callable[..., Cell], row: Callable[..., Row]) -> None:
    planned = [planned_cell(cell(seed=seed)) for seed in (0, 1)]
    done = row("grpo", 0, cell=planned[0].identity, commit="older")
    assert missing(planned, [done]) == (planned[1],)
