"""Defines the embedded tiny policies: where their shipped checkpoints lie, and how random ones are built and saved."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from axpo_envs.plumbing.extras import MissingExtraError

__all__ = ["Tiny", "checkpoint_of", "save_random_tiny", "tiny_folder", "tiny_named"]

_RANDOM: Final = "-random"


class Tiny(StrEnum):
    """The embedded policies by names that stand for shipped checkpoints; with `-random` behind, for untrained ones."""

    ZOOM = "tiny"
    """Qwen3-VL of 1.7 million parameters, for VisualZoom."""
    SEARCH = "tiny-search"
    """Qwen3 of a million parameters, for brief libraries of MultiHopSearch."""
    PYTHON = "tiny-python"
    """Qwen3 of 0.8 million parameters, for written sums of PythonReasoning."""
    DESK = "tiny-desk"
    """Qwen3 of 0.8 million parameters, for the brief desk of Desk."""


_FOLDERS: Final = {Tiny.ZOOM: "checkpoint", Tiny.SEARCH: "search", Tiny.PYTHON: "python", Tiny.DESK: "desk"}


def tiny_named(model: str) -> Tiny | None:
    """The embedded policy that a model's name stands for, be its weights trained or random; None for other names."""
    name = model.removesuffix(_RANDOM)
    return Tiny(name) if name in tuple(Tiny) else None


def checkpoint_of(name: Tiny) -> Path:
    """The folder of a shipped checkpoint, which a wheel leaves without its weights."""
    return Path(__file__).parent / _FOLDERS[name]


def tiny_folder(model: str = Tiny.ZOOM) -> Path:
    """The folder of a shipped checkpoint, in Hugging Face layout, warm-started by `axpo sft`.

    Args:
        model: one of `Tiny`.

    Raises:
        MissingExtraError: its weights are not installed; they are a distribution of their own, `axpo-tiny`.
    """
    folder = checkpoint_of(Tiny(model))
    if not (folder / "model.safetensors").is_file():
        raise MissingExtraError(
            f"the trained model `{model}` needs its weights: pip install 'axpo[tiny]'", name="axpo-tiny"
        )
    return folder


def save_random_tiny(folder: Path, *, seed: int = 0, model: str = Tiny.ZOOM) -> Path:
    """Writes a tiny model with random weights, its tokenizer and image settings in Hugging Face layout.

    Args:
        folder: made if missing.
        seed: of the weights.
        model: one of `Tiny`, with or without `-random`.

    Returns:
        The folder.

    Raises:
        MissingExtraError: the vocabulary of `tiny-search` needs the packages of the extra `data`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    match Tiny(model.removesuffix(_RANDOM)):
        case Tiny.ZOOM:
            _save_with_eyes(folder, seed)
        case Tiny.SEARCH:
            from axpo_agents.tiny.search_vocabulary import tokens as search_tokens

            _save_without(folder, search_tokens(), seed)
        case Tiny.PYTHON:
            from axpo_agents.tiny.python_vocabulary import tokens as python_tokens

            _save_without(folder, python_tokens(), seed)
        case Tiny.DESK:
            from axpo_agents.tiny.desk_vocabulary import tokens as desk_tokens

            _save_without(folder, desk_tokens(), seed)
    return folder


def _save_with_eyes(folder: Path, seed: int) -> None:
    from axpo_agents.tiny.architecture import IMAGE_PROCESSOR, build_model, build_tokenizer

    _write(build_model(seed), folder)
    build_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(IMAGE_PROCESSOR, indent=2) + "\n", encoding="utf-8")


def _save_without(folder: Path, words: tuple[str, ...], seed: int) -> None:
    from axpo_agents.tiny.architecture import build_tokenizer
    from axpo_agents.tiny.text_architecture import build_text_model

    _write(build_text_model(words, seed), folder)
    build_tokenizer(words).save_pretrained(folder)


def _write(model: Any, folder: Path) -> None:
    # The library lets only the first of several processes write; each of them writes a folder of its own here.
    model.should_save_on_this_rank = lambda is_main_process: is_main_process
    model.save_pretrained(folder)
