"""Defines `no_progress_bars`, which keeps the library's progress bars off the terminal of whoever calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from axpo_envs.plumbing.extras import requiring

with requiring("remote", "reading the files of a model"):
    from transformers import modeling_gguf_pytorch_utils as gguf_weights
    from transformers.utils import logging


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Checkpoints are read and written in silence; the previous setting comes back afterwards."""
    shown, bar = logging.is_progress_bar_enabled(), gguf_weights.tqdm
    logging.disable_progress_bar()
    # The bar of GGUF weights heeds no setting; the library's own does.
    gguf_weights.tqdm = logging.tqdm
    try:
        yield
    finally:
        gguf_weights.tqdm = bar
        if shown:
            logging.enable_progress_bar()
