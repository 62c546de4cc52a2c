"""Tests of axpo_agents.engine.network: batches and images as the library itself would compute them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from axpo_agents.engine._image_attention import IMAGE_ATTENTION
from axpo_agents.engine._image_features import FeatureMemory
from axpo_agents.transformers_policy import LoadSettings, PolicyError, TransformersPolicy, load_policy
from axpo_envs.images import ImageRef

FAMILIES = ["qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "qwen2_vl"]


def plain_logits(policy: TransformersPolicy, ids: tuple[int, ...], images: tuple[ImageRef, ...]) -> torch.Tensor:
    """What the library computes for one sequence with nothing of ours in between."""
    network = policy._network
    options: dict[str, Any] = {}
    tokens = torch.tensor(ids)[None]
    if images and network.patchifier is not None:
        grids = [network.patchifier.settings.grid(image) for image in images]
        patches = [
            network.patchifier.patches([image], grid, network.device) for image, grid in zip(images, grids, strict=True)
        ]
        options = {
            "pixel_values": torch.cat(patches),
            "image_grid_thw": torch.tensor([[1, *grid] for grid in grids]),
            "mm_token_type_ids": (tokens == network.image_token).int(),
        }
    logits: torch.Tensor = network.model(input_ids=tokens, use_cache=False, **options).logits[0]
    return logits


@pytest.mark.parametrize("align", ["left", "right"])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_rows_of_a_padded_batch_equal_the_librarys_forward(
    name: str, align: str, family: Callable[[str], TransformersPolicy], kit: SimpleNamespace
) -> None:
    policy = family(name)
    network = policy._network
    shared = kit.image(0)
    contexts = [
        kit.encode(policy, "two: ", shared, kit.image(1, 64, 130)),
        kit.encode(policy, "the same again: ", shared),
        kit.encode(policy, "none"),
    ]
    rows = [network.read(context.ids, context.images) for context in contexts]
    batch = network.collate(rows, align=align)
    mask = None
    if align == "right":
        size = batch.ids.shape[1]
        causal = np.tril(np.ones((size, size), dtype=np.bool_))
        mask = torch.from_numpy((causal & batch.filled[:, None, :] | np.eye(size, dtype=np.bool_))[:, None])
    keep = torch.from_numpy(batch.filled)
    features = network.encode_images(batch.images)
    packed = network.logits(batch, keep=keep, features=features, mask=mask)
    expected = torch.cat([plain_logits(policy, context.ids, context.images) for context in contexts])
    allowed = torch.isfinite(packed[0])
    assert 0 < (~allowed).sum() < 400
    assert torch.allclose(packed[:, allowed], expected[:, allowed], atol=2e-4)


def test_images_of_one_size_go_through_the_tower_as_a_batch(
    family: Callable[[str], TransformersPolicy], kit: SimpleNamespace
) -> None:
    network = family("qwen3_vl")._network
    tower = network.model.model.visual
    assert tower.config._attn_implementation == IMAGE_ATTENTION
    images = [kit.image(seed) for seed in range(4)] + [kit.image(9, 64, 130)]
    runs: list[int] = []
    hook = tower.register_forward_pre_hook(lambda _, inputs: runs.append(len(inputs[0])))
    features = network.encode_images([*images, images[0]])
    assert features is not None
    assert len(runs) == 2, "one pass per size"
    alone = [network.encode_images([image]) for image in images]
    hook.remove()
    for image, single in zip(images, alone, strict=True):
        assert single is not None
        start, stop = features.places[image.digest]
        assert torch.allclose(features.levels[0][start:stop], single.levels[0], atol=1e-5)
        assert torch.allclose(features.levels[1][start:stop], single.levels[1], atol=1e-5)


def test_a_frozen_tower_runs_once_per_image_until_it_forgets(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    frozen = load_policy("tiny-random", LoadSettings(freeze_vision=True))
    network = frozen._network
    runs: list[int] = []
    network.model.model.visual.register_forward_pre_hook(lambda _, inputs: runs.append(len(inputs[0])))
    images = [kit.image(seed) for seed in range(3)]
    first = network.encode_images(images[:2])
    again = network.encode_images([images[2], images[1], images[0]])
    assert runs == [2 * 64, 64], "only the third image is new"
    assert first is not None
    assert again is not None
    expected = tiny._network.encode_images(images)
    assert expected is not None
    for kept, trained in zip(
        again.ordered(images).deepstack_features, expected.ordered(images).deepstack_features, strict=True
    ):
        assert torch.allclose(kept[0], trained[0], atol=1e-5)
    frozen.forget()
    network.encode_images(images[:1])
    assert runs == [2 * 64, 64, 64]


def test_features_are_dropped_when_memory_runs_out_the_least_recently_used_first() -> None:
    memory = FeatureMemory(2 * 4 * 10)
    features = {name: (torch.full((10, 1), float(number)),) for number, name in enumerate("abc")}
    memory.keep({"a": features["a"]})
    memory.keep({"b": features["b"]})
    memory.find(["a"])
    memory.keep({"c": features["c"]})
    assert memory.find("abc").keys() == {"a", "c"}
    memory.forget()
    assert memory.find("abc") == {}


def test_the_librarys_loop_over_images_computes_the_same(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    network = tiny._network
    images = [kit.image(seed) for seed in range(5)]
    ours = network.encode_images(images)
    tower = network.model.model.visual
    assert network.patchifier is not None
    grid = network.patchifier.settings.grid(images[0])
    patches = network.patchifier.patches(images, grid, network.device)
    theirs = tower(patches, grid_thw=torch.tensor([[1, *grid]] * 5), return_dict=True)
    assert ours is not None
    assert torch.allclose(ours.levels[0], theirs.pooler_output, atol=1e-5)
    (ours_gradient,) = torch.autograd.grad(ours.levels[0].square().sum(), tower.pos_embed.weight)
    (their_gradient,) = torch.autograd.grad(theirs.pooler_output.square().sum(), tower.pos_embed.weight)
    assert torch.allclose(ours_gradient, their_gradient, rtol=1e-3, atol=1e-4)


def test_ids_that_stand_for_images_or_for_nothing_have_no_probability(
    family: Callable[[str], TransformersPolicy],
) -> None:
    network = family("qwen3_vl")._network
    batch = network.collate([network.read((1, 2, 3), ())], align="left")
    with torch.no_grad():
        logits = network.logits(batch, keep=1)[0, 0]
    impossible = set(torch.isinf(logits).nonzero()[:, 0].tolist())
    assert impossible == {151652, 151653, 151655, 151656, *range(151669, 151936)}


def test_placeholders_that_do_not_match_the_images_are_refused(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    image_token = tiny._network.image_token
    assert image_token is not None
    with pytest.raises(PolicyError, match=r"expected 16 placeholders for images of \[16\] tokens; got 15"):
        tiny._network.read((1, *[image_token] * 15), (kit.image(0),))


def test_a_text_model_refuses_images(family: Callable[[str], TransformersPolicy], kit: SimpleNamespace) -> None:
    with pytest.raises(PolicyError, match="no image tower"):
        family("qwen3")._network.read((1, 2), (kit.image(0),))


def test_a_part_of_a_reading_keeps_its_own_images(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    context = kit.encode(tiny, kit.image(0), "What?", kit.image(1))
    reading = tiny._network.read(context.ids, context.images)
    after_first = reading.starts[0] + 16
    part = reading.part(after_first, len(context.ids))
    assert part.images == (kit.image(1),)
    assert part.ids[part.starts[0]] == tiny._network.image_token
    assert np.array_equal(part.positions, reading.positions[:, after_first:])


def test_recomputing_activations_changes_no_gradient(tiny: TransformersPolicy, kit: SimpleNamespace) -> None:
    saving = load_policy("tiny-random", LoadSettings(gradient_checkpointing=True))
    layer = saving._network.model.model.language_model.layers[0]
    passes: list[int] = []
    layer.self_attn.register_forward_hook(lambda *_: passes.append(1))
    gradients = []
    for policy in (tiny, saving):
        context = kit.encode(policy, kit.image(0), "What?")
        reading = policy._network.read(context.ids, context.images)
        batch = policy._network.collate([reading], align="left")
        features = policy._network.encode_images(batch.images)
        logits = policy._network.logits(batch, keep=1, features=features)
        loss = torch.logsumexp(logits, -1).sum()
        gradients.append(torch.autograd.grad(loss, policy.trainable_parameters(), allow_unused=True))
    assert len(passes) == 2, "once forward, once more backward"
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert torch.allclose(ours, theirs, atol=1e-6)
