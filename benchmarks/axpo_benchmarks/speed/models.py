"""Defines the small random models that speed is measured with, and what makes every turn of exactly one length."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from axpo_agents.engine.network import Network
from axpo_agents.engine.vision import Patchifier
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.formats.model_files import ModelFiles
from axpo_agents.formats.silence import no_progress_bars
from axpo_agents.tiny.architecture import build_tokenizer
from axpo_agents.transformers_policy import TransformersPolicy, load_model
from axpo_agents.transformers_policy.policy import Computing

LETTERS: Final = "bcdfghjklmnpqrstvwxz"
"""Letters that form no word of the vocabulary: each is one token."""
IMAGE_TOKEN_SIDE: Final = 32
"""Pixels per side of an image token."""

_TEXT: Final[dict[str, Any]] = {
    "hidden_size": 192,
    "intermediate_size": 576,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 4096,
}
_PATCH: Final = IMAGE_TOKEN_SIDE // 2


def save_text_model(folder: Path, sizes: Mapping[str, Any] | None = None) -> Path:
    """Writes a random Qwen3 (hidden 192, 4 layers, 6 heads, 2 of keys and values) with its tokenizer.

    Args:
        folder: made if missing.
        sizes: other sizes, as a config names them.

    The vocabulary is that of the embedded policy: at this width the tokens of a published model would spend nearly all
    their time in the output layer, where in the model itself they spend little.

    Returns:
        The folder.
    """
    tokenizer = build_tokenizer()
    config = Qwen3Config(**{**_TEXT, **(sizes or {})}, **_ids(tokenizer), tie_word_embeddings=True)
    return _save(folder, Qwen3ForCausalLM, config, tokenizer)


def save_vision_model(folder: Path) -> Path:
    """Writes a random Qwen3-VL whose language model is that of `save_text_model`, behind an image tower of 2 layers.

    Images are taken as they are: sides are multiples of `IMAGE_TOKEN_SIDE`.

    Returns:
        The folder.
    """
    tokenizer = build_tokenizer()
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
    named = ("image_pad", "video_pad", "vision_start", "vision_end")
    image, video, start, end = (tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in named)
    config = Qwen3VLConfig(
        text_config={**_TEXT, **_ids(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "patch_size": _PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 1,
            "out_hidden_size": _TEXT["hidden_size"],
            "num_position_embeddings": 1024,
            "deepstack_visual_indexes": (0,),
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=True,
    )
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": _PATCH,
        "temporal_patch_size": 1,
        "merge_size": 2,
        "size": {"shortest_edge": IMAGE_TOKEN_SIDE**2, "longest_edge": 2**24},
    }
    _save(folder, Qwen3VLForConditionalGeneration, config, tokenizer)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return folder


def endless(folder: Path, *, device: str = "cpu", dtype: str = "float32") -> TransformersPolicy:
    """A policy of such a model that never ends a turn by itself: every turn has as many tokens as it may."""
    checkpoint = ModelFiles(str(folder))
    tokenizer = checkpoint.tokenizer()
    image_token = "<|image_pad|>" if checkpoint.shows_images else None
    chat = ChatFormat(tokenizer, tokenizer.chat_template, (), image_token)
    chat.stop_ids = ()
    patchifier = Patchifier(checkpoint.image_settings()) if checkpoint.shows_images else None
    with no_progress_bars():
        model = load_model(checkpoint, getattr(torch, dtype), torch.device(device))
    return TransformersPolicy(
        network=Network(model, patchifier, len(tokenizer)),
        chat=chat,
        files={},
        adapters=None,
        computing=Computing(cache_bytes=2**29),
    )


def letters(count: int, *, seed: int) -> str:
    """A text of so many tokens."""
    return "".join(random.Random(seed).choices(LETTERS, k=count))


def _ids(tokenizer: Any) -> dict[str, int]:
    # No end of sequence: the library's `generate` then never stops early, as little as `endless` does.
    return {"vocab_size": len(tokenizer), "eos_token_id": None, "pad_token_id": tokenizer.pad_token_id}


def _save(folder: Path, architecture: type[PreTrainedModel], config: Any, tokenizer: Any) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = architecture(config)
    with no_progress_bars():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
