"""Defines the family Qwen3-VL (arXiv:2511.21631)."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family, ImageTower

QWEN3_VL: Final = Family(
    model_type="qwen3_vl", plain_head=True, images=ImageTower.BATCHED, norms=("Qwen3VLTextRMSNorm",)
)
