"""Images as servers take them: in the size that the model reads, whatever their shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from axpo_agents.formats.image_settings import ImageSettings
from axpo_agents.remote._placeholders import Placeholders
from axpo_envs.images import ImageRef

SETTINGS = ImageSettings(patch=14, merge=2, temporal=2, min_pixels=3136, max_pixels=64 * 28 * 28)


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (30, 6000), (100, 20_000), (500, 400), (5, 9)])
def test_a_server_is_sent_what_it_leaves_as_it_is_and_counts_as_we_do(size: tuple[int, int]) -> None:
    placeholders = Placeholders(settings=SETTINGS, token=7)
    image = ImageRef(np.zeros((*size, 3), np.uint8))
    (sent,) = placeholders.fitted([image])
    assert (sent.height, sent.width) == smart_resize(
        sent.height, sent.width, 28, SETTINGS.min_pixels, SETTINGS.max_pixels
    )
    tokens = SETTINGS.token_count(SETTINGS.grid(image))
    assert tokens == math.prod(sent.size) // 28**2 <= 64
    assert placeholders.compacted((1, *(7,) * tokens, 2), [image]) == (1, 7, 2)
