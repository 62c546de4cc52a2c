"""Defines how credited rows become the padded tensors of a `GRPOTrainer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from axpo.adapters.credited_rows import CreditedRow
from axpo_envs.plumbing.extras import requiring

with requiring("trl", "AXPO in TRL"):
    import torch

    from axpo_agents.transformers_policy import TransformersPolicy


def padded(rows: Sequence[CreditedRow], count: int) -> tuple[CreditedRow, ...]:
    """At least so many rows: further ones repeat the shortest and train nothing, for TRL splits a batch evenly.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("expected at least one rollout to train on; got none")
    shortest = min(rows, key=lambda row: len(row.prompt) + len(row.completion))
    idle = replace(shortest, trained=(False,) * len(shortest.trained), advantage=0.0)
    return (*rows, *(idle for _ in range(count - len(rows))))


def tensors_of(
    rows: Sequence[CreditedRow], policy: TransformersPolicy, *, pad: int, device: torch.device
) -> dict[str, Any]:
    """The rows with prompts padded on the left and completions on the right.

    Args:
        rows: rollouts and continuations.
        policy: prepares their images.
        pad: id of the padding.
        device: where the tensors go.

    Returns:
        With B rows, prompts of at most P and completions of at most C tokens: `prompt_ids`, `prompt_mask` of shape
        (B, P); `completion_ids`, `completion_mask`, `tool_mask` (1 where trained), `advantages` of shape (B, C); where
        there are images `pixel_values`, `image_grid_thw`, `mm_token_type_ids` of shape (B, P + C) and `num_images`, a
        list.
    """
    prompts, completions = [row.prompt for row in rows], [row.completion for row in rows]
    batch: dict[str, Any] = {
        "prompt_ids": _filled(prompts, pad, torch.long, left=True),
        "prompt_mask": _filled([[1] * len(ids) for ids in prompts], 0, torch.long, left=True),
        "completion_ids": _filled(completions, pad, torch.long),
        "completion_mask": _filled([[1] * len(ids) for ids in completions], 0, torch.long),
        "tool_mask": _filled([list(map(int, row.trained)) for row in rows], 0, torch.long),
        "advantages": _filled([row.advantages for row in rows], 0.0, torch.float32),
    }
    if images := [image for row in rows for image in row.images]:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        batch |= policy.image_inputs(images)
        batch["mm_token_type_ids"] = torch.eq(ids, policy.image_token if policy.image_token is not None else -1).long()
        batch["num_images"] = [len(row.images) for row in rows]
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def _filled(rows: Sequence[Sequence[float]], value: float, dtype: torch.dtype, *, left: bool = False) -> torch.Tensor:
    filled = torch.full((len(rows), max(map(len, rows))), value, dtype=dtype)
    for number, row in enumerate(rows):
        place = slice(filled.shape[1] - len(row), None) if left else slice(0, len(row))
        filled[number, place] = torch.tensor(row, dtype=dtype)
    return filled
