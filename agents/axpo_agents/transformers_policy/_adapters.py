"""Defines LoRA adapters (arXiv:2106.09685) on a policy's language model, through the library peft."""

from __future__ import annotations

import copy
import importlib
import warnings
from typing import Any, Final

import torch

from axpo_envs.plumbing.extras import requiring

TARGETS: Final = r"^(?!.*\bvisual\b).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
"""Linear layers of attention and feed-forward blocks, those of the image tower excluded."""


def add_adapters(model: Any, *, rank: int, alpha: int, dropout: float, seed: int) -> Any:
    """Puts new adapters into `model`, whose own weights are frozen; returns peft's wrapper around it.

    Args:
        model: a Transformers model.
        rank: of the adapters.
        alpha: their scale.
        dropout: share of their inputs that is dropped in training mode.
        seed: of their initial weights.

    Raises:
        MissingExtraError: peft is not installed.
    """
    with requiring("lora", "LoRA"):
        peft = importlib.import_module("peft")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks the model whether it recomputes activations by a name that Transformers has deprecated.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(seed)
        settings = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=TARGETS)
        return peft.get_peft_model(model, settings)


def merged(adapters: Any) -> Any:
    """A copy of the model with the adapters' effect added to its weights."""
    return copy.deepcopy(adapters).merge_and_unload()
