"""Tests of axpo_agents.engine.vision: patches as the library's own processor makes them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from axpo_agents.engine import vision as vision_module
from axpo_agents.engine.vision import Patchifier
from axpo_agents.formats.image_settings import Grid, ImageSettings
from axpo_agents.transformers_policy import PolicyError
from axpo_envs.images import ImageRef

CPU = torch.device("cpu")
QWEN3 = {
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "size": {"shortest_edge": 4096, "longest_edge": 40000},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
QWEN2 = {
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "min_pixels": 3136,
    "max_pixels": 40000,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
TINY = {**QWEN3, "patch_size": 8, "temporal_patch_size": 1, "size": {"shortest_edge": 4096, "longest_edge": 4096}}


@pytest.mark.parametrize("config", [QWEN3, QWEN2, TINY], ids=["qwen3", "qwen2", "tiny"])
@pytest.mark.parametrize("size", [(64, 64), (37, 211), (300, 280), (5, 9)])
def test_patches_equal_those_of_the_librarys_processor_exactly(
    config: dict[str, Any], size: tuple[int, int], kit: SimpleNamespace
) -> None:
    image = kit.image(3, *size)
    reference = Qwen2VLImageProcessorPil(**config)(images=[image.to_pil()], return_tensors="pt")
    image_settings = ImageSettings.from_config(config, where="test")
    grid = image_settings.grid(image)
    assert [1, *grid] == reference["image_grid_thw"][0].tolist()
    patches = Patchifier(image_settings).patches([image], grid, CPU)
    assert patches.dtype == torch.float32
    assert torch.equal(patches, reference["pixel_values"])


def test_patches_of_several_images_lie_end_to_end(kit: SimpleNamespace) -> None:
    patchifier = Patchifier(ImageSettings.from_config(TINY, where="test"))
    images = [kit.image(seed) for seed in range(3)]
    together = patchifier.patches(images, Grid(8, 8), CPU)
    alone = [patchifier.patches([image], Grid(8, 8), CPU) for image in images]
    assert torch.equal(together, torch.cat(alone))


@settings(max_examples=300)
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    factor=st.sampled_from([16, 28, 32]),
    least=st.integers(1, 100_000),
    room=st.integers(1, 30),
)
def test_fitted_size_is_the_librarys_wherever_the_library_keeps_the_limits(
    height: int, width: int, factor: int, least: int, room: int
) -> None:
    most = least * room + factor**2
    image_settings = ImageSettings(patch=factor // 2, merge=2, temporal=1, min_pixels=least, max_pixels=most)
    fitted = image_settings.fitted_size(height, width)
    assert min(fitted) >= factor
    assert fitted[0] % factor == fitted[1] % factor == 0
    if max(height, width) / min(height, width) <= 200:
        expected = smart_resize(height, width, factor, least, most)
        within = math.prod(expected) <= most and max(expected) <= 200 * min(expected)
        assert fitted == expected or not within


@settings(max_examples=300)
@given(
    shorter=st.integers(1, 400),
    longer=st.integers(1, 1_000_000),
    upright=st.booleans(),
    factor=st.sampled_from([16, 28, 32]),
    tokens=st.integers(1, 2000),
)
def test_no_shape_exceeds_the_pixels_or_the_ratio_that_the_model_takes(
    shorter: int, longer: int, upright: bool, factor: int, tokens: int
) -> None:
    size = (longer, shorter) if upright else (shorter, longer)
    most = tokens * factor**2
    image_settings = ImageSettings(patch=factor // 2, merge=2, temporal=1, min_pixels=factor**2, max_pixels=most)
    fitted = image_settings.fitted_size(*size)
    assert math.prod(fitted) <= most
    assert max(fitted) <= 200 * min(fitted)
    assert fitted == smart_resize(*fitted, factor, factor**2, most), "a server leaves it as it is"


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        # 64 tokens of 28 pixels are allowed. Squeezed to 1 x 200, which is enlarged to at least 3136 pixels.
        ((1, 1_000_000), (28, 812)),
        ((1_000_000, 1), (812, 28)),
        # The library takes 113 tokens: its shorter side cannot go below one.
        ((100, 20_000), (28, 1792)),
        ((500, 500), (224, 224)),
    ],
)
def test_long_shapes_are_squeezed_into_the_models_limits(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    image_settings = ImageSettings(patch=14, merge=2, temporal=2, min_pixels=3136, max_pixels=64 * 28 * 28)
    assert image_settings.fitted_size(*size) == fitted


def test_resized_pixels_are_kept_within_the_limit(monkeypatch: pytest.MonkeyPatch, kit: SimpleNamespace) -> None:
    monkeypatch.setattr(vision_module, "_CACHE_BYTES", 2 * 64 * 64 * 3)
    resizes: list[ImageRef] = []
    to_pil = ImageRef.to_pil

    def counted(image: ImageRef) -> Any:
        resizes.append(image)
        return to_pil(image)

    monkeypatch.setattr(ImageRef, "to_pil", counted)
    patchifier = Patchifier(ImageSettings.from_config(TINY, where="test"))
    first, second, third = (kit.image(seed, 128, 128) for seed in range(3))
    before = patchifier.patches([first, second], Grid(8, 8), CPU)
    patchifier.patches([first], Grid(8, 8), CPU)
    assert len(resizes) == 2
    patchifier.patches([third], Grid(8, 8), CPU)
    patchifier.patches([first], Grid(8, 8), CPU)
    assert len(resizes) == 3, "the image used last is kept"
    assert torch.equal(patchifier.patches([first, second], Grid(8, 8), CPU), before)
    assert len(resizes) == 4, "the image used longest ago made room"


def test_images_of_the_right_size_are_not_copied(kit: SimpleNamespace) -> None:
    patchifier = Patchifier(ImageSettings.from_config(TINY, where="test"))
    image = kit.image(0)
    assert patchifier._fit(image) is image.pixels


def test_old_and_new_names_of_pixel_limits_are_read() -> None:
    assert ImageSettings.from_config(QWEN3, where="test").max_pixels == 40000
    assert ImageSettings.from_config(QWEN2, where="test").min_pixels == 3136


def test_a_missing_value_and_a_step_switched_off_are_named() -> None:
    incomplete = {key: value for key, value in QWEN3.items() if key != "merge_size"}
    with pytest.raises(PolicyError, match=r"here/preprocessor_config.json: expected a value for 'merge_size'"):
        ImageSettings.from_config(incomplete, where="here/preprocessor_config.json")
    with pytest.raises(PolicyError, match="do_rescale is off"):
        ImageSettings.from_config({**QWEN3, "do_rescale": False}, where="here")


def test_the_normalization_is_that_of_the_checkpoint() -> None:
    white = ImageRef(np.full((64, 64, 3), 255, np.uint8))
    config = {**TINY, "image_mean": [0.0, 0.5, 1.0], "image_std": [1.0, 0.25, 0.5]}
    patches = Patchifier(ImageSettings.from_config(config, where="test")).patches([white], Grid(8, 8), CPU)
    assert patches.view(64, 3, 64).mean(dim=(0, 2)).tolist() == pytest.approx([1.0, 2.0, 0.0])
