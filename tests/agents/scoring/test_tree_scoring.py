"""Tests that packed trees score and train as padded rows do, over random trees, by every kind of attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_agents.engine._text_attention import attend
from axpo_agents.engine._tree_attention import TreeAttention, _bucket
from axpo_agents.scoring._scorer import Packing, Scorer
from axpo_agents.transformers_policy import LoadSettings, PolicyError, TransformersPolicy, load_policy
from axpo_agents.types import TokenSequence

torch.set_num_threads(1)

turns = st.lists(st.integers(40, 90), min_size=1, max_size=25).map(tuple)
families = st.lists(
    st.fixed_dictionaries(
        {
            "picture": st.integers(0, 2),
            "question": st.text("abc ", max_size=30),
            "rollouts": st.lists(
                st.fixed_dictionaries(
                    {
                        "turn": turns,
                        "picture": st.integers(0, 2),
                        "answer": turns,
                        "cut": st.integers(0, 25),
                        "continuations": st.lists(turns, max_size=2),
                    }
                ),
                min_size=1,
                max_size=3,
            ),
        }
    ),
    min_size=1,
    max_size=2,
)
"""Groups: a prompt with an image, rollouts of two turns with an image in between, continuations of first turns."""


def written(ids: Sequence[int]) -> SimpleNamespace:
    return SimpleNamespace(ids=tuple(ids), logprobs=(0.0,) * len(ids))


def sequences_of(policy: TransformersPolicy, kit: SimpleNamespace, groups: list[dict]) -> list[TokenSequence]:
    """A tree three levels deep below its prompts: turns, continuations, and what they happen to share."""
    found = []
    for group in groups:
        prompt = kit.given(kit.encode(policy, kit.image(group["picture"]), group["question"]))
        for rollout in group["rollouts"]:
            observation = policy.encode_observation(("seen", kit.image(10 + rollout["picture"])), after=rollout["turn"])
            found.append(
                kit.grown(kit.grown(prompt, written(rollout["turn"]), then=observation), written(rollout["answer"]))
            )
            prefix = rollout["turn"][: rollout["cut"]]
            found += [kit.grown(prompt, written([*prefix, *ids])) for ids in rollout["continuations"]]
    return found


def passes(
    scorer: Scorer, sequences: Sequence[TokenSequence], parameters: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities, and the gradient of a sum that weights every one of them differently."""
    logprobs = torch.cat(scorer.score(sequences, 1.0))
    weights = torch.linspace(-1.0, 1.3, len(logprobs))
    gradients = torch.autograd.grad((weights * logprobs).sum(), parameters, allow_unused=True)
    flat = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
    return logprobs.detach(), torch.cat([gradient.flatten() for gradient in flat])


def assert_equal_passes(policy: TransformersPolicy, sequences: list[TokenSequence], *scorers: Scorer) -> None:
    parameters = policy.trainable_parameters()
    logprobs, gradient = passes(Scorer(policy._network, Packing.ROWS), sequences, parameters)
    for scorer in scorers:
        ours, our_gradient = passes(scorer, sequences, parameters)
        assert torch.allclose(ours, logprobs, rtol=0, atol=1e-5), scorer.attention
        assert float((our_gradient - gradient).norm() / gradient.norm()) < 1e-5, scorer.attention


@pytest.fixture(scope="module")
def saving() -> TransformersPolicy:
    return load_policy("tiny-random", LoadSettings(gradient_checkpointing=True))


@settings(max_examples=12)
@given(groups=families)
def test_random_trees_score_and_train_as_rows_do(
    tiny: TransformersPolicy, kit: SimpleNamespace, groups: list[dict]
) -> None:
    scorers = [Scorer(tiny._network, Packing.TREE, kind) for kind in (TreeAttention.PARTS, TreeAttention.DENSE)]
    assert_equal_passes(tiny, sequences_of(tiny, kit, groups), *scorers)


@settings(max_examples=5)
@given(groups=families)
def test_so_they_do_while_activations_are_recomputed(
    saving: TransformersPolicy, tiny: TransformersPolicy, kit: SimpleNamespace, groups: list[dict]
) -> None:
    sequences = sequences_of(tiny, kit, groups)
    assert_equal_passes(saving, sequences, Scorer(saving._network, Packing.TREE))
    plain = passes(Scorer(tiny._network, Packing.TREE), sequences, tiny.trainable_parameters())
    recomputed = passes(Scorer(saving._network, Packing.TREE), sequences, saving.trainable_parameters())
    assert torch.allclose(plain[0], recomputed[0], atol=1e-6)
    assert torch.allclose(plain[1], recomputed[1], rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@settings(max_examples=5)
@given(groups=families)
def test_block_masks_score_as_rows_do(tiny: TransformersPolicy, kit: SimpleNamespace, groups: list[dict]) -> None:
    """On the CPU, where this kind of attention has no backward pass, and as it is: compiling takes a C++ compiler."""
    sequences = sequences_of(tiny, kit, groups)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        rows = torch.cat(Scorer(tiny._network, Packing.ROWS).score(sequences, 1.0))
        blocks = torch.cat(Scorer(tiny._network, Packing.TREE, TreeAttention.FLEX).score(sequences, 1.0))
    assert torch.allclose(rows, blocks, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "qwen2_vl", "qwen3"])
def test_every_family_scores_trees_as_rows(
    family: Callable[[str], TransformersPolicy], kit: SimpleNamespace, name: str
) -> None:
    policy = family(name)
    shown = () if name == "qwen3" else (kit.image(0, 48, 96),)
    prompts = [kit.given(kit.encode(policy, *shown, question)) for question in ("Which sign is red?", "Which one?")]
    stems = [range(40, 60), range(40, 55), range(70, 75)]
    sequences = [
        kit.grown(prompt, written([*stem, *end])) for prompt in prompts for stem in stems for end in ((7,), (8, 9))
    ]
    assert_equal_passes(
        policy,
        sequences,
        *(Scorer(policy._network, Packing.TREE, k) for k in (TreeAttention.PARTS, TreeAttention.DENSE)),
    )


def test_adapters_are_trained_through_a_tree_as_through_rows(
    layout: Callable[[str], Path], kit: SimpleNamespace
) -> None:
    policy = load_policy(str(layout("qwen3_vl")), LoadSettings(lora_rank=2))
    prompt = kit.given(kit.encode(policy, kit.image(0), "Which?"))
    sequences = [kit.grown(prompt, written([*range(40, 60), end])) for end in (7, 8, 9)]
    assert_equal_passes(policy, sequences, Scorer(policy._network, Packing.TREE))


def test_a_shared_token_gets_the_gradient_of_each_sequence_once(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    """Weights of -1 and 1 on one shared prefix cancel; twice the same weight counts twice."""
    prompt = kit.given(kit.encode(tiny, kit.image(0), "Which?"))
    sequence = kit.grown(prompt, written(range(40, 60)))
    parameters = tiny.trainable_parameters()
    one, other = tiny.logprobs([sequence, sequence])
    cancelled = torch.autograd.grad((one - other).sum(), parameters, retain_graph=True, allow_unused=True)
    assert all(gradient is None or float(gradient.abs().max()) == 0.0 for gradient in cancelled)
    doubled = torch.autograd.grad((one + other).sum(), parameters)
    (alone,) = tiny.logprobs([sequence])
    for twice, once in zip(doubled, torch.autograd.grad(alone.sum(), parameters), strict=True):
        assert torch.allclose(twice, 2 * once, rtol=1e-4, atol=1e-5)


def test_a_tree_reads_shared_tokens_once_and_rows_read_them_anew(
    tiny: TransformersPolicy, kit: SimpleNamespace
) -> None:
    prompt = kit.given(kit.encode(tiny, kit.image(0), "Which?"))
    sequences = [kit.grown(prompt, written([*range(40, 60), end])) for end in (7, 8, 9)]
    read: list[int] = []
    hook = tiny._network.model.model.language_model.layers[0].register_forward_pre_hook(
        lambda _, args: read.append(args[0].shape[0] * args[0].shape[1])
    )
    with torch.no_grad():
        for packing in (Packing.TREE, Packing.ROWS):
            Scorer(tiny._network, packing).score(sequences, 1.0)
    hook.remove()
    length = len(prompt.ids) + 20
    assert read == [length, 3 * length]


@pytest.mark.parametrize("more", ["softcap", "position_bias", "s_aux"])
def test_attention_that_is_more_than_a_softmax_is_refused_not_approximated(more: str) -> None:
    states = torch.zeros(1, 2, 3, 4)
    with pytest.raises(PolicyError, match=f"plain softmax attention; Module asks for {more}"):
        attend(torch.nn.Module(), states, states, states, None, scaling=1.0, **{more: 1.0})


def test_lengths_of_padded_trees_are_few_and_little_longer() -> None:
    buckets = {length: _bucket(length) for length in range(1, 20_000)}
    assert all(length <= bucket < length + max(128, length / 4) for length, bucket in buckets.items())
    assert len(set(buckets.values())) < 70
    assert all(bucket % 128 == 0 for bucket in buckets.values())
