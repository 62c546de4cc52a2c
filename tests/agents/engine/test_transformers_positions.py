"""Tests of axpo_agents.engine._positions: the library's own positions, without its state."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from axpo_agents.engine._positions import multimodal_positions, text_positions
from axpo_agents.formats.image_settings import Grid
from axpo_agents.transformers_policy import TransformersPolicy


def test_text_counts_on_every_axis() -> None:
    assert text_positions(3, 2).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_an_image_counts_rows_and_columns_and_the_text_goes_on_past_its_longer_side() -> None:
    positions = multimodal_positions(8, [1], [Grid(2, 3)])
    assert positions[0].tolist() == [0, 1, 1, 1, 1, 1, 1, 4]
    assert positions[1].tolist() == [0, 1, 1, 1, 2, 2, 2, 4]
    assert positions[2].tolist() == [0, 1, 2, 3, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "qwen2_vl"])
def test_positions_equal_the_models_own(
    name: str, family: Callable[[str], TransformersPolicy], kit: SimpleNamespace
) -> None:
    policy = family(name)
    network = policy._network
    images = [kit.image(0, 64, 150), kit.image(1, 200, 70), kit.image(2)]
    rows = [
        kit.encode(policy, "first ", images[0], " then ", images[1]),
        kit.encode(policy, images[2], images[2], "twice"),
        kit.encode(policy, "no image at all"),
    ]
    for row in rows:
        reading = network.read(row.ids, row.images)
        ids = torch.tensor(row.ids)[None]
        assert network.patchifier is not None
        grids = [[1, *network.patchifier.settings.grid(image)] for image in row.images]
        expected, _ = network.model.model.get_rope_index(
            ids,
            (ids == network.image_token).int(),
            image_grid_thw=torch.tensor(grids) if grids else None,
        )
        assert np.array_equal(reading.positions, expected[:, 0].numpy())
