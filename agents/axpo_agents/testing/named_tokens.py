"""Defines the tokens that published vocabularies know by name, control tokens and others, in the order of their ids."""

from __future__ import annotations

from typing import Final, NamedTuple


class NamedTokens(NamedTuple):
    """The named tokens of a family."""

    control: tuple[str, ...]
    """Those that a decoder drops when it writes for people."""
    ordinary: tuple[str, ...] = ()
    """The others."""


LLAMA_3: Final = NamedTokens(
    control=(
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|reserved_special_token_0|>",
        "<|reserved_special_token_1|>",
        "<|finetune_right_pad_id|>",
        "<|reserved_special_token_2|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
        *(f"<|reserved_special_token_{number}|>" for number in range(3, 248)),
    )
)
"""Llama 3.1 to 3.3, from id 128000 on."""

MISTRAL: Final = NamedTokens(
    control=(
        "<unk>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[TOOL_CALLS]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
        *(f"[control_{number}]" for number in range(8, 769)),
    )
)
"""Version 3 of Mistral's tokenizer (Mistral 7B v0.3), from id 0 on."""

_MARKUP: Final = (
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "blockquote"),
    *("strong", "em", "b", "i", "u", "s", "sub", "sup", "code"),
)
GEMMA_3: Final = NamedTokens(
    control=(
        *("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[multimodal]"),
        *("<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    ),
    ordinary=(
        *(f"<unused{number}>" for number in range(6242)),
        *("\n" * count for count in range(2, 32)),
        *(f"<{name}>" for name in _MARKUP),
        *(f"</{name}>" for name in _MARKUP),
    ),
)
"""Gemma 3, whose vocabulary also names HTML tags and runs of newlines."""
