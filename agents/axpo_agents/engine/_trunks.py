"""Defines `Trunk`, keys and values that many rows of a cache share without copies, and attention over such rows.

A group samples its rollouts after one prompt. Its keys and values are held once; each row of the cache holds what it
has written itself. Attention is computed over both, all rows of a trunk at once, and joined by their normalizers, which
is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch

from axpo_agents.engine._merging import merge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stem:
    """Keys and values of tokens that were read once."""

    keys: tuple[torch.Tensor, ...]
    """Per layer, shape (key heads, length, head size)."""
    values: tuple[torch.Tensor, ...]
    """Likewise."""

    @property
    def nbytes(self) -> int:
        """Memory of the tensors."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))


class Trunk(NamedTuple):
    """What stands before a row's own slots: the first tokens of a stem."""

    stem: Stem
    """The stem."""
    length: int
    """How many of its tokens."""

    def layer(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer, each of shape (key heads, length, head size)."""
        return self.stem.keys[number][:, : self.length], self.stem.values[number][:, : self.length]


Rows: TypeAlias = slice | torch.Tensor
"""Rows of a cache: neighbours, or their numbers."""


class TrunkRows(NamedTuple):
    """The rows of a cache that have the same trunk."""

    trunk: Trunk
    """The trunk."""
    rows: Rows
    """Those rows."""


def rows_by_trunk(trunks: Sequence[Trunk | None], device: torch.device) -> tuple[TrunkRows, ...]:
    """The rows of each trunk.

    Args:
        trunks: of each row; None for a row without one.
        device: where the rows' numbers are wanted.
    """
    members: dict[tuple[int, int], list[int]] = {}
    for row, trunk in enumerate(trunks):
        if trunk is not None:
            members.setdefault((id(trunk.stem), trunk.length), []).append(row)
    found = ((trunks[rows[0]], rows) for rows in members.values())
    return tuple(TrunkRows(trunk, _rows(rows, device)) for trunk, rows in found if trunk is not None)


def _rows(numbers: list[int], device: torch.device) -> Rows:
    first, stop = numbers[0], numbers[-1] + 1
    return slice(first, stop) if stop - first == len(numbers) else torch.tensor(numbers, device=device)


def attend_over_trunks(
    query: torch.Tensor,
    own: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor | None,
    trunks: Sequence[tuple[Rows, torch.Tensor, torch.Tensor]],
    scale: float,
) -> torch.Tensor:
    """Attention of rows over their trunks and their own slots; on a CPU, without gradients.

    Args:
        query: shape (rows, heads, length, head size).
        own: keys and values of each row's slots, the new tokens last, shape (rows, key heads, slots, head size).
        mask: bool, shape (rows, 1, length, slots), what is seen of the own slots; None for all that is not later.
        trunks: rows, keys and values of each trunk, the latter of shape (key heads, tokens, head size).
        scale: multiplies the scores.

    Returns:
        Shape (rows, length, heads, head size).
    """
    rows, heads, length, size = query.shape
    key, value = own
    kinds = key.shape[1]
    # Heads that share keys stand side by side as if they were tokens.
    grouped = query.reshape(rows, kinds, heads // kinds * length, size)
    attended = _flash(grouped, key, value, _additive(mask, query, key), scale)
    output = torch.zeros_like(grouped)
    normalizer = torch.full(grouped.shape[:-1], -torch.inf, device=query.device)
    for members, keys, values in trunks:
        queries = grouped[members].transpose(0, 1)
        more, lse = _flash(queries.reshape(1, kinds, -1, size), keys[None], values[None], None, scale)
        output[members] = more.view(queries.shape).transpose(0, 1)
        normalizer[members] = lse.view(queries.shape[:-1]).transpose(0, 1)
    joined, _ = merge(attended, (output, normalizer))
    return joined.to(query.dtype).view(rows, heads, length, size).transpose(1, 2)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    output, normalizer = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, attn_mask=mask, scale=scale
    )
    return output, normalizer.contiguous()


def _additive(mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor | None:
    """What is added to the scores of grouped queries, shape (rows or 1, 1, heads per key head x length, slots)."""
    length, slots = query.shape[2], key.shape[2]
    if mask is None:
        if length == 1:
            return None
        mask = torch.ones(length, slots, dtype=torch.bool, device=query.device).tril(slots - length)[None, None]
    added = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill_(~mask, -torch.inf)
    return added.repeat(1, 1, query.shape[1] // key.shape[1], 1)
