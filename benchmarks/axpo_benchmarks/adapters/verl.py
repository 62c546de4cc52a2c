"""Checks of the verl adapter against the installed library: its registries, advantages, losses and agent loop."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import Mock

import gymnasium
import numpy as np
import torch
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.workers.rollout.replica import TokenOutput

from axpo.adapters.verl import Role, ToolEnvAgentLoop, register, role_of
from axpo_agents.testing import save_small_qwen3
from axpo_benchmarks.adapters.toys import CALL, FAULTY, sums

gymnasium.register("bench/Sums-v0", entry_point=lambda **_: sums(), order_enforce=False, disable_env_checker=True)


def verl_finds_estimator_and_loss_by_name() -> None:
    """Twice registered is once registered."""
    register()
    assert core_algos.get_policy_loss_fn("axpo").__name__ == "axpo_policy_loss"
    assert core_algos.get_adv_estimator_fn("axpo").func.__name__ == "axpo_advantages"


def _advantages(name: str, rewards: list[float], mask: list[list[int]], uid: list[str]) -> torch.Tensor:
    response_mask = torch.tensor(mask)
    scores = torch.zeros_like(response_mask, dtype=torch.float32)
    scores[:, -1] = torch.tensor(rewards)
    data = DataProto.from_dict(
        tensors={"token_level_rewards": scores, "response_mask": response_mask},
        non_tensors={"uid": np.array(uid, dtype=object)},
    )
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": True})
    found: torch.Tensor = compute_advantage(data, name, config=config).batch["advantages"]
    return found


def without_continuations_it_is_verls_grpo() -> None:
    """Through verl's own `compute_advantage`, on the same batch."""
    rewards, mask, uid = [1.0, 0.0, 0.0, 1.0, 0.5, 0.0], [[1, 1, 0, 1]] * 6, ["a"] * 4 + ["b"] * 2
    assert torch.allclose(_advantages("axpo", rewards, mask, uid), _advantages("grpo", rewards, mask, uid), atol=1e-5)


def sources_and_continuations_are_credited_by_hand_computed_values() -> None:
    """Eq. 2 to 4 for a group of four with two continuations, and a lost rollout beside them."""
    mask = [[1, 1, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    rewards = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    got = _advantages("axpo", rewards, mask, ["a"] * 7)
    half = 0.5**0.5
    expected = [1.5, -0.5, 0.866025, -0.5, half, -half, 0.0]
    assert torch.allclose(got, torch.tensor(expected)[:, None] * torch.tensor(mask), atol=1e-4), got


def the_loss_is_verls_without_the_third_bound() -> None:
    """Equal to `vanilla` where that bound does not bite; gradients, too."""
    torch.manual_seed(0)
    config = OmegaConf.create(
        {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.4, "clip_ratio_c": 1e6, "global_batch_info": {}}
    )
    old, advantages, mask = torch.randn(4, 6), torch.randn(4, 6), torch.randint(0, 2, (4, 6)).float()
    grads = []
    for name in ("axpo", "vanilla"):
        new = (old + torch.linspace(-1, 1, 24).view(4, 6)).requires_grad_()
        loss, _ = core_algos.get_policy_loss_fn(name)(old, new, advantages, mask, "token-mean", config)
        loss.backward()
        grads.append((loss.item(), new.grad))
    assert abs(grads[0][0] - grads[1][0]) < 1e-6, grads
    assert torch.equal(*(torch.as_tensor(grad).round(decimals=5) for _, grad in grads))


class _Server:
    """Writes what a script says, by what it reads."""

    def __init__(self, tokenizer: Any, script: Callable[[str, int], str]) -> None:
        self.tokenizer, self.script, self.asked = tokenizer, script, 0
        self.prompts: list[list[int]] = []

    async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: Any, **_: Any) -> TokenOutput:
        del request_id
        await asyncio.sleep(0)
        self.prompts.append(prompt_ids)
        text = self.script(self.tokenizer.decode(prompt_ids), self.asked)
        self.asked += 1
        ids = self.tokenizer(text + "<|im_end|>")["input_ids"][: sampling_params["max_tokens"]]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


def _rolled(script: Callable[[str, int], str], n: int, continuations: int, uid: str) -> tuple[Any, list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        model = str(save_small_qwen3(Path(folder) / "model"))
        tokenizer = AutoTokenizer.from_pretrained(model)
        rollout = {"n": n, "prompt_length": 1024, "response_length": 400}
        config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout, "model": {"path": model}}, "data": {}})
        server = _Server(tokenizer, script)

        async def roll() -> list[Any]:
            loops = [
                ToolEnvAgentLoop(
                    trainer_config=DictConfigWrap(config),
                    server_manager=server,
                    tokenizer=tokenizer,
                    processor=None,
                    dataset_cls=Mock(),
                    data_config=DictConfigWrap(config.data),
                    hf_model_type="qwen3",
                    env="bench/Sums-v0",
                    continuations=continuations,
                )
                for _ in range(n)
            ]
            tasks = [asyncio.create_task(loop.run({}, index=1, uid=uid, raw_prompt=[])) for loop in loops]
            return list(await asyncio.gather(*tasks))

        return SimpleNamespace(server=server, tokenizer=tokenizer), asyncio.run(roll())


def an_episode_is_rolled_with_tokens_in_and_out() -> None:
    """Calls are trained, results are not, and the reward is the environment's."""

    def script(text: str, _: int) -> str:
        return "<answer>3</answer>" if "<tool_response>\n3" in text else f"<think>\nadd\n</think>\n{CALL}"

    made, (output,) = _rolled(script, 1, 0, "plain")
    assert output.reward_score == 1.0, output
    told = [token for token, mask in zip(output.response_ids, output.response_mask, strict=True) if not mask]
    assert "<tool_response>\n3" in made.tokenizer.decode(told), made.tokenizer.decode(told)
    written = [token for token, mask in zip(output.response_ids, output.response_mask, strict=True) if mask]
    assert made.tokenizer.decode(written).count("<|im_end|>") == 2
    whole, second = output.prompt_ids + output.response_ids, made.server.prompts[1]
    assert second == whole[: len(second)]


def second_attempts_go_on_from_the_frozen_prefix_of_a_failed_call() -> None:
    """Two first attempts fail with a tool; the two second ones share its tokens up to the call, and one is right."""

    answers = {"given": 0}

    def fails_first(text: str, asked: int) -> str:
        if text.endswith("<tool_call>"):
            return CALL.removeprefix("<tool_call>")
        if "<tool_response>" in text:
            answers["given"] += 1
            return "<answer>3</answer>" if answers["given"] == 3 else "<answer>9</answer>"
        return f"<think>\nadd {asked}\n</think>\n{CALL}"

    _, outputs = _rolled(fails_first, 4, 2, "family")
    roles = [role_of(output.response_mask) for output in outputs]
    assert roles.count(Role.SOURCE) == 1, roles
    assert roles.count(Role.CONTINUATION) == 2, roles
    source = outputs[roles.index(Role.SOURCE)]
    for output in (output for output, role in zip(outputs, roles, strict=True) if role is Role.CONTINUATION):
        cut = output.response_mask.index(1)
        assert output.response_ids[:cut] == source.response_ids[:cut]
        assert source.response_mask[cut:] == [0] * len(source.response_mask[cut:])
        assert source.response_mask[1:cut] == [1] * (cut - 1)
    rewards = [output.reward_score for output in outputs]
    assert sorted(rewards) == [0.0, 0.0, 0.0, 1.0], rewards


def a_fault_leaves_the_rollout_out() -> None:
    """Its mask is all zeros, and the estimator gives it no part."""

    def script(text: str, asked: int) -> str:
        del text
        return FAULTY if asked == 0 else "<answer>3</answer>"

    _, outputs = _rolled(script, 2, 0, "faulty")
    assert [role_of([*output.response_mask, 0]) for output in outputs] == [Role.LOST, Role.ORDINARY]


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    verl_finds_estimator_and_loss_by_name,
    without_continuations_it_is_verls_grpo,
    sources_and_continuations_are_credited_by_hand_computed_values,
    the_loss_is_verls_without_the_third_bound,
    an_episode_is_rolled_with_tokens_in_and_out,
    second_attempts_go_on_from_the_frozen_prefix_of_a_failed_call,
    a_fault_leaves_the_rollout_out,
)
"""What is tried, in order."""
