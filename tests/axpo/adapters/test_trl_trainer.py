"""AXPO in TRL's trainer: what is trained is what our own advantages say, under TRL's own forward pass and loss."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
import trl

import axpo
import axpo_envs  # noqa: F401
from axpo.adapters.credited_rows import credited_rows
from axpo.adapters.trl import AxpoGRPOTrainer
from axpo.adapters.trl._batch import tensors_of
from axpo.algorithm.sampling import sample_groups
from axpo.algorithm.types import Advantage
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.env import ToolEnv

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")

CONFIG = axpo.TrainConfig(
    sampling=axpo.SamplingConfig(max_turn_tokens=48, max_episode_tokens=256),
    selection=axpo.SelectionConfig(budget=0.5, continuations=2),
)


@pytest.fixture(scope="module")
def env() -> ToolEnv:
    made = gymnasium.make("axpo/VisualZoom-v0", image_size=256, view_size=64, guess_rate=0.1).unwrapped
    assert isinstance(made, ToolEnv)
    return made


@pytest.fixture
def policy() -> TransformersPolicy:
    return load_policy("tiny")


def settings(folder: Path, **changes: Any) -> trl.GRPOConfig:
    values: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": 2,
        "learning_rate": 1e-4,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return trl.GRPOConfig(output_dir=str(folder), **values | changes)


class Watched(AxpoGRPOTrainer):
    """Keeps what it rolled, and what TRL's loss was given."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.rolled: list[Any] = []
        self.batches: list[dict[str, Any]] = []
        super().__init__(*arguments, **options)

    def _rolled(self, *arguments: Any) -> Any:
        self.rolled.append(super()._rolled(*arguments))
        return self.rolled[-1]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        self.batches.append(inputs)
        return super()._compute_loss(model, inputs)


def test_two_steps_train_what_our_advantages_say_images_included(
    tmp_path: Path, env: ToolEnv, policy: TransformersPolicy
) -> None:
    before = [weight.detach().clone() for weight in policy.trainable_parameters()]
    trainer = Watched(policy, env, CONFIG, settings(tmp_path, beta=0.01))
    trainer.train()

    assert trainer.state.global_step == 2
    assert sum(rolled.prefixes for rolled in trainer.rolled) > 0
    for number, rolled in enumerate(trainer.rolled):
        assert rolled.advantages == axpo.compute_advantages(rolled.groups, CONFIG.advantages)
        rows = credited_rows(rolled.advantages)
        taken = trainer.batches[2 * number : 2 * number + 2]
        expected = sorted(round(value, 4) for row in rows for value in row.advantages if value)
        given = [batch["advantages"][batch["tool_mask"].bool()] for batch in taken]
        assert sorted(round(float(value), 4) for value in torch.cat(given) if value) == expected
        trained = sum(sum(row.trained) for row in rows)
        assert int(sum(batch["tool_mask"].sum() for batch in taken)) == trained
        assert all(int(batch["num_items_in_batch"]) == trained for batch in taken)
        assert sum(sum(batch["num_images"]) for batch in taken) >= sum(len(row.images) for row in rows)
    assert any(row.images[1:] for rolled in trainer.rolled for row in credited_rows(rolled.advantages))
    assert any(not torch.equal(old, new) for old, new in zip(before, policy.trainable_parameters(), strict=True))
    history = trainer.state.log_history[0]
    assert {"prefixes/selected", "prefixes/recovered", "tools/attempt_rate", "kl", "reward"} <= set(history)


def test_the_model_reads_tokens_and_images_of_rows_as_the_policy_did_that_sampled_them(
    env: ToolEnv, policy: TransformersPolicy
) -> None:
    questions = [env.questions.question(index) for index in range(2)]
    groups = sample_groups(questions, policy, env, replace(CONFIG.sampling, group_size=4), seed=1)
    rows = credited_rows(axpo.compute_advantages(groups, CONFIG.advantages))
    assert any(row.images[1:] for row in rows)
    batch = tensors_of(rows, policy, pad=policy.tokenizer.pad_token_id, device=torch.device("cpu"))
    sampled = batch["completion_ids"].shape[1]

    def logprobs(pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits = policy.model(
                input_ids=torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
                attention_mask=torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
                pixel_values=pixels,
                image_grid_thw=batch["image_grid_thw"],
                mm_token_type_ids=batch["mm_token_type_ids"],
            ).logits[:, -sampled - 1 : -1]
        # What is never sampled has no part in the policy's distribution.
        logits[..., policy._network._forbidden] = -torch.inf
        return logits.log_softmax(-1).gather(2, batch["completion_ids"][..., None])[..., 0][batch["tool_mask"].bool()]

    expected = torch.tensor(
        [value for row in rows for value, trained in zip(row.logprobs, row.trained, strict=True) if trained]
    )
    assert torch.allclose(logprobs(batch["pixel_values"]), expected, atol=1e-4)
    assert not torch.allclose(logprobs(batch["pixel_values"].flip(0)), expected, atol=1e-2)


def test_a_row_trains_its_own_stretch_and_nothing_else(toy: Any) -> None:
    rollout = toy.rollout("<think>a</think><tool_call>x", "<answer>7</answer>")
    first, last = rollout.completions
    start, cut = rollout.turn_offset(0), 5
    (row,) = credited_rows([Advantage(rollout=rollout, value=-0.5, start=start, stop=start + cut, group=3)])
    assert row.prompt == first.context.ids
    assert row.completion == (*first.ids, *last.context.ids, *last.ids)
    assert row.trained == (True,) * cut + (False,) * (len(row.completion) - cut)
    assert row.advantages == (-0.5,) * cut + (0.0,) * (len(row.completion) - cut)
    (row,) = credited_rows([Advantage(rollout=rollout, value=1.0, start=start + cut, stop=10**6, group=0)])
    gap = range(len(first.ids), len(first.ids) + len(last.context.ids))
    assert [place for place, trained in enumerate(row.trained) if not trained] == [*range(cut), *gap]
    assert all(math.isclose(value, 0.0) for place, value in enumerate(row.logprobs) if place in gap)


@pytest.mark.parametrize(
    ("changes", "config", "said"),
    [
        ({}, replace(CONFIG, method="axpo_forced"), "refine"),
        ({}, replace(CONFIG, method="gspo"), "loss"),
        ({"mask_truncated_completions": True}, CONFIG, "mask_truncated"),
        ({"scale_rewards": "none"}, CONFIG, "divide_by_std"),
    ],
)
def test_settings_that_would_be_passed_over_are_refused(
    tmp_path: Path, env: ToolEnv, changes: dict[str, Any], config: axpo.TrainConfig, said: str
) -> None:
    policy: Any = None
    with pytest.raises(axpo.ConfigError, match=said):
        AxpoGRPOTrainer(policy, env, config, settings(tmp_path, **changes))


def test_groups_that_are_torn_apart_are_refused(tmp_path: Path, env: ToolEnv, policy: TransformersPolicy) -> None:
    trainer = AxpoGRPOTrainer(policy, env, CONFIG, settings(tmp_path))
    with pytest.raises(axpo.ConfigError, match="whole groups of 4"):
        trainer._rolled([0, 0, 1, 1], 4, True)
