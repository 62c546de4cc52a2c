"""Defines what the host process and a sandbox say to each other.

The host sends the nursery a packet with a socket (`FAMILY`), and gets one back with a pidfd of the family that it has
forked. On that socket the family reports what it is restricted by. Then the host sends it packets, each with a socket
for one request (`RUN`); on that goes a `Request`, and comes one answer: a frame with a `status`, a `note`, the cell's
`text`, how many interpreters the family `keeps`, and where the status is `DONE` whether it `succeeded`, the `digest` of
what it showed, and the sizes of its `figures`, whose pixels are the frame's body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

# Neither package's own `__init__` is imported: sandboxed code could find in memory what it brings along.
_BOOTSTRAP: Final = (
    "import sys, types\n"
    "for name in ('axpo_envs', 'axpo_envs.backends'):\n"
    "    package = sys.modules[name] = types.ModuleType(name)\n"
    "    package.__path__ = [sys.argv[1] + name.removeprefix('axpo_envs').replace('.', '/')]\n"
    "from axpo_envs.backends.python_sandbox.{module} import main; main()"
)
BOOTSTRAP: Final = _BOOTSTRAP.format(module="_launcher")
"""What a sandbox's first process executes, with the arguments PACKAGE STARTUP CONTROL HOST: the folder of `axpo_envs`
and three file descriptors, a socket for the setup, one for packets to the nursery, and a pidfd of the host. It imports
no more of `axpo_envs` than it must: sandboxed code could find it in memory."""
LEAVE_ROOT: Final = _BOOTSTRAP.format(module="_unprivileged")
"""What is executed before it where the host runs as root, with the arguments PACKAGE ARENA PATHS COMMAND...: see
`unprivileged`."""

ENGINE_GUEST: Final = _BOOTSTRAP.format(module="_engine_guest")
"""What a container's process executes, with the argument PACKAGE."""

FAMILY: Final = b"F"
"""The packet that comes with a socket for a new family, and the one that comes back with its pidfd."""
RUN: Final = b"R"
"""The packet that comes with a socket for one request."""
DROP: Final = b"D"
"""The packet that ends with the key of an interpreter that is no longer needed."""
MOST_IMAGES: Final = 1 << 28
"""Bytes of the images that one cell is given."""
MOST_NOTE: Final = 500
"""Characters of a note."""


class Status(StrEnum):
    """What became of a request."""

    DONE = "done"
    """The cell ran to its end, or raised; the interpreter after it is kept."""
    TIMEOUT = "timeout"
    """The cell ran past a limit on time; the interpreter after it was given up."""
    DIED = "died"
    """The interpreter ended while it executed the cell, or broke the rules."""
    MISSING = "missing"
    """The interpreter to go on from is not kept (any more); `live` is the deepest of the path that is."""
    FAULT = "fault"
    """The machinery failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A cell to execute."""

    path: tuple[str, ...]
    """Keys of the interpreters from one that has executed nothing to the one that is to go on."""
    code: str
    """The cell."""
    seed: int
    """Seeds randomness in a first cell; of no effect later."""
    images: tuple[tuple[int, int], ...] = ()
    """Width and height of images that it is given; their pixels are the frame's body."""
    digests: tuple[str, ...] = ()
    """Hashes of these."""
    patience: float = 1.0
    """Multiplies the limits on time: a replay must not fail because the machine is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the host asks of a sandbox."""

    isolation: str
    """The value of its `Isolation`."""
    limits: dict[str, Any]
    """The fields of `SandboxLimits`."""
    preload: tuple[str, ...]
    """Modules to import once."""
    readable: tuple[str, ...]
    """Paths that code may read."""
    hidden: tuple[str, ...]
    """Folders within them that it may not."""
    arena: str
    """An empty folder for what the sandbox keeps on disk, removed when it ends."""
    live: int
    """Interpreters to keep."""
