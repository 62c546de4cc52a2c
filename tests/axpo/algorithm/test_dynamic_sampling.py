"""Tests of dynamic sampling: what is replaced, what is kept, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import axpo
from axpo.algorithm._dynamic_sampling import with_spread
from axpo.algorithm.methods import method_named
from axpo.algorithm.types import Group
from axpo.run.display import Silent
from axpo.settings.config import SamplingConfig, TrainConfig

TOOL = "<think>t</think><tool_call>{}</tool_call>"
DIRECT = "<answer>1</answer>"


def made(toy: SimpleNamespace, *rewards: float, text: str = DIRECT) -> Group:
    return Group(question=toy.question(), rollouts=tuple(toy.rollout(text, reward=reward) for reward in rewards))


@dataclass
class Rounds:
    """Rounds whose further groups were made before."""

    groups: tuple[Group, ...]
    further: list[Group]
    config: TrainConfig = field(
        default_factory=lambda: TrainConfig(sampling=SamplingConfig(questions=2, dynamic_rounds=2))
    )
    asked: list[int] = field(default_factory=list)

    def sample(self, questions: int) -> tuple[Group, ...]:
        self.asked.append(questions)
        taken, self.further = self.further[:questions], self.further[questions:]
        return tuple(taken)


def replaced(rounds: Rounds, method: str = "grpo") -> tuple[Group, ...]:
    rounds.config = method_named(method).configure(rounds.config)
    return with_spread(rounds, method_named(method))  # type: ignore[arg-type]


def test_groups_of_equal_rewards_are_replaced_until_there_are_enough(toy: SimpleNamespace) -> None:
    good, better = made(toy, 0.0, 1.0), made(toy, 1.0, 0.0, 0.0)
    rounds = Rounds((made(toy, 0.0, 0.0), good), [made(toy, 1.0, 1.0), better])
    assert replaced(rounds) == (good, better)
    assert rounds.asked == [1, 1]


def test_rounds_end_where_the_setting_says_whatever_is_left(toy: SimpleNamespace) -> None:
    rounds = Rounds((made(toy, 0.0, 0.0), made(toy, 1.0, 1.0)), [made(toy, 0.0, 0.0) for _ in range(9)])
    assert replaced(rounds) == ()
    assert rounds.asked == [2, 2]


def test_a_full_batch_asks_nothing(toy: SimpleNamespace) -> None:
    groups = (made(toy, 0.0, 1.0), made(toy, 0.0, 1.0))
    rounds = Rounds(groups, [])
    assert replaced(rounds) == groups
    assert rounds.asked == []


def test_what_a_method_could_resample_is_kept(toy: SimpleNamespace) -> None:
    wrong, guessed = made(toy, 0.0, 0.0, text=TOOL), made(toy, 0.0, 0.0)
    assert replaced(Rounds((wrong, guessed), []), "axpo") == (wrong,)
    assert replaced(Rounds((wrong, guessed), []), "axpo_no_tool") == (guessed,)
    assert replaced(Rounds((wrong, guessed), []), "grpo") == ()


def test_a_run_replaces_and_is_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    toy_env: Any = __import__("toy_env")

    def run(name: str, rounds: int) -> list[dict[str, Any]]:
        config = toy_env.toy_config(tmp_path / name, steps=1, method="grpo")
        sampling = SamplingConfig(questions=4, group_size=2, max_turn_tokens=12, dynamic_rounds=rounds)
        run = axpo.train(replace(config, sampling=sampling), display=Silent())
        records: list[dict[str, Any]] = toy_env.timeless(run.metrics)
        return records

    dynamic = run("a", 2)
    assert dynamic == run("b", 2)
    assert all(not record["dead_groups"] for record in dynamic)
    assert dynamic[0]["discarded_rollouts"] > 0
    spent = sum(record["rollouts"] + record["discarded_rollouts"] for record in dynamic)
    assert dynamic[-1]["total_rollouts"] == spent
    assert dynamic[0]["discarded_tokens"] >= dynamic[0]["discarded_rollouts"]
