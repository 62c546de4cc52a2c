"""Defines `ModelConfig`, how a policy is loaded, and `ModelSettings`, which policy a configuration starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from axpo.settings.environment import EnvSettings
from axpo.settings.values import Count, CountOrNone, Decay, Name


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """How the policy is loaded."""

    device: Annotated[Name, tyro.conf.arg(aliases=("--device",))] = "cpu"
    """Torch device."""
    dtype: Annotated[Literal["float32", "bfloat16"], tyro.conf.arg(aliases=("--dtype",))] = "float32"
    """Weights and computation: float32 or bfloat16."""
    lora_rank: CountOrNone = 0
    """Rank of LoRA adapters (peft); 0 trains all weights."""
    lora_alpha: Count = 32
    """Scale of LoRA adapters."""
    lora_dropout: Decay = 0.0
    """Share of the adapters' inputs that is dropped while they are trained. Above 0 the trained policy is not quite the
    one that sampled."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    template_options: tuple[str, ...] = ()
    """Options of the model's chat template as NAME=VALUE, VALUE in JSON, such as `enable_thinking=false`."""
    tell_images: bool = False
    """Tell a model that reads text alone the sizes of images in their places; without it, it is refused environments
    that show some. Tools such as `ocr` read them for it."""
    freeze_vision: bool = False
    """Keep the image tower as it is."""
    packing: Annotated[Literal["tree", "rows"], tyro.conf.arg(aliases=("--packing",))] = "tree"
    """How sequences are laid out while they are trained: end to end with everything they share computed once, or each
    padded to a row of its own. Only time and memory differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings(EnvSettings):
    """An environment, and a policy by its name with how it is loaded."""

    model: Name = "tiny"
    """`tiny`, `tiny-search`, `tiny-python` or `tiny-desk` (shipped checkpoints), `tiny-random` and so on (the same,
    untrained), a checkpoint folder, or a Hugging Face id."""
    policy: ModelConfig = field(default_factory=ModelConfig)
    """How the policy is loaded."""
