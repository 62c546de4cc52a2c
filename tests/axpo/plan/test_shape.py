from __future__ import annotations

import pytest

from axpo.plan.shape import ModelShape
from axpo_agents.errors import PolicyError
from axpo_agents.transformers_policy import load_policy
from axpo_agents.transformers_policy.shapes import known_model


@pytest.mark.parametrize(
    ("model", "parameters", "tower"),
    [
        ("Qwen/Qwen3-VL-2B-Thinking", 2_127_532_032, 406_957_056),
        ("qwen3-vl-8b", 8_767_123_696, 576_388_336),
    ],
)
def test_published_models_have_the_parameters_that_their_files_have(model: str, parameters: int, tower: int) -> None:
    shape = ModelShape.of(known_model(model))
    assert (shape.parameters, shape.tower_parameters) == (parameters, tower)


def test_embeddings_that_are_looked_up_are_not_computed_with() -> None:
    tied, apart = (ModelShape.of(known_model(name)) for name in ("qwen3-vl-2b", "qwen3-vl-8b"))
    assert tied.active == tied.parameters - tied.tower_parameters
    assert apart.active == apart.parameters - apart.tower_parameters - apart.vocabulary * apart.hidden
    # 2 norms, 4 projections of attention with norms of queries and keys, 3 of the feed-forward block.
    assert tied.layer_parameters == 2 * 2048 + 2048 * 128 * (16 + 8 + 8 + 16) + 2 * 128 + 3 * 2048 * 6144


def test_an_embedded_policy_has_the_shape_of_its_weights() -> None:
    policy = load_policy("tiny")
    shape = ModelShape.of(known_model("tiny-random"))
    assert shape.parameters == sum(parameter.numel() for parameter in policy.model.parameters())
    # Seven projections in each of three layers: queries, keys, values, output, gate, up, down.
    assert shape.rank_parameters == 3 * ((128 + 128) * 2 + (128 + 64) * 2 + (128 + 384) * 3)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(PolicyError, match="expected a checkpoint folder"):
        known_model("./nowhere")
