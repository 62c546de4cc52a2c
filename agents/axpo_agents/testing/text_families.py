"""Defines small random checkpoints of families that read text alone, each with the template and named tokens it has.

What is smaller than published is the model, and the vocabulary beside its named tokens: one token per byte.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from axpo_agents.testing.byte_letters import byte_letters
from axpo_agents.testing.checkpoints import read_template, save_weights
from axpo_agents.testing.named_tokens import LLAMA_3, MISTRAL, NamedTokens

_SHAPE: Final = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "attention_dropout": 0.0,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}


def save_small_llama(folder: Path, *, seed: int = 0) -> Path:
    """Writes a Llama 3.1 checkpoint: scaled rotary positions, calls as bare JSON, three tokens that end a turn.

    Args:
        folder: made if missing.
        seed: of the weights.

    Returns:
        The folder.
    """
    rope = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **_SHAPE,
        "max_position_embeddings": 131072,
        "rope_scaling": rope,
        "rope_theta": 500000.0,
        "attention_bias": False,
        "mlp_bias": False,
    }
    marks = ("<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
    return _save(folder, config, LLAMA_3, template="llama_3_1", marks=marks, seed=seed)


def save_small_mistral(folder: Path, *, seed: int = 0) -> Path:
    """Writes a Mistral 7B v0.3 checkpoint: roles that alternate strictly, calls behind `[TOOL_CALLS]`.

    Args:
        folder: made if missing.
        seed: of the weights.

    Returns:
        The folder.
    """
    config = {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        **_SHAPE,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "sliding_window": None,
    }
    return _save(folder, config, MISTRAL, template="mistral", marks=("<s>", "</s>"), seed=seed)


def save_byte_tokenizer(folder: Path, named: NamedTokens, template: str, *, bos: str, eos: str) -> Any:
    """Writes a tokenizer of bytes and named tokens.

    Args:
        folder: an existing folder.
        named: the named tokens.
        template: the chat template.
        bos: the token that begins a conversation.
        eos: the token that ends a turn.

    Returns:
        The Transformers tokenizer.
    """
    tokenizers = importlib.import_module("tokenizers")
    transformers = importlib.import_module("transformers")
    vocabulary = {letter: byte for byte, letter in enumerate(byte_letters())}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    added = tokenizers.AddedToken
    core.add_special_tokens([added(token, special=True, normalized=False) for token in named.control])
    core.add_tokens([added(token, special=False, normalized=False) for token in named.ordinary])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token=eos, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def _save(
    folder: Path, config: dict[str, Any], named: NamedTokens, *, template: str, marks: tuple[str, ...], seed: int
) -> Path:
    """Writes a checkpoint; `marks` are the token that begins a conversation and those that end a turn."""
    folder.mkdir(parents=True, exist_ok=True)
    bos, *ends = marks
    tokenizer = save_byte_tokenizer(folder, named, read_template(template), bos=bos, eos=ends[-1])
    ids = [tokenizer.convert_tokens_to_ids(token) for token in ends]
    config |= {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id, "eos_token_id": ids}
    save_weights(folder, config, seed, ends=ids)
    return folder
