"""Tests of axpo_agents.scoring._scorer: log-probabilities of given tokens, and their gradients."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from axpo_agents.transformers_policy import PolicyError, TransformersPolicy
from axpo_agents.types import TokenSequence


def sequences(policy: TransformersPolicy, kit: SimpleNamespace) -> list[TokenSequence]:
    """Two turns after an image and a second one; a short turn; a turn that never came; a shared image."""
    scored = []
    for index, (parts, turn) in enumerate(
        [
            ((kit.image(0), "What is written on the red sign?"), (70, 71, 72, 2)),
            (("What?",), (80, 81)),
            (("Nothing follows.",), ()),
            ((kit.image(0), "Which?"), (90, 91, 92)),
        ]
    ):
        sequence = kit.given(kit.encode(policy, *parts))
        sequence = kit.grown(sequence, SimpleNamespace(ids=turn, logprobs=(0.0,) * len(turn)))
        if index == 0:
            observation = policy.encode_observation(("crop", kit.image(1)), after=turn)
            written = SimpleNamespace(ids=(), logprobs=())
            sequence = kit.grown(sequence, written, then=observation)
            sequence = kit.grown(sequence, SimpleNamespace(ids=(60, 61), logprobs=(0.0, 0.0)))
        scored.append(sequence)
    return scored


def test_each_sequence_scores_as_the_librarys_forward_does(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    network = tiny._network
    assert network.patchifier is not None
    given = sequences(tiny, kit)
    with torch.no_grad():
        scores = tiny.logprobs(given)
        for sequence, ours in zip(given, scores, strict=True):
            ids = torch.tensor(sequence.ids)
            options = {}
            if sequence.images:
                grids = [network.patchifier.settings.grid(image) for image in sequence.images]
                options = {
                    "pixel_values": network.patchifier.patches(sequence.images, grids[0], network.device),
                    "image_grid_thw": torch.tensor([[1, *grid] for grid in grids]),
                    "mm_token_type_ids": (ids == network.image_token)[None].int(),
                }
            logits = network.model(input_ids=ids[None], **options).logits[0].clone()
            logits[:, network._forbidden] = -torch.inf
            theirs = torch.log_softmax(logits[:-1], -1).gather(1, ids[1:, None])[:, 0]
            assert ours.dtype == torch.float32
            assert torch.allclose(ours, theirs[torch.tensor(sequence.sampled[1:])], atol=1e-5)
    assert [len(score) for score in scores] == [6, 2, 0, 3]


def test_the_order_and_company_of_sequences_do_not_matter(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    given = sequences(tiny, kit)
    with torch.no_grad():
        together = tiny.logprobs(given)
        for sequence, score in zip(reversed(given), reversed(together), strict=True):
            assert torch.allclose(tiny.logprobs([sequence])[0], score, atol=1e-5)


def test_an_image_is_encoded_once_however_often_it_is_shown(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    patches: list[int] = []
    tower = tiny._network.model.model.visual
    hook = tower.register_forward_pre_hook(lambda _, inputs: patches.append(len(inputs[0])))
    tiny.logprobs(sequences(tiny, kit) * 3)
    hook.remove()
    assert patches == [2 * 64], "two distinct images of 64 patches"


def test_gradients_reach_text_and_images_and_equal_those_of_single_passes(
    tiny: TransformersPolicy, kit: SimpleNamespace
) -> None:
    given = sequences(tiny, kit)
    parameters = tiny.trainable_parameters()
    together = torch.autograd.grad(torch.cat(tiny.logprobs(given)).sum(), parameters)
    alone = [torch.zeros_like(parameter) for parameter in parameters]
    for sequence in given:
        score = tiny.logprobs([sequence])[0]
        if len(score):
            for total, part in zip(alone, torch.autograd.grad(score.sum(), parameters, allow_unused=True), strict=True):
                total.add_(0 if part is None else part)
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.abs().sum() > 0
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_temperature_sharpens_the_distribution(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    prompt = kit.given(kit.encode(tiny, "What?"))
    tokens = set(range(tiny._network.vocabulary)) - {tiny._network.image_token}
    every = [kit.grown(prompt, SimpleNamespace(ids=(token,), logprobs=(0.0,))) for token in tokens]
    with torch.no_grad():
        plain, sharp = (torch.cat(tiny.logprobs(every, temperature=temperature)).exp() for temperature in (1.0, 0.5))
    assert float(plain.sum()) == pytest.approx(1.0, abs=1e-4)
    assert float(sharp.sum()) == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(sharp, plain**2 / (plain**2).sum(), atol=1e-5)
    with pytest.raises(ValueError, match="above 0"):
        tiny.logprobs(every, temperature=0.0)


def test_a_sequence_must_begin_with_a_context(tiny: TransformersPolicy) -> None:
    sequence = TokenSequence(ids=(50, 51), sampled=(True, True), logprobs=(0.0, 0.0))
    with pytest.raises(PolicyError, match="begin with a context"):
        tiny.logprobs([sequence])


def test_nothing_to_score_is_no_error(tiny: TransformersPolicy) -> None:
    assert tiny.logprobs([]) == []
