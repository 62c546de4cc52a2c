from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import axpo
from axpo.plan.expecting import workload_of
from axpo.plan.workload import Expected, Workload
from axpo.settings.config import ConfigError
from axpo.settings.config_file import to_toml
from axpo_agents.transformers_policy.shapes import known_model

SMALL = axpo.TrainConfig(
    sampling=axpo.SamplingConfig(questions=2, group_size=4, max_turn_tokens=24, max_episode_tokens=200),
    selection=axpo.SelectionConfig(budget=0.5),
)


def test_tokens_of_a_step_by_hand(work: Workload) -> None:
    # 8 rollouts of 2 turns on average, 6 tokens each; 2 continuations with half a turn and two more.
    assert work.turns == 2.0
    assert work.sampled_tokens == 6 * (8 * 2.0 + 2 * 2.5)
    assert work.tool_calls == 8 * 1.0 + 2 * 2.0
    assert work.response == 2 * 6 + 1 * 3
    assert work.tree_tokens == 4 * 10 + 8 * 15 + 2 * (6 * 2.5 + 2 * 3)
    assert work.row_tokens == 8 * 25 + 2 * (10 + 3 * 6 + 2 * 3)
    assert replace(work, trained_share=0.5).passed_tokens("tree") == work.tree_tokens / 2


def test_prompts_are_read_of_the_environment_without_weights() -> None:
    work = workload_of(SMALL, known_model("tiny"), Expected())
    # An image of 16 tokens between two marks, in a chat template's turn.
    assert (work.prompt_images, work.image_tokens) == (1.0, 16.0)
    assert 8 < work.prompt_tokens < 40
    assert work.prefixes == 1
    assert work.sources["prompt_tokens"] == "read of the environment"
    assert work.sources["turn_tokens"] == "assumed"


def test_what_is_said_goes_before_what_is_read() -> None:
    said = Expected(prompt_tokens=100, prompt_images=2, image_tokens=50, turn_tokens=7, tool_rate=0.0)
    work = workload_of(SMALL, known_model("tiny"), said)
    assert work.prompt == 200
    assert (work.turn_tokens, work.turns, work.longest_turn) == (7, 1.0, 24)
    assert work.sources["turn_tokens"] == "given"


def test_grpo_resamples_nothing() -> None:
    work = workload_of(replace(SMALL, method="grpo"), known_model("tiny"), Expected())
    assert (work.prefixes, work.grown) == (0, 0)


def test_a_run_tells_of_its_episodes(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(to_toml(SMALL), encoding="utf-8")
    record = {
        "rollouts": 12.0,
        "continuations": 4.0,
        "tokens": 84.0,
        "tool_attempt_rate": 0.5,
        "seconds_environment": 0.8,
        "selected_prefixes": 1.0,
        "scored_tokens": 300.0,
    }
    (tmp_path / "metrics.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    work = workload_of(SMALL, known_model("tiny"), Expected(observation_tokens=4), like=tmp_path)
    # 8 rollouts of 1.5 turns, 4 continuations of 1.5: 18 turns; 4 calls and 4 more.
    assert work.turn_tokens == pytest.approx(84 / 18)
    assert work.tool_seconds == pytest.approx(0.8 / 8)
    assert work.passed_tokens("tree") == pytest.approx(300)


@pytest.mark.parametrize("content", [None, ""])
def test_a_run_without_steps_is_refused(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "config.toml").write_text(to_toml(SMALL), encoding="utf-8")
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="like: expected a run with finished steps"):
        workload_of(SMALL, known_model("tiny"), Expected(), like=tmp_path)
