"""Defines the family Qwen3 (arXiv:2505.09388)."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family

QWEN3: Final = Family(model_type="qwen3", plain_head=True, norms=("Qwen3RMSNorm",))
