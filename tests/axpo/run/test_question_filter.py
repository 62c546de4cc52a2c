"""Tests of leaving out questions that were always or never solved, from the measurement to the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import axpo
from axpo.cli import main
from axpo.records.solved import Solved, read_solved, write_solved
from axpo.run._question_filter import filtered
from axpo.run.display import Silent
from axpo.run.environments import Worlds
from axpo.settings.config import ConfigError, FilterConfig


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def worlds(toy: Any) -> Worlds:
    training, held_out = (gymnasium.make(toy.ENV_ID, size=5, split=split).unwrapped for split in ("train", "test"))
    return Worlds(training=training, held_out=held_out, split="test", note="a note")


def file_of(path: Path, *counts: tuple[str, int, int]) -> str:
    write_solved(path, [Solved(question=name, rollouts=rollouts, right=right) for name, rollouts, right in counts])
    return str(path)


def asked(worlds: Worlds) -> list[str]:
    source = worlds.training.questions
    return [source.question(index).id for index in range(source.size or 0)]


def test_what_the_policy_always_and_the_teacher_never_solves_is_left_out(worlds: Worlds, tmp_path: Path) -> None:
    policy = file_of(tmp_path / "p", ("train-0", 4, 4), ("train-1", 4, 3), ("train-2", 4, 0), ("train-3", 3, 3))
    teacher = file_of(tmp_path / "t", ("train-1", 4, 0), ("train-2", 4, 1), ("train-0", 4, 4), ("other", 4, 0))
    found = filtered(worlds, FilterConfig(always=policy, never=teacher))
    assert asked(found) == ["train-2", "train-3", "train-4"]
    assert found.held_out is worlds.held_out
    assert found.note == "a note; left out of training were 1 questions that were always solved, 1 that never were"
    assert asked(filtered(worlds, FilterConfig(always=policy, rollouts=3))) == ["train-1", "train-2", "train-4"]
    assert filtered(worlds, FilterConfig()) is worlds


def test_nothing_left_and_files_of_other_questions_are_refused(worlds: Worlds, tmp_path: Path) -> None:
    everything = file_of(tmp_path / "e", *((f"train-{number}", 4, 4) for number in range(5)))
    with pytest.raises(ConfigError, match="none is left"):
        filtered(worlds, FilterConfig(always=everything))
    with pytest.raises(ConfigError, match="names no question of training"):
        filtered(worlds, FilterConfig(never=file_of(tmp_path / "o", ("other", 4, 0))))
    endless = replace(worlds, training=gymnasium.make("axpo/VisualZoom-v0").unwrapped)
    with pytest.raises(ConfigError, match="have no end"):
        filtered(endless, FilterConfig(always=everything))


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", ":2: expected a line"), ('{"question": "q", "rollouts": 0, "right": 0}', "greater than or equal to 1")],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "solved.jsonl"
    path.write_text(f'{{"question": "q", "rollouts": 1, "right": 1}}\n{line}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        read_solved(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_solved(tmp_path / "none")


def test_an_evaluation_writes_what_a_run_reads(toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "solved.jsonl"
    arguments = ["tiny-random", "--env", toy.ENV_ID, "--split", "train", "--questions", "8", "--samples", "2"]
    assert main(["eval", *arguments, "--max-turn-tokens", "12", "--solved", str(path)]) == 0
    capsys.readouterr()
    solved = read_solved(path)
    assert [each.question for each in solved] == [f"train-{number}" for number in range(8)]
    assert all(each.rollouts == 2 for each in solved)
    never = {each.question for each in solved if each.right == 0}
    assert 0 < len(never) < 8

    config = toy.toy_config(tmp_path / "run", steps=1, filter=FilterConfig(never=str(path), rollouts=2))
    config = replace(config, log=replace(config.log, rollouts_every=1, rollouts_per_step=0))
    run = axpo.train(config, display=Silent())
    records = axpo.read_rollouts(run.folder / "rollouts", 1)
    assert not {record.question.id for record in records} & never
    with pytest.raises(ConfigError, match=r"filter.always: expected a file"):
        axpo.train(replace(config, filter=FilterConfig(always=str(tmp_path / "none"))), display=Silent())
