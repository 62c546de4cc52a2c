"""Defines `written`, which turns a model that is in memory into a checkpoint that a run can start, and go on, from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from axpo.records._manifest import write_manifest
from axpo.settings.config import ConfigError
from axpo_agents.transformers_policy import TransformersPolicy

START: Final = "start"
"""Name of the checkpoint within the run's folder."""


@contextmanager
def written(model: Any, tokenizer: Any, *, beside: Path) -> Iterator[Path]:
    """A folder with the model in Hugging Face layout, which the caller may move away.

    Args:
        model: a `TransformersPolicy`, or a model of the Transformers library.
        tokenizer: the model's tokenizer or, for a model that sees images, its processor; None with a policy.
        beside: where the folder is made, so that moving it to a place nearby costs nothing.

    Raises:
        ConfigError: it is neither, or the tokenizer is missing.
    """
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".start-", dir=beside) as scratch:
        folder = Path(scratch) / START
        if isinstance(model, TransformersPolicy):
            model.save(folder)
        else:
            for what, value in (("model", model), ("tokenizer", tokenizer)):
                if not hasattr(value, "save_pretrained"):
                    raise ConfigError(
                        f"{what}: expected a {what} of the Transformers library (or one policy in place of both); "
                        f"got {type(value).__name__}"
                    )
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        write_manifest(folder)
        yield folder
