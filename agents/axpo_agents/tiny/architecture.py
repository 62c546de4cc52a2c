"""Defines the tiny embedded model: Qwen3-VL at 1.7 million parameters, with its tokenizer and image settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from axpo_agents.tiny.vocabulary import SPECIAL_TOKENS, TAGS, UNKNOWN, tokens
from axpo_envs.plumbing.extras import requiring

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

VIEW_SIZE: Final = 64
"""Side in pixels of the images the tiny model sees."""
PATCH: Final = 8
"""Side of an image patch in pixels."""
MERGE: Final = 2
"""Patches per side that form one image token: a view is (64 / 8 / 2) ** 2 = 16 tokens."""

IMAGE_PROCESSOR: Final[dict[str, Any]] = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen3VLProcessor",
    "patch_size": PATCH,
    "temporal_patch_size": 1,
    "merge_size": MERGE,
    "size": {"shortest_edge": VIEW_SIZE**2, "longest_edge": VIEW_SIZE**2},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "rescale_factor": 1 / 255,
    "resample": 3,
}
"""Content of preprocessor_config.json: every image becomes 64 x 64 pixels (at another aspect, about as many)."""


def build_tokenizer(words: tuple[str, ...] | None = None) -> PreTrainedTokenizerFast:
    """A tokenizer that splits text into the longest known words and writes them back without spaces in between.

    Args:
        words: all tokens by their ids, special ones and tags included; None for those of VisualZoom.
    """
    with requiring("train", "a new tiny policy"):
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(words or tokens())}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    known = sorted((w for w in vocabulary if w not in (*SPECIAL_TOKENS, *TAGS, UNKNOWN)), key=len, reverse=True)
    pattern = "|".join(re.escape(word) for word in known) + r"|[\s\S]"
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in TAGS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    )
    tokenizer.chat_template = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")
    return tokenizer


def build_model(seed: int) -> Qwen3VLForConditionalGeneration:
    """The model with random weights.

    The shape is the smallest that was found to learn both to locate signs in a 64 x 64 view and to read them in a crop.
    """
    with requiring("train", "a new tiny policy"):
        import torch
        from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    index = {token: position for position, token in enumerate(tokens())}
    patches = (VIEW_SIZE // PATCH) ** 2
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(index),
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "initializer_range": 0.05,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "eos_token_id": index["<|im_end|>"],
            "pad_token_id": index["<|endoftext|>"],
        },
        vision_config={
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 1,
            "out_hidden_size": 128,
            "num_position_embeddings": patches,
            "deepstack_visual_indexes": (1,),
            "initializer_range": 0.05,
        },
        image_token_id=index["<|image_pad|>"],
        video_token_id=index["<|video_pad|>"],
        vision_start_token_id=index["<|vision_start|>"],
        vision_end_token_id=index["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
        # Patches must tell where they are before anything else can be learned.
        torch.nn.init.normal_(model.model.visual.pos_embed.weight, std=0.3)
    model.generation_config.eos_token_id = index["<|im_end|>"]
    model.generation_config.pad_token_id = index["<|endoftext|>"]
    return model
