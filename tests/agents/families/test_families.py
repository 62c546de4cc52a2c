"""Tests of axpo_agents.families: a record is all that a family needs, and what has none is read as text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from axpo_agents import Prefix, Sampling, TokenSequence, families
from axpo_agents.families import Family, ImageTower, family_of, image_families, register_family
from axpo_agents.testing import save_small_llama, save_small_qwen2_vl
from axpo_agents.transformers_policy import PolicyError, load_policy


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(families, "_FAMILIES", dict(families._FAMILIES))


def test_the_families_that_read_images_are_qwens() -> None:
    assert image_families() == ("qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "qwen2_vl")
    assert family_of("qwen3_vl").images is ImageTower.BATCHED
    assert family_of("unheard_of") == Family(model_type="unheard_of")


@pytest.mark.usefixtures("registered")
def test_a_model_type_stands_for_one_family() -> None:
    register_family(Family(model_type="mine"))
    register_family(Family(model_type="mine"))
    with pytest.raises(ValueError, match="there is another one"):
        register_family(Family(model_type="mine", plain_head=True))


@pytest.mark.usefixtures("registered")
def test_a_family_from_outside_changes_how_its_logits_are_made_and_not_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(str(save_small_llama(tmp_path / "llama")))
    sequence = TokenSequence(
        ids=tuple(range(5, 17)), images=(), sampled=(False,) * 4 + (True,) * 8, logprobs=(0.0,) * 12
    )
    (before,) = policy.logprobs([sequence])
    heads: list[Any] = []
    policy.model.lm_head.register_forward_hook(lambda *_: heads.append(1))
    policy.model.register_forward_hook(lambda *_: heads.append("whole"))
    register_family(Family(model_type="llama", plain_head=True))
    (after,) = policy.logprobs([sequence])
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-6)
    assert "whole" not in heads


@pytest.mark.usefixtures("registered")
def test_a_family_from_outside_reads_images_by_its_record_alone(tmp_path: Path, kit: SimpleNamespace) -> None:
    folder = str(save_small_qwen2_vl(tmp_path / "model"))
    record = families._FAMILIES.pop("qwen2_vl")
    with pytest.raises(PolicyError, match=r"expected a text model or one of .*; got model type qwen2_vl"):
        load_policy(folder)
    register_family(Family(model_type="qwen2_vl", images=ImageTower.LIBRARY))
    plain = load_policy(folder)
    sequence = kit.given(kit.encode(plain, "Which? ", kit.image(0)))
    (turn,) = plain.sample([Prefix(sequence=sequence)], Sampling(max_turn_tokens=4), seed=0)
    families._FAMILIES["qwen2_vl"] = record
    scored = [policy.logprobs([kit.grown(sequence, turn)])[0] for policy in (plain, load_policy(folder))]
    torch.testing.assert_close(scored[0], scored[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scored[0], torch.tensor(turn.logprobs), rtol=1e-4, atol=1e-4)
