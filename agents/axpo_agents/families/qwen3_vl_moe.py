"""Defines the family of the Qwen3-VL models with mixtures of experts (arXiv:2511.21631)."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family, ImageTower

QWEN3_VL_MOE: Final = Family(
    model_type="qwen3_vl_moe", plain_head=True, images=ImageTower.BATCHED, norms=("Qwen3VLMoeTextRMSNorm",)
)
