"""Defines `load_model`: a checkpoint's model with its weights, prepared for sampling and scoring."""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GgufConfig

from axpo_agents.engine._image_attention import IMAGE_ATTENTION
from axpo_agents.engine._rms_norm import fuse_norms
from axpo_agents.engine._text_attention import TEXT_ATTENTION
from axpo_agents.errors import PolicyError
from axpo_agents.families import ImageTower, family_of
from axpo_agents.formats.model_files import ModelFiles

_LOADING: Final = Lock()
"""The Transformers library replaces methods of its classes while it reads weights: of two threads that do so at once,
one puts back what the other had put there, and tied weights are lost to the whole process."""


def load_model(files: ModelFiles, dtype: torch.dtype, device: torch.device) -> Any:
    """The model with its weights, in evaluation mode. Threads that load at the same time take turns.

    Raises:
        PolicyError: weights are missing, damaged, or do not fit the config.
    """
    loader = AutoModelForImageTextToText if files.shows_images else AutoModelForCausalLM
    name, keywords = files.source
    # Left in their blocks, quantized weights could be neither trained nor saved.
    unpacked = {"quantization_config": GgufConfig(dequantize=True)} if keywords else {}
    try:
        with _LOADING:
            model, report = loader.from_pretrained(
                name,
                **keywords,
                **unpacked,
                config=files.config,
                dtype=dtype,
                attn_implementation="sdpa",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise PolicyError(f"{files.name}: the weights cannot be loaded: {error}") from error
    if absent := sorted(report["missing_keys"]):
        raise PolicyError(
            f"{files.name}: expected weights for all of the model; {len(absent)} are missing, as {absent[0]}"
        )
    for weight, found, expected in report["mismatched_keys"]:
        raise PolicyError(f"{files.name}: expected {weight} of shape {tuple(expected)}; got {tuple(found)}")
    model = model.to(device)
    prepare(model, shows_images=files.shows_images)
    return model


def prepare(model: Any, *, shows_images: bool) -> None:
    """Puts a model of the library, on its device, into the form in which it samples and scores."""
    family = family_of(model.config.model_type)
    if shows_images:
        batched = family.images is ImageTower.BATCHED
        tower = IMAGE_ATTENTION if batched else "sdpa"
        model.set_attn_implementation({"text_config": TEXT_ATTENTION, "vision_config": tower})
    else:
        model.set_attn_implementation(TEXT_ATTENTION)
    model.eval()
    fuse_norms(model, family.norms)
