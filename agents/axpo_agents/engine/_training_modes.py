"""Defines `modes_of_training`: which modules of a model behave otherwise while it is trained."""

from __future__ import annotations

from typing import Any

import torch


def modes_of_training(model: Any) -> list[torch.nn.Module]:
    """The modules that are in training mode under autograd; all others compute what they compute in evaluation.

    The library recomputes activations in training mode only, and asks the layer that is recomputed, not what lies
    within: so the attention's dropout stays off, and what is trained is the policy that sampled. Dropout of LoRA
    adapters is there only if it was asked for.
    """
    recomputed = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    for module in recomputed:
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    adapters = [part for module in model.modules() for part in (getattr(module, "lora_dropout", None) or {}).values()]
    return [*recomputed, *(part for part in adapters if isinstance(part, torch.nn.Dropout))]
