from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axpo.run.callbacks import Callback
from axpo_benchmarks.evidence import _cell
from axpo_benchmarks.evidence._cell import cpu_seconds, run_cell
from axpo_benchmarks.evidence._job import EARLIER, ROW, TRAINED, Job, write_job
from axpo_benchmarks.evidence.cells import Cell, identity
from axpo_benchmarks.evidence.rows import Row

TIMES = ("seconds", "cpu_seconds", "evaluation_cpu_seconds", "total_seconds", "total_cpu_seconds")


def run(cell: Cell, folder: Path, **job: Any) -> Row:
    write_job(Job(cell=cell, identity=identity(cell), command="a command", workers=1, **job), folder)
    assert run_cell(folder) == 0
    found: Row = json.loads((folder / ROW).read_text())
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name not in TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cell") / "whole"


def test_a_row_holds_what_tables_need_and_a_run_that_was_killed_leaves_the_same(
    cell: Callable[..., Cell], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = run(cell(steps=2), folder)
    assert (row["arm"], row["seed"], row["steps"], row["rollouts"]) == ("grpo", 0, 2, 8)
    assert row["settings"]["sampling.group_size"] == 2
    assert row["command"] == "a command"
    assert row["start_hash"] == "tiny-random"
    assert row["versions"]["torch"]
    assert [mark["step"] for mark in row["marks"]] == [0, 1, 2]
    looked = [(one["at"], one["sampling"], one["questions"], one["samples"]) for one in row["evaluations"]]
    assert looked == [("end", "sampled", 3, 2), ("end", "greedy", 3, 1), ("end", "paper", 3, 2)]
    assert all(len(one["right"]) == 3 for one in row["evaluations"])
    assert row["curve"]["step"] == [2]
    assert sum(cpu_seconds(folder).values()) == pytest.approx(row["cpu_seconds"], abs=0.1)

    class Killed(Exception):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Callback, "after_checkpoint", die)
        patch.setattr(_cell._Watch, "after_evaluation", die)
        with pytest.raises(Killed):
            run(cell(steps=2), tmp_path)
    again = run(cell(steps=2), tmp_path)
    assert without_times(again) == without_times({**row, "commits": again["commits"]})


def test_a_longer_run_is_looked_at_where_it_has_spent_as_much(cell: Callable[..., Cell], folder: Path) -> None:
    # A step of GRPO takes 4 rollouts; nobody knows how many tokens, so the limit on them is met at once.
    until = {"rollouts": 11, "tokens": 1, "cpu_seconds": 0}
    row = run(cell("grpo_longer", steps=2), folder.with_name("longer"), until=until)
    assert {one["at"]: one["step"] for one in row["evaluations"]} == {
        "equal_tokens": 1,
        "equal_cpu_seconds": 1,
        "equal_rollouts": 3,
    }
    assert {one["sampling"] for one in row["evaluations"]} == {"sampled"}
    assert row["steps"] == 3


def test_the_start_is_evaluated_and_not_trained(cell: Callable[..., Cell], tmp_path: Path) -> None:
    row = run(cell("start", looks=replace(cell().looks, probe_resamples=2)), tmp_path)
    assert "curve" not in row
    # A random policy calls nothing.
    nothing = {"q": 0, "p_tool": None, "p_no_tool": 0, "resamples": 2, "right": []}
    assert row["probe"] == {"questions": 3, "samples": 8, **nothing}
    assert [one["step"] for one in row["evaluations"]] == [0, 0, 0]


def test_an_arm_after_another_begins_with_what_that_one_ended_with_wherever_it_was_made(
    cell: Callable[..., Cell], folder: Path, tmp_path: Path
) -> None:
    ended = json.loads((folder / TRAINED).read_text())
    first = run(cell("grpo_then_axpo", steps=1), tmp_path / "made here")
    taken = run(cell("grpo_then_axpo", steps=2), tmp_path / "taken", begun=folder)
    assert (taken["after"], taken["method"], taken["steps"]) == ("grpo", "axpo", 2)
    assert taken["start"] == first["start"] == "grpo of seed 0"
    with (Path(ended["checkpoint"]) / "model.safetensors").open("rb") as weights:
        assert taken["start_hash"] == hashlib.file_digest(weights, "sha256").hexdigest()[:12]
    assert not (tmp_path / "taken" / EARLIER).exists()
    here = json.loads((tmp_path / "made here" / EARLIER / TRAINED).read_text())
    with (Path(here["checkpoint"]) / "model.safetensors").open("rb") as weights:
        assert first["start_hash"] == hashlib.file_digest(weights, "sha256").hexdigest()[:12]
    assert here["step"] == first["steps"] == 1
