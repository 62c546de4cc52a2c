"""What tests of agents and trainers need: small random checkpoints in published layouts, and a completions server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_agents.testing.checkpoints import save_small_qwen2_5_vl, save_small_qwen3, save_small_qwen3_vl
from axpo_agents.testing.more_image_families import save_small_qwen2_vl, save_small_qwen3_vl_moe
from axpo_agents.testing.text_families import save_small_llama, save_small_mistral
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_agents.testing.completions_server import CompletionsServer

__all__ = [
    "CompletionsServer",
    "save_small_llama",
    "save_small_mistral",
    "save_small_qwen2_5_vl",
    "save_small_qwen2_vl",
    "save_small_qwen3",
    "save_small_qwen3_vl",
    "save_small_qwen3_vl_moe",
]

_HOMES: Final = {"CompletionsServer": "axpo_agents.testing.completions_server"}

__getattr__ = lazily(__name__, _HOMES)
