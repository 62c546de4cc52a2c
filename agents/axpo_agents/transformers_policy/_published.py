"""Defines the shapes of published models that can be planned for without a file of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TEXT: Final[dict[str, Any]] = {
    "vocab_size": 151936,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 262144,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5000000,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    },
}
_TOWER: Final[dict[str, Any]] = {
    "num_heads": 16,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "num_position_embeddings": 2304,
}


def _qwen3_vl(text: Mapping[str, int], tower: Mapping[str, Any], *, tied: bool) -> dict[str, Any]:
    out = {"out_hidden_size": text["hidden_size"]}
    return {
        "model_type": "qwen3_vl",
        "text_config": {**_TEXT, **text, "tie_word_embeddings": tied},
        "vision_config": {**_TOWER, **tower, **out},
        "tie_word_embeddings": tied,
    }


_SMALL_TOWER: Final = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "deepstack_visual_indexes": [5, 11, 17],
}
_TOWER_OF_8B: Final = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "deepstack_visual_indexes": [8, 16, 24],
}

PUBLISHED: Final[Mapping[str, Mapping[str, Any]]] = {
    "qwen3-vl-2b": _qwen3_vl(
        {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16},
        _SMALL_TOWER,
        tied=True,
    ),
    "qwen3-vl-4b": _qwen3_vl(
        {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
        _SMALL_TOWER,
        tied=True,
    ),
    "qwen3-vl-8b": _qwen3_vl(
        {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
        _TOWER_OF_8B,
        tied=False,
    ),
}
"""By short name, what their config.json says of sizes. Instruct and Thinking models have the same."""

PREPROCESSOR: Final[Mapping[str, Any]] = {
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
"""How these models want their images."""


def published(model: str) -> Mapping[str, Any] | None:
    """The config of a published model by its short name or its Hugging Face id; None for others.

    Worked value: `Qwen/Qwen3-VL-8B-Thinking` and `qwen3-vl-8b` are the same.
    """
    name = model.lower().removeprefix("qwen/")
    for kind in ("-thinking", "-instruct"):
        name = name.removesuffix(kind)
    return PUBLISHED.get(name)
