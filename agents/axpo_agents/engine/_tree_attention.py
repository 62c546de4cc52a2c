"""Defines who sees whom in a token tree: in parts (plain CPU kernels), by a dense mask, or by flex attention's blocks.

All three see the same: a token sees its ancestors' tokens and the earlier ones of its own segment. The dense mask is
the plain form that the others must equal. It costs length^2, so it stops paying where responses are as long as prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from axpo_agents.engine._merging import merge
from axpo_agents.engine._token_tree import TokenTree


class TreeAttention(StrEnum):
    """How attention over a tree is computed."""

    PARTS = "parts"
    """One kernel per segment and one per subtree, without any mask (CPU)."""
    DENSE = "dense"
    """One kernel with a mask of length x length."""
    FLEX = "flex"
    """`flex_attention` with a block mask (CUDA)."""

    @classmethod
    def of(cls, device: torch.device) -> TreeAttention:
        """What suits a device."""
        return {"cpu": cls.PARTS, "cuda": cls.FLEX}.get(device.type, cls.DENSE)


class Part(NamedTuple):
    """Queries that see keys: all of them, or as far as they are no later."""

    queries: slice
    """Positions of the queries."""
    keys: slice
    """Positions of the keys."""
    causal: bool
    """Whether each query sees only the keys up to its own place; queries and keys are then the same tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeMask:
    """Who sees whom in a tree, as one kind of attention takes it."""

    mask: torch.Tensor | BlockMask
    """What the model is given as its attention mask."""
    parts: tuple[Part, ...] | None = None
    """What the model is given as the option `tree_parts`, if anything."""
    padding: int = 0
    """Tokens to add behind the tree; they see only themselves."""


def tree_mask(tree: TokenTree, attention: TreeAttention, device: torch.device) -> TreeMask:
    """The mask of a tree with at least one token."""
    if attention is TreeAttention.PARTS:
        # Whatever has four dimensions passes the library untouched; nothing reads it.
        return TreeMask(mask=torch.ones(1, 1, 1, 1, dtype=torch.bool), parts=parts_of(tree))
    padding = _bucket(tree.length) - tree.length if attention is TreeAttention.FLEX else 0
    own = np.arange(tree.length, tree.length + padding) + 1
    sub_end = torch.from_numpy(np.concatenate([tree.sub_end, own])).to(device)
    sees = _mask_function(sub_end)
    if attention is TreeAttention.FLEX:
        size = len(sub_end)
        return TreeMask(mask=create_block_mask(sees, None, None, size, size, device=str(device)), padding=padding)
    places = torch.arange(len(sub_end), device=device)
    return TreeMask(mask=sees(0, 0, places[:, None], places[None, :])[None, None])


def parts_of(tree: TokenTree) -> tuple[Part, ...]:
    """Everything that anybody sees, in parts that need no mask.

    A subtree is one stretch of the layout, and all of it behind its first segment sees that segment whole. Every
    segment besides sees itself causally. Causal parts come first and cover every query and every key once.
    """
    starts = tree.starts.tolist()
    own = [slice(start, stop) for start, stop in pairwise(starts)]
    causal = [Part(tokens, tokens, causal=True) for tokens in own]
    shared = [
        Part(slice(tokens.stop, starts[last + 1]), tokens, causal=False)
        for number, (tokens, last) in enumerate(zip(own, tree.last.tolist(), strict=True))
        if last > number
    ]
    return (*causal, *shared)


def attend_by_parts(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, parts: tuple[Part, ...], scale: float
) -> torch.Tensor:
    """Attention over a tree in one row, on a CPU.

    Args:
        query: shape (1, heads, length, head size).
        key: shape (1, key heads, length, head size).
        value: likewise.
        parts: see `parts_of`.
        scale: multiplies the scores.

    Returns:
        Shape (1, length, heads, head size).
    """
    # Key heads become the batch, so that heads which share one read it in place.
    _, heads, length, size = query.shape
    grouped = query[0].view(len(key[0]), heads // len(key[0]), length, size)
    attend = cast("Callable[..., torch.Tensor]", _AttendByParts.apply)
    return attend(grouped, key[0], value[0], parts, scale).view(heads, length, size).transpose(0, 1)[None]


class _AttendByParts(torch.autograd.Function):
    """Softmax attention as a sum over parts.

    Each part's kernel returns its output and the log of its normalizer; outputs add up in the ratio of normalizers.
    The kernel's backward pass takes output and normalizer of the whole: given them, a part's gradients are its exact
    share, and nothing but queries, keys, values, output and normalizer is kept (FlashAttention, arXiv:2205.14135,
    section 3 and appendix B.4).

    Shapes: queries (key heads, heads per key head, length, size), keys and values (key heads, length, size).
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        parts: tuple[Part, ...],
        scale: float,
    ) -> torch.Tensor:
        output = torch.empty_like(query, dtype=torch.float32)
        normalizer = query.new_empty(query.shape[:-1], dtype=torch.float32)
        for part in parts:
            q, k, v = _of(part, query, key, value)
            out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q, k, v, 0.0, part.causal, scale=scale
            )
            if part.causal:
                output[:, :, part.queries], normalizer[:, :, part.queries] = out, lse
            else:
                before = output[:, :, part.queries], normalizer[:, :, part.queries]
                output[:, :, part.queries], normalizer[:, :, part.queries] = merge(before, (out, lse))
        output = output.to(query.dtype)
        ctx.save_for_backward(query, key, value, output, normalizer)
        ctx.parts, ctx.scale = parts, scale
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, output, normalizer = ctx.saved_tensors
        (gradient,) = gradients
        totals = [torch.empty_like(tensor, dtype=torch.float32) for tensor in (query, key, value)]
        for part in ctx.parts:
            rows = (slice(None), slice(None), part.queries)
            shares = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                gradient[rows],
                *_of(part, query, key, value),
                output[rows],
                normalizer[rows],
                0.0,
                part.causal,
                scale=ctx.scale,
            )
            for total, share in (
                (totals[0][rows], shares[0]),
                (totals[1][:, part.keys], shares[1].sum(1)),
                (totals[2][:, part.keys], shares[2].sum(1)),
            ):
                # The causal parts are the first to reach any token.
                total.copy_(share) if part.causal else total.add_(share)
        return (*(total.to(query.dtype) for total in totals), None, None)


def _of(
    part: Part, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    heads = query.shape[1]
    k, v = (tensor[:, None, part.keys].expand(-1, heads, -1, -1) for tensor in (key, value))
    return query[:, :, part.queries], k, v


def _mask_function(sub_end: torch.Tensor) -> Callable[..., torch.Tensor]:
    def sees(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        del batch, head
        return (key <= query) & (query < sub_end[key])

    return sees


def _bucket(length: int) -> int:
    """The length of a padded tree: few different ones, so that kernels are compiled for few; at most 1/8 is padding
    beyond the 128 tokens of a block."""
    step = max(128, (1 << length.bit_length()) // 16)
    return -(-length // step) * step
