"""Defines the image tower's attention: all images of one size as a batch, where the library loops over images.

It is registered with the library under a name of its own and chosen for Qwen3-VL's tower when a checkpoint is loaded.
The caller gives the tower one segment that spans all images (`cu_seqlens`), and `image_count` to take it apart again.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

IMAGE_ATTENTION: Final = "axpo_equal_images"
"""Name under which the library knows it."""


def attend_equal_images(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each of `image_count` images of one size that lie end to end in tensors of shape (1, H, n, D).

    Without the option `image_count` it is the library's sdpa attention.
    """
    count = options.pop("image_count", None)
    if count is None:
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return result
    heads, length, size = query.shape[1:]
    query, key, value = (t.view(heads, count, length // count, size).transpose(0, 1) for t in (query, key, value))
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=options["scaling"])
    return attended.transpose(1, 2).reshape(1, length, heads, size), None


AttentionInterface.register(IMAGE_ATTENTION, attend_equal_images)
