"""Defines `RunEvents`, the metrics of a run as TensorBoard reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axpo_envs.plumbing.extras import requiring

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunEvents:
    """TensorBoard events in a folder, which is made with the first.

    Args:
        folder: where they are written.
        last_step: the newest step that has records; None before the first.
    """

    def __init__(self, folder: Path, *, last_step: int | None) -> None:
        self._folder = folder
        self._last_step = last_step
        self._writer: SummaryWriter | None = None

    def add(self, scalars: Mapping[str, Any], step: int) -> None:
        """Writes the numbers of a step; what is no number is left out.

        Raises:
            OSError: the disk is full.
        """
        if self._writer is None:
            # Readers of a run need not wait for it.
            with requiring("train", "the log of a run"):
                from torch.utils.tensorboard import SummaryWriter

            # Events of steps that are about to be repeated stay in the older files: TensorBoard is told to hide them.
            purge = 0 if self._last_step is None else self._last_step + 1
            self._writer = SummaryWriter(str(self._folder), purge_step=purge)
        for name, value in scalars.items():
            if isinstance(value, int | float) and not name.endswith("/step"):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Ends the file; harmless when repeated."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
