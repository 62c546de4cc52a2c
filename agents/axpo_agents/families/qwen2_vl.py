"""Defines the family Qwen2-VL (arXiv:2409.12191)."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family, ImageTower

QWEN2_VL: Final = Family(
    model_type="qwen2_vl", plain_head=True, images=ImageTower.LIBRARY, norms=("Qwen2RMSNorm", "Qwen2VLRMSNorm")
)
