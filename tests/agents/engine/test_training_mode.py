"""What is trained is the policy that sampled, whatever training mode switches on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from axpo_agents.policy import Prefix
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy
from axpo_agents.types import Sampling, TokenSequence

FEW = Sampling(max_turn_tokens=6, max_episode_tokens=400)


@pytest.fixture
def dropping(layout: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint whose config asks for attention dropout."""
    folder = tmp_path / "dropping"
    shutil.copytree(layout("qwen3"), folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.3}), encoding="utf-8")
    return folder


def sampled(policy: TransformersPolicy, kit: SimpleNamespace) -> list[TokenSequence]:
    texts = ("One question?", "Another question, and a longer one than that?")
    prefixes = [Prefix(sequence=kit.given(kit.encode(policy, text))) for text in texts]
    turns = policy.sample(prefixes, FEW, seed=0)
    return [kit.grown(prefix.sequence, turn) for prefix, turn in zip(prefixes, turns, strict=True)]


def recorded(sequences: list[TokenSequence]) -> torch.Tensor:
    return torch.tensor([v for s in sequences for v, own in zip(s.logprobs, s.sampled, strict=True) if own])


@pytest.mark.parametrize("packing", ["tree", "rows"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_dropout_of_the_models_config_stays_off_under_autograd(
    checkpointing: bool, packing: str, dropping: Path, kit: SimpleNamespace
) -> None:
    settings = LoadSettings(gradient_checkpointing=checkpointing, packing=packing)
    policy = load_policy(str(dropping), settings)
    sequences = sampled(policy, kit)
    scored = torch.cat(policy.logprobs(sequences))
    scored.sum().backward()
    assert torch.allclose(scored.detach(), recorded(sequences), atol=1e-4)


def test_activations_are_still_recomputed(layout: Callable[[str], Path], kit: SimpleNamespace) -> None:
    policy = load_policy(str(layout("qwen3")), LoadSettings(gradient_checkpointing=True))
    sequences = sampled(policy, kit)
    calls: list[bool] = []
    layer = next(module for name, module in policy.model.named_modules() if name.endswith("layers.0.self_attn"))
    layer.register_forward_pre_hook(lambda *_: calls.append(True))
    scored = torch.cat(policy.logprobs(sequences))
    assert len(calls) == 1
    scored.sum().backward()
    assert len(calls) == 2


def test_dropout_of_adapters_acts_under_autograd_alone(layout: Callable[[str], Path], kit: SimpleNamespace) -> None:
    policy = load_policy(str(layout("qwen3")), LoadSettings(lora_rank=4, lora_alpha=64, lora_dropout=0.5))
    with torch.no_grad():
        for parameter in policy.trainable_parameters():
            parameter.add_(0.05)
    policy.advance_version()
    sequences = sampled(policy, kit)
    with torch.no_grad():
        assert torch.allclose(torch.cat(policy.logprobs(sequences)), recorded(sequences), atol=1e-4)
    dropped = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        dropped.append(torch.cat(policy.logprobs(sequences)).detach())
    assert torch.equal(dropped[0], dropped[1])
    assert not torch.allclose(dropped[0], dropped[2], atol=1e-3)
