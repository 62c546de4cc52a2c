"""Defines small random checkpoints of further families that read images: Qwen3-VL with experts, and Qwen2-VL."""

from __future__ import annotations

import json
from pathlib import Path

from axpo_agents.testing.checkpoints import save_small_qwen2_5_vl, save_small_qwen3_vl, save_weights, write_json


def save_small_qwen3_vl_moe(folder: Path, *, seed: int = 0) -> Path:
    """Writes a checkpoint of Qwen3-VL with a mixture of experts, two of four for each token.

    Args:
        folder: made if missing.
        seed: of the weights.

    Returns:
        The folder.
    """
    config = json.loads((save_small_qwen3_vl(folder) / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": ["Qwen3VLMoeForConditionalGeneration"], "model_type": "qwen3_vl_moe"}
    config["vision_config"]["model_type"] = "qwen3_vl_moe"
    config["text_config"] |= {
        "model_type": "qwen3_vl_moe_text",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
    }
    save_weights(folder, config, seed)
    return folder


def save_small_qwen2_vl(folder: Path, *, seed: int = 0) -> Path:
    """Writes a Qwen2-VL checkpoint: as Qwen2.5-VL's, with a tower that attends to whole images.

    Args:
        folder: made if missing.
        seed: of the weights.

    Returns:
        The folder.
    """
    config = json.loads((save_small_qwen2_5_vl(folder) / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl"}
    config["vision_config"] = {
        "model_type": "qwen2_vl",
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 32,
        "mlp_ratio": 2,
        "num_heads": 2,
        "in_chans": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
    }
    save_weights(folder, config, seed)
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    write_json(folder / "preprocessor_config.json", {**preprocessor, "processor_class": "Qwen2VLProcessor"})
    return folder
