"""Defines how much sandboxed code may use, and which sandbox it gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox.report import Isolation
from axpo_envs.errors import EnvConfigError

_WHOLE: Final = {
    **dict.fromkeys(("memory_mb", "scratch_mb", "output_bytes", "figure_pixels"), 1),
    **dict.fromkeys(("processes", "threads", "figures"), 0),
}
"""Limits that are whole numbers, and the least that each can be."""
_MOST_OUTPUT: Final = 500_000
_MOST_PIXELS: Final = 100_000_000
"""What fits into the messages between host and sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """How much the code of one cell may use.

    Raises:
        EnvConfigError: a limit is not positive (`processes`, `threads` and `figures` may be 0) or too large, or is no
            whole number though it counts something.
    """

    wall_s: float = 10.0
    """Seconds after which a cell is stopped."""
    cpu_s: float = 10.0
    """Seconds of processor time, all threads together, after which it is stopped; checked ten times a second."""
    memory_mb: int = 512
    """Megabytes of address space that an interpreter may add to what the preloaded modules take."""
    scratch_mb: int = 64
    """Megabytes of files in the scratch folder."""
    processes: int = 0
    """Processes that a cell may start, counted in all. Each may use the full memory once more."""
    threads: int = 64
    """Threads that a cell may start, counted in all."""
    output_bytes: int = 10_000
    """Bytes of output that are shown: of longer output the beginning and the end."""
    figures: int = 8
    """Figures of a cell that are shown."""
    figure_pixels: int = 2_000_000
    """Pixels of a figure; a larger one is drawn smaller."""

    def __post_init__(self) -> None:
        for name in ("wall_s", "cpu_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise EnvConfigError(f"{name} must be a positive number; got {value!r}")
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise EnvConfigError(f"{name} must be a whole number, at least {least}; got {value!r}")
        if self.output_bytes > _MOST_OUTPUT:
            raise EnvConfigError(f"output_bytes must be at most {_MOST_OUTPUT}; got {self.output_bytes}")
        if self.figures * self.figure_pixels > _MOST_PIXELS:
            raise EnvConfigError(
                f"figures * figure_pixels must be at most {_MOST_PIXELS}; got {self.figures} * {self.figure_pixels}"
            )


DEFAULT_LIMITS: Final = SandboxLimits()
"""Enough for calculations and plots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """What a sandbox is besides the limits.

    Raises:
        EnvConfigError: a number is too small, or a path does not exist.
    """

    preload: tuple[str, ...] = ("numpy", "matplotlib.pyplot")
    """Modules imported once for all interpreters; those not installed are left out."""
    readable: tuple[Path, ...] = ()
    """Files and folders that code may read besides the Python installation, as absolute paths."""
    live: int = 128
    """Interpreters kept at rest; the least recently used one goes first, and is replayed when needed."""
    concurrent: int = 16
    """Cells executed at the same time, and at most half of `live`; the clock of those that wait does not run."""
    isolation: Isolation | None = None
    """The sandbox to use; None for the best that this machine has without an engine."""
    engine_image: str = ""
    """For the isolation `engine`: the image of its containers, with `python3` and the packages that cells use."""
    engine_runtime: str = "runsc"
    """For the isolation `engine`: the runtime of its containers, `runsc` of gVisor or `kata`, say."""

    def __post_init__(self) -> None:
        if not isinstance(self.preload, tuple) or not isinstance(self.readable, tuple):
            raise EnvConfigError(f"preload and readable must be tuples; got {self.preload!r} and {self.readable!r}")
        if self.isolation is not None and self.isolation not in tuple(Isolation):
            raise EnvConfigError(f"isolation must be one of {', '.join(Isolation)}, or None; got {self.isolation!r}")
        if self.live < 1 or self.concurrent < 1:
            raise EnvConfigError(f"live and concurrent must be at least 1; got {self.live} and {self.concurrent}")
        for path in self.readable:
            if not path.is_absolute() or not path.exists():
                raise EnvConfigError(f"readable must hold absolute paths that exist; got {path}")


DEFAULT_SETTINGS: Final = SandboxSettings()
"""The best isolation that the machine has; numpy and matplotlib imported."""
