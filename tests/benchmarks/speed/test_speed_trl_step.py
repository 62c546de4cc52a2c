from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from axpo_benchmarks.speed import trl_step
from axpo_benchmarks.speed.left_out import LeftOut
from axpo_benchmarks.speed.models import save_text_model
from axpo_benchmarks.speed.rows import Ratio
from axpo_benchmarks.speed.trl_step import GROUP, OurStep, Shape, step_rows

SMALL = Shape(prompt=40, response=5, rows=4, steps=1, prompts=2)


def test_both_trainers_take_the_same_steps() -> None:
    # Lengths are checked on TRL's side within: a response of another length fails the run.
    ratio, *seconds = step_rows(SMALL)
    assert isinstance(ratio, Ratio)
    assert ratio.name == "GRPO step, TRL / ours, 2 x 8, P=40, R=5"
    assert [row.name.split(",")[1] for row in seconds] == [" TRL", " ours"]


def test_our_step_has_the_lengths_of_its_shape_and_something_to_learn(tmp_path: Path) -> None:
    step = OurStep(save_text_model(tmp_path), SMALL)
    assert len(step.prompts) == 2
    step()
    for group in step.groups:
        assert len(group.rollouts) == GROUP
        assert len({rollout.reward for rollout in group.rollouts}) > 1
        for rollout in group.rollouts:
            (turn,) = rollout.completions
            assert (len(turn.context.ids), len(turn.ids)) == (40, 5)


def test_rewards_lie_between_0_and_1_and_differ() -> None:
    assert trl_step.spread("") == 0.0
    assert trl_step.spread("ab") == pytest.approx(195 / 999)
    assert trl_step.spread("ab") != trl_step.spread("ac")


def test_without_trl_the_part_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LeftOut, match=r"needs trl: pip install 'axpo\[bench\]'"):
        trl_step.measure()
