"""Defines `load_policy`: a policy from a checkpoint folder, a Hugging Face id, or the embedded tiny model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from axpo_agents.engine.network import Network
from axpo_agents.engine.vision import Patchifier
from axpo_agents.errors import PolicyError
from axpo_agents.formats._template_options import with_options
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.formats.model_files import ModelFiles
from axpo_agents.formats.silence import no_progress_bars
from axpo_agents.scoring._scorer import Packing
from axpo_agents.tiny import Tiny, save_random_tiny, tiny_folder, tiny_named
from axpo_agents.transformers_policy._adapters import add_adapters
from axpo_agents.transformers_policy._weights import load_model
from axpo_agents.transformers_policy.policy import Computing, TransformersPolicy

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_GIB: Final = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """How a checkpoint is loaded."""

    device: str = "cpu"
    """Torch device."""
    dtype: str = "float32"
    """Weights and computation: `float32` or `bfloat16`."""
    lora_rank: int = 0
    """Rank of LoRA adapters on the language model's linear layers (needs peft); 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of LoRA adapters."""
    lora_dropout: float = 0.0
    """Share of the adapters' inputs that is dropped under autograd."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    freeze_vision: bool = False
    """Keep the image tower as it is."""
    packing: str = "tree"
    """How sequences are laid out while they are scored and trained: `tree` (end to end, what they share computed once)
    or `rows` (each padded to a row of its own)."""
    template_options: tuple[tuple[str, Any], ...] = ()
    """Name and value of variables that the chat template is rendered with, such as `("enable_thinking", False)`."""
    tell_images: bool = False
    """Whether a model that reads text alone is told of images by their sizes, in place of being refused them."""
    seed: int = 0
    """Seeds what no checkpoint holds: new adapters, and all weights of `tiny-random`."""
    cache_gib: float | None = None
    """Memory for keys and values, while sampling and between calls. None takes 0.5 GiB on the CPU and a third of the
    memory of a CUDA device."""


def load_policy(model: str, settings: LoadSettings | None = None) -> TransformersPolicy:
    """Loads a policy.

    Args:
        model: `tiny`, `tiny-search`, `tiny-python` or `tiny-desk` (the shipped checkpoints), one of these with
            `-random` behind it (the same model with random weights), a folder in Hugging Face layout, or a Hugging Face
            id.
        settings: how to load it.

    Raises:
        PolicyError: the checkpoint is missing, damaged or unsuited; the message says what was expected and found.
    """
    settings = settings or LoadSettings()
    device = _device(settings.device)
    if settings.dtype not in _DTYPES:
        raise PolicyError(f"expected dtype to be one of {', '.join(_DTYPES)}; got {settings.dtype!r}")
    if settings.packing not in set(Packing):
        raise PolicyError(f"expected packing to be one of {', '.join(Packing)}; got {settings.packing!r}")
    with no_progress_bars(), _resolved(model, settings.seed) as name:
        checkpoint = ModelFiles(name)
        tokenizer = checkpoint.tokenizer()
        images = checkpoint.image_settings() if checkpoint.shows_images else None
        image_token = tokenizer.convert_ids_to_tokens(checkpoint.config.image_token_id) if images else None
        template = with_options(tokenizer.chat_template, settings.template_options)
        stop_ids = checkpoint.stop_ids(tokenizer)
        chat = ChatFormat(tokenizer, template, stop_ids, image_token, tells_images=settings.tell_images)
        network = load_model(checkpoint, _DTYPES[settings.dtype], device)
        files = checkpoint.image_files() if images else {}
    adapters = _prepare(network, settings)
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    return TransformersPolicy(
        network=Network(network, Patchifier(images) if images else None, vocabulary),
        chat=chat,
        files=files,
        adapters=adapters,
        computing=Computing(cache_bytes=_cache_bytes(settings.cache_gib, device), packing=Packing(settings.packing)),
    )


def _prepare(model: Any, settings: LoadSettings) -> Any:
    """Settles what is trained; returns peft's wrapper if there are adapters."""
    if settings.freeze_vision and hasattr(model, "model") and hasattr(model.model, "visual"):
        model.model.visual.requires_grad_(False)
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if settings.lora_rank == 0:
        return None
    return add_adapters(
        model, rank=settings.lora_rank, alpha=settings.lora_alpha, dropout=settings.lora_dropout, seed=settings.seed
    )


@contextmanager
def _resolved(model: str, seed: int) -> Iterator[str]:
    if model in tuple(Tiny):
        yield str(tiny_folder(model))
    elif tiny_named(model) is not None:
        with tempfile.TemporaryDirectory() as folder:
            yield str(save_random_tiny(Path(folder), seed=seed, model=model))
    else:
        yield model


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PolicyError(f"expected a torch device such as cpu or cuda; got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise PolicyError(f"expected a CUDA device for {name!r}; this torch sees none")
    return device


def _cache_bytes(gib: float | None, device: torch.device) -> int:
    if gib is not None:
        return int(gib * _GIB)
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory // 3)
    return _GIB // 2
