"""Defines small random checkpoints in the file layout of the published models, for tests of whatever loads a model.

Shapes are tiny; everything else is as published: names of files and weights, flat or nested configs, the full
vocabulary, where chat templates lie, which of them know tools, how images are prepared (with lower pixel limits).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from axpo_agents.testing.qwen_vocabulary import save_qwen_tokenizer
from axpo_envs.plumbing.extras import requiring

_TOKENS: Final = {
    "image_token_id": 151655,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
}
_TEXT: Final = {
    "vocab_size": 151936,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-06,
    "hidden_act": "silu",
    "attention_dropout": 0.0,
    # Wide, so that random logits differ and a wrong position or image shows.
    "initializer_range": 0.2,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
}
_ENDS: Final = (151645, 151643)
_PIXELS: Final = {"shortest_edge": 4096, "longest_edge": 65536}


def save_small_qwen3_vl(folder: Path, *, thinking: bool = False, seed: int = 0) -> Path:
    """Writes a Qwen3-VL checkpoint: nested config, templates that know images and tools.

    Args:
        folder: made if missing.
        thinking: the template of the Thinking models, whose generation prompt opens `<think>`.
        seed: of the weights.

    Returns:
        The folder.
    """
    rope = {"mrope_interleaved": True, "mrope_section": [4, 2, 2], "rope_type": "default"}
    config = {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "tie_word_embeddings": True,
        **_TOKENS,
        "text_config": {
            **_TEXT,
            "model_type": "qwen3_vl_text",
            "head_dim": 16,
            "rope_scaling": rope,
            "rope_theta": 5000000,
            "tie_word_embeddings": True,
        },
        "vision_config": {
            "model_type": "qwen3_vl",
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "in_channels": 3,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            "hidden_act": "gelu_pytorch_tanh",
            "initializer_range": 0.2,
        },
    }
    template = read_template("qwen3_vl")
    if thinking:
        template = template.replace("<|im_start|>assistant\\n'", "<|im_start|>assistant\\n<think>\\n'")
    save_weights(folder, config, seed)
    save_qwen_tokenizer(folder, template, qwen3=True)
    write_json(folder / "chat_template.json", {"chat_template": template})
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "processor_class": "Qwen3VLProcessor",
            "patch_size": 16,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "size": _PIXELS,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )
    return folder


def save_small_qwen2_5_vl(folder: Path, *, seed: int = 0) -> Path:
    """Writes a Qwen2.5-VL checkpoint: flat config, one template for images (without tools), one for text (with tools).

    Args:
        folder: made if missing.
        seed: of the weights.

    Returns:
        The folder.
    """
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "tie_word_embeddings": True,
        **_TOKENS,
        **_TEXT,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "max_window_layers": 2,
        "use_sliding_window": False,
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "in_chans": 3,
            "out_hidden_size": 32,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
            "hidden_act": "silu",
            "initializer_range": 0.2,
        },
    }
    save_weights(folder, config, seed)
    save_qwen_tokenizer(folder, read_template("qwen3"), qwen3=False)
    write_json(folder / "chat_template.json", {"chat_template": read_template("qwen2_5_vl")})
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor",
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "min_pixels": 3136,
            "max_pixels": 50176,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
    )
    return folder


def save_small_qwen3(folder: Path, *, seed: int = 0) -> Path:
    """Writes a text-only Qwen3 checkpoint.

    Args:
        folder: made if missing.
        seed: of the weights.

    Returns:
        The folder.
    """
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "tie_word_embeddings": True,
        **_TEXT,
        "head_dim": 16,
        "attention_bias": False,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "max_window_layers": 2,
        "use_sliding_window": False,
    }
    save_weights(folder, config, seed)
    save_qwen_tokenizer(folder, read_template("qwen3"), qwen3=True)
    return folder


def save_weights(folder: Path, config: dict[str, Any], seed: int, *, ends: Sequence[int] = _ENDS) -> None:
    """Draws weights, writes them as the library does, and the config as it was published.

    Args:
        folder: made if missing.
        config: content of config.json.
        seed: of the weights.
        ends: ids that end a turn.
    """
    with requiring("train", "a small checkpoint"):
        torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
        silence = importlib.import_module("axpo_agents.formats.silence")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parsed = transformers.AutoConfig.from_pretrained(folder)
        model = getattr(transformers, config["architectures"][0])(parsed)
    with silence.no_progress_bars():
        model.save_pretrained(folder)
    write_json(folder / "config.json", config)
    write_json(
        folder / "generation_config.json",
        {"do_sample": True, "eos_token_id": list(ends), "pad_token_id": ends[-1], "temperature": 0.6, "top_k": 20},
    )


def read_template(name: str) -> str:
    """A chat template of this folder."""
    return (Path(__file__).parent / f"{name}.jinja").read_text(encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
