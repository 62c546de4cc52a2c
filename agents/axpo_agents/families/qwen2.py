"""Defines the family Qwen2 and Qwen2.5 (arXiv:2412.15115)."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family

QWEN2: Final = Family(model_type="qwen2", plain_head=True, norms=("Qwen2RMSNorm",))
