"""Defines `save_checkpoint`: a policy in Hugging Face layout, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from axpo_agents.formats.silence import no_progress_bars

ADAPTERS: Final = "adapters"
"""Folder of the LoRA adapters within a checkpoint."""


def save_checkpoint(
    folder: Path, model: Any, tokenizer: Any, files: Mapping[str, bytes], *, adapters: Any = None
) -> None:
    """Writes model, tokenizer and further files to `folder`, replacing a checkpoint that is there.

    Everything is written beside the folder first, so that a crash leaves the old checkpoint or the new one.

    Args:
        folder: the checkpoint's folder; its parents are made.
        model: a Transformers model, adapters merged.
        tokenizer: a Transformers tokenizer.
        files: name and content of files that neither of them writes (image settings, a processor's chat template).
        adapters: peft's wrapper, whose adapters are written to the folder `ADAPTERS` beside the model; None without.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        with no_progress_bars():
            model.save_pretrained(new)
        tokenizer.save_pretrained(new)
        if adapters is not None:
            # The embeddings are no adapters' target; peft would look for the base model's files to know that.
            adapters.save_pretrained(new / ADAPTERS, save_embedding_layers=False)
        for name, content in files.items():
            (new / name).write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
