"""Defines the text-only shape of the tiny embedded policies: Qwen3 at about a million parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axpo_envs.plumbing.extras import requiring

if TYPE_CHECKING:
    from transformers import Qwen3ForCausalLM


def build_text_model(words: tuple[str, ...], seed: int) -> Qwen3ForCausalLM:
    """The model with random weights.

    Input and output embeddings are one: what a model of this size does most is to write a word again that it has read.

    Args:
        words: all tokens by their ids.
        seed: of the weights.
    """
    with requiring("train", "a new tiny policy"):
        import torch
        from transformers import Qwen3Config, Qwen3ForCausalLM

    end, pad = words.index("<|im_end|>"), words.index("<|endoftext|>")
    config = Qwen3Config(
        vocab_size=len(words),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        eos_token_id=end,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    return model
