"""Defines `joined`: how a process that a launcher started becomes one of a run's ranks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from axpo.distributed.errors import noticing_losses
from axpo.distributed.ranks import ALONE, Ranks
from axpo.settings.config import ConfigError

_RANK: Final = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_COUNT: Final = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where torchrun, `accelerate launch` and launchers of MPI say which of how many processes this one is."""


def is_first_process() -> bool:
    """Whether this is the first, or the only, of the processes that a launcher started."""
    return _number(_RANK, default=0) == 0


@contextmanager
def joined(device: str, *, timeout_s: float) -> Iterator[Ranks]:
    """The processes that a launcher started, while the block runs; `ALONE` where none did.

    Args:
        device: the torch device of the settings: `cpu`, or `cuda` for one device a process.
        timeout_s: how long processes wait for each other before they give up.

    Raises:
        ConfigError: processes cannot share the device.
        PeerLost: another process has gone.
    """
    if _number(_COUNT, default=1) == 1:
        yield ALONE
        return
    kind, _, index = device.partition(":")
    if index or kind not in ("cpu", "cuda"):
        raise ConfigError(
            f"policy.device: expected cpu or cuda on several processes, each of which takes a device of its own; got "
            f"{device!r}"
        )
    # The launcher of one process needs none of this.
    import torch.distributed
    from accelerate import PartialState

    # Each process loads weights of its own. Left as `accelerate launch --use_fsdp` sets it, all but the first would
    # wait for weights that nobody sends.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    ours = not torch.distributed.is_initialized()
    # Objects and offloaded weights travel between CPUs, whatever the device.
    backend = {} if kind == "cpu" else {"backend": "cuda:nccl,cpu:gloo"}
    state = PartialState(cpu=kind == "cpu", timeout=timedelta(seconds=timeout_s), **backend)
    try:
        with noticing_losses():
            where = {"number": state.process_index, "count": state.num_processes}
            yield Ranks(**where, device=str(state.device), timeout_s=timeout_s)
    finally:
        if ours:
            state.destroy_process_group()
            PartialState._reset_state()


def _number(names: tuple[str, ...], *, default: int) -> int:
    return next((int(value) for name in names if (value := os.environ.get(name))), default)
