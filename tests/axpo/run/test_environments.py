"""What is trained on and what is held out from it, for environments with and without splits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.algorithm.questions import divide
from axpo.run.environments import ALL, SET_ASIDE, make_asked, make_worlds
from axpo.settings.config import ConfigError
from axpo_envs import ExactMatch, ListQuestions, Question, QuestionSource, ToolEnv, ToolEnvSpec
from axpo_envs.errors import EnvConfigError
from axpo_envs.questions.sources import QuestionSubset

TASK = "axpo/ToolTask-v0"
OWN = "toy/Own-v0"


class Endless:
    """Question n asks for n."""

    fingerprint = "endless"
    size = None

    def question(self, index: int) -> Question:
        return Question(id=str(index), prompt=(f"{index}?",), answer=str(index), source=self.fingerprint)


class OwnEnv(ToolEnv):
    """An environment that knows no splits."""

    def __init__(self, *, endless: bool = False, render_mode: str | None = None) -> None:
        questions: QuestionSource = Endless() if endless else ListQuestions(_questions(range(20)))
        super().__init__(ToolEnvSpec(env_id=OWN, questions=questions, tools=(), reward=ExactMatch()))


class PickyEnv(ToolEnv):
    """An environment with names of its own for its splits."""

    def __init__(self, *, split: str = "train", render_mode: str | None = None) -> None:
        parts = {"train": range(4), "dev": range(4, 6)}
        if split not in parts:
            raise ValueError(f"no such split: {split}")
        questions = ListQuestions(_questions(parts[split]))
        super().__init__(ToolEnvSpec(env_id=OWN, questions=questions, tools=(), reward=ExactMatch()))


for env_id, entry_point in ((OWN, OwnEnv), ("toy/Picky-v0", PickyEnv)):
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, entry_point=entry_point)


def _questions(numbers: Iterable[int]) -> list[Question]:
    return [Question(id=str(number), prompt=(f"{number}?",), answer=str(number)) for number in numbers]


def rows(*splits: str | None, number: int = 4) -> list[dict[str, Any]]:
    return [
        {"id": f"{split}{n}", "prompt": f"What is {split} {n}?", "answer": n, **({"split": split} if split else {})}
        for split in splits
        for n in range(number)
    ]


def given_file(folder: Path, content: list[dict[str, Any]]) -> tuple[str, ...]:
    file = folder / "tasks.jsonl"
    file.write_text("\n".join(map(json.dumps, content)), encoding="utf-8")
    return (f"questions={file}",)


def ids(env: ToolEnv, count: int | None = None) -> set[str]:
    size = env.questions.size if count is None else count
    assert size is not None
    return {env.questions.question(index).id for index in range(size)}


@pytest.mark.parametrize(
    ("splits", "held_out"),
    [
        (("train", "test"), "test"),
        (("train", "validation"), "validation"),
        (("train", "validation", "test"), "test"),
        (("train", "val"), "val"),
        (("train", "Dev"), "Dev"),
    ],
)
def test_the_first_usual_split_is_held_out(splits: tuple[str, ...], held_out: str, tmp_path: Path) -> None:
    worlds = make_worlds(TASK, given_file(tmp_path, rows(*splits)))
    assert (worlds.split, worlds.note) == (held_out, "")
    assert ids(worlds.held_out) == {f"{held_out}{n}" for n in range(4)}
    assert ids(worlds.training) == {f"train{n}" for n in range(4)}


@pytest.mark.parametrize("splits", [(None,), ("train",), ("train", "other")])
def test_questions_are_set_aside_where_there_is_no_such_split(splits: tuple[str | None, ...], tmp_path: Path) -> None:
    arguments = given_file(tmp_path, rows(*splits, number=30))
    worlds = make_worlds(TASK, arguments)
    assert worlds.split == SET_ASIDE
    assert "3 of 30 questions are set aside" in worlds.note
    assert len(ids(worlds.held_out)) == 3
    assert ids(worlds.held_out) | ids(worlds.training) == {f"{splits[0]}{n}" for n in range(30)}
    assert not ids(worlds.held_out) & ids(worlds.training)
    assert ids(make_worlds(TASK, arguments).held_out) == ids(worlds.held_out)


def test_episodes_of_both_environments_run_and_go_on_from_snapshots(tmp_path: Path) -> None:
    worlds = make_worlds(TASK, given_file(tmp_path, rows(None)))
    for env in (worlds.training, worlds.held_out):
        env.reset(seed=0)
        env.restore(env.snapshot())
        assert env.step(f"<answer>{env.state.question.answer}</answer>")[1] == 1.0


def test_equal_questions_are_on_one_side_only(tmp_path: Path) -> None:
    twice = [{**row, "id": f"{row['id']}-{copy}"} for row in rows(None, number=12) for copy in range(2)]
    worlds = make_worlds(TASK, given_file(tmp_path, twice))
    asked, trained = ({name.partition("-")[0] for name in ids(env)} for env in (worlds.held_out, worlds.training))
    assert asked
    assert not asked & trained


def test_questions_of_training_that_are_asked_in_the_split_are_left_out(tmp_path: Path) -> None:
    test = {**rows("train")[0], "id": "t", "split": "test", "prompt": "WHAT is train  0? "}
    worlds = make_worlds(TASK, given_file(tmp_path, [*rows("train"), test]))
    assert ids(worlds.training) == {"train1", "train2", "train3"}
    assert worlds.note == "1 of 4 questions of training are asked in the split 'test', too: left out"


def test_a_split_that_repeats_training_is_none_to_hold_out(tmp_path: Path) -> None:
    test = [{**row, "id": f"t{row['id']}", "split": "test"} for row in rows("train")]
    arguments = given_file(tmp_path, [*rows("train"), *test])
    assert make_worlds(TASK, arguments).split == SET_ASIDE
    with pytest.raises(ConfigError, match="every question of training is one of the split 'test', too"):
        make_worlds(TASK, arguments, split="test")


def test_a_split_can_be_chosen(tmp_path: Path) -> None:
    arguments = given_file(tmp_path, rows("train", "test", "mine"))
    assert ids(make_worlds(TASK, arguments, split="mine").held_out) == {f"mine{n}" for n in range(4)}
    assert make_worlds(TASK, arguments, split=SET_ASIDE).split == SET_ASIDE
    trained = make_worlds(TASK, arguments, split="train")
    assert ids(trained.held_out) == ids(trained.training)
    assert "which is trained on: nothing is held out" in trained.note
    with pytest.raises(ConfigError, match=r"no rows of the split 'yours'; they have mine, test, train"):
        make_worlds(TASK, arguments, split="yours")
    with pytest.raises(ConfigError, match="toy/Own-v0 takes no argument 'split'"):
        make_worlds(OWN, (), split="test")


def test_the_split_of_training_is_never_held_out(tmp_path: Path) -> None:
    arguments = given_file(tmp_path, rows("train", "validation", "test"))
    assert make_worlds(TASK, (*arguments, "split=test")).split == "validation"


def test_a_split_with_unusable_rows_is_told_and_not_passed_over(tmp_path: Path) -> None:
    bad = {"id": "bad", "prompt": "?", "split": "test"}
    with pytest.raises(ConfigError, match="field 'answer': missing"):
        make_worlds(TASK, given_file(tmp_path, [*rows("train", "validation"), bad]))


def test_a_single_question_cannot_be_divided(tmp_path: Path) -> None:
    arguments = given_file(tmp_path, rows(None, number=1))
    with pytest.raises(ConfigError, match="none of 1 can be held out"):
        make_worlds(TASK, arguments)
    assert ids(make_worlds(TASK, arguments, needed=False).training) == {"None0"}


def test_environments_of_others_are_divided_and_their_splits_found() -> None:
    own = make_worlds(OWN, ())
    assert (len(ids(own.held_out)), len(ids(own.training))) == (2, 18)
    assert not ids(own.held_out) & ids(own.training)
    assert make_worlds("toy/Picky-v0", ()).split == "dev"
    endless = make_worlds(OWN, ("endless=true",))
    assert endless.training.questions.size is None
    assert ids(endless.held_out, 3) == {"0", "1", "2"}
    assert ids(endless.training, 2) == {"65536", "65537"}


def test_the_suite_has_splits() -> None:
    worlds = make_worlds("axpo/VisualZoom-v0", ("image_size=128",))
    assert (worlds.split, worlds.note) == ("test", "")


def test_a_policy_of_unknown_training_is_asked_everything_where_there_are_no_splits(tmp_path: Path) -> None:
    env, split = make_asked(TASK, given_file(tmp_path, rows(None)), None)
    assert (len(ids(env)), split) == (4, ALL)
    splits = given_file(tmp_path, rows("train", "validation"))
    assert make_asked(TASK, splits, None)[1] == "validation"
    assert make_asked(TASK, splits, "train")[1] == "train"
    assert make_asked(TASK, (*splits, "split=train"), None)[1] == "train"


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=60))
def test_a_division_is_complete_and_shares_no_content(asked: list[str]) -> None:
    training, held_out = divide(asked)
    assert sorted((*training, *held_out)) == list(range(len(asked)))
    assert held_out
    assert not {asked[i] for i in training} & {asked[i] for i in held_out}
    assert bool(training) is (len(set(asked)) > 1)


def test_a_subset_needs_a_question() -> None:
    with pytest.raises(EnvConfigError, match="expected at least one question"):
        QuestionSubset(ListQuestions(_questions(range(2))), ())
