"""Defines what tests of agents and trainers need: small random checkpoints in the layout of the published models."""

from __future__ import annotations

from axpo_agents.testing.checkpoints import save_small_qwen2_5_vl, save_small_qwen3, save_small_qwen3_vl
from axpo_agents.testing.text_families import save_small_llama, save_small_mistral

__all__ = ["save_small_llama", "save_small_mistral", "save_small_qwen2_5_vl", "save_small_qwen3", "save_small_qwen3_vl"]
