"""Defines the settings of a run on several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from axpo.settings.values import Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksConfig:
    """How several processes (`torchrun`, `accelerate launch`) train as one; of no effect on a single one."""

    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Where weights, gradients and the optimizer's state lie: whole on every process (DDP), or divided among them
    (FSDP2)."""
    cpu_offload: bool = False
    """With fsdp: keep them in the CPU's memory, on the device only while they are computed with."""
    timeout_s: Seconds = 1800.0
    """How long processes wait for each other (one samples longer than another) before they give up; for what the first
    one does alone, how long it may be silent."""
