"""Defines what tests of the transformers policy share: a tiny random policy, published layouts, prompts, images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from axpo_agents.policy import Prefix, Sampled
from axpo_agents.testing import (
    save_small_qwen2_5_vl,
    save_small_qwen2_vl,
    save_small_qwen3,
    save_small_qwen3_vl,
    save_small_qwen3_vl_moe,
)
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_agents.types import Context, TokenSequence
from axpo_envs.images import ImageRef

SAVERS = {
    "qwen3_vl": save_small_qwen3_vl,
    "qwen3_vl_moe": save_small_qwen3_vl_moe,
    "qwen2_5_vl": save_small_qwen2_5_vl,
    "qwen2_vl": save_small_qwen2_vl,
    "qwen3": save_small_qwen3,
}


def make_image(seed: int, height: int = 64, width: int = 64) -> ImageRef:
    return ImageRef(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def prompt_env(*, instructions: str = "", tools: Sequence[Any] = ()) -> Any:
    """Stands for an environment whose states are what it shows: all that encoding a prompt asks of one."""
    return SimpleNamespace(instructions=instructions, tools=tuple(tools), opening=lambda parts: parts)


def encode(policy: TransformersPolicy, *parts: str | ImageRef, **env: Any) -> Context:
    state: Any = parts
    return policy.encode_prompt(prompt_env(**env), state)


def given(context: Context) -> TokenSequence:
    return TokenSequence.of((), then=context)


def grown(before: TokenSequence, written: Sampled, *, then: Context | None = None) -> TokenSequence:
    """A sequence after a turn, and after the context that follows it."""
    then = then or Context(ids=())
    return TokenSequence(
        ids=before.ids + written.ids + then.ids,
        images=before.images + then.images,
        sampled=before.sampled + (True,) * len(written.ids) + (False,) * len(then.ids),
        logprobs=before.logprobs + written.logprobs + (0.0,) * len(then.ids),
    )


def largest_difference(policy: TransformersPolicy, prefixes: Sequence[Prefix], turns: Sequence[Sampled]) -> float:
    """Between the log-probabilities recorded while sampling and those of a full forward pass over the same tokens."""
    sequences = []
    for prefix, turn in zip(prefixes, turns, strict=True):
        forced = Context(ids=prefix.forced)
        known = TokenSequence.of((), then=Context(ids=prefix.sequence.ids + forced.ids, images=prefix.sequence.images))
        sequences.append(grown(known, turn))
    with torch.no_grad():
        scored = policy.logprobs(sequences)
    worst = 0.0
    for turn, values in zip(turns, scored, strict=True):
        assert len(values) == len(turn.ids)
        if turn.ids:
            worst = max(worst, float((values - torch.tensor(turn.logprobs)).abs().max()))
    return worst


@pytest.fixture(scope="session")
def tiny() -> TransformersPolicy:
    """A random policy on the CPU. Tests that change its weights load their own."""
    torch.set_num_threads(1)
    return load_policy("tiny-random")


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's small checkpoint, written at first use."""
    folders: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in folders:
            folders[family] = SAVERS[family](tmp_path_factory.mktemp("checkpoints") / family)
        return folders[family]

    return folder


@pytest.fixture(scope="session")
def family(layout: Callable[[str], Path]) -> Callable[[str], TransformersPolicy]:
    """A family's policy, loaded once."""
    policies: dict[str, TransformersPolicy] = {}

    def policy(name: str) -> TransformersPolicy:
        if name not in policies:
            policies[name] = load_policy(str(layout(name)))
        return policies[name]

    return policy


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """Builders of images, prompts, sequences, and the comparison of sampling with scoring."""
    return SimpleNamespace(
        image=make_image, encode=encode, given=given, grown=grown, largest_difference=largest_difference
    )
