"""Defines the embedded `tiny` policy: where its shipped checkpoint lies, and how a random one is built and saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from axpo_envs.plumbing.extras import MissingExtraError

__all__ = ["save_random_tiny", "tiny_folder"]


_CHECKPOINT: Final = Path(__file__).parent / "checkpoint"


def tiny_folder() -> Path:
    """The folder of the shipped checkpoint: warm-started on VisualZoom by `axpo sft`, in Hugging Face layout.

    Raises:
        MissingExtraError: its weights are not installed; they are a distribution of their own, `axpo-tiny`.
    """
    if not (_CHECKPOINT / "model.safetensors").is_file():
        raise MissingExtraError(
            "the trained model `tiny` needs its weights: pip install 'axpo[tiny]'", name="axpo-tiny"
        )
    return _CHECKPOINT


def save_random_tiny(folder: Path, *, seed: int = 0) -> Path:
    """Writes the tiny model with random weights, its tokenizer and image settings in Hugging Face layout.

    Returns:
        The folder.
    """
    from axpo_agents.tiny.architecture import IMAGE_PROCESSOR, build_model, build_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    build_model(seed).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(IMAGE_PROCESSOR, indent=2) + "\n", encoding="utf-8")
    return folder
