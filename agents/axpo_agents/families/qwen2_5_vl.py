"""Defines the family Qwen2.5-VL (arXiv:2502.13923), whose image tower attends within windows."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family, ImageTower

QWEN2_5_VL: Final = Family(
    model_type="qwen2_5_vl",
    plain_head=True,
    images=ImageTower.LIBRARY,
    norms=("Qwen2RMSNorm", "Qwen2_5_VLRMSNorm"),
)
