"""Defines the language model's attention, which takes trees and trunks where they are given.

It is registered with the library under a name of its own and chosen when a checkpoint is loaded.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from axpo_agents.engine._tree_attention import Part, attend_by_parts
from axpo_agents.engine._trunks import TrunkRows, attend_over_trunks
from axpo_agents.errors import PolicyError

TEXT_ATTENTION: Final = "axpo_text"
"""Name under which the library knows it."""

_MORE: Final = ("softcap", "position_bias", "s_aux")
"""What the library hands to attention that is more than a softmax; left out it would be wrong without a word."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | BlockMask | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over a tree or over trunks where such a thing is given, else the library's sdpa attention.

    Args:
        module: the attention layer.
        query: shape (rows, heads, length, head size).
        key: shape (rows, key heads, slots, head size).
        value: likewise.
        attention_mask: bool, or the block mask of a tree.
        options: `tree_parts` (see `TreeMask`), `trunks` (see `SlotCache.shared`; the mask is then that of the rows' own
            slots), and what the library gives every attention.

    Returns:
        Shape (rows, length, heads, head size), and None.

    Raises:
        PolicyError: the model asks for more than softmax attention.
    """
    if more := [name for name in _MORE if options.get(name) is not None]:
        raise PolicyError(f"expected a model with plain softmax attention; {type(module).__name__} asks for {more[0]}")
    scale = float(options["scaling"])
    tree_parts: tuple[Part, ...] | None = options.pop("tree_parts", None)
    trunks: tuple[TrunkRows, ...] = options.pop("trunks", ())
    if tree_parts is not None:
        return attend_by_parts(query, key, value, tree_parts, scale), None
    if isinstance(attention_mask, BlockMask):
        return flex_attention_forward(module, query, key, value, attention_mask, **options)[0], None
    if trunks:
        layer = cast("int", module.layer_idx)
        held = [(rows, *trunk.layer(layer)) for trunk, rows in trunks]
        return attend_over_trunks(query, (key, value), attention_mask, held, scale), None
    if query.shape[2] == 1 and not options.get("dropout"):
        return _of_one_token(query, key, value, attention_mask, scale), None
    result: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return result


def _of_one_token(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    # Heads that share keys stand side by side as if they were tokens, so that no key is read twice.
    rows, heads, _, size = query.shape
    packed = query.view(rows, key.shape[1], heads // key.shape[1], size)
    attended = torch.nn.functional.scaled_dot_product_attention(packed, key, value, attn_mask=mask, scale=scale)
    return attended.reshape(rows, 1, heads, size)


AttentionInterface.register(TEXT_ATTENTION, attend)
AttentionMaskInterface.register(TEXT_ATTENTION, sdpa_mask)
