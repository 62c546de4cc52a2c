"""Defines what a sandbox's first process does: set up the isolation, import the modules, be the nursery."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
import socket
import sys
import warnings
from contextlib import suppress
from functools import partial
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox import _tracing as tracing
from axpo_envs.backends.python_sandbox import _views as views
from axpo_envs.backends.python_sandbox._branching import Branching, Forking, Replaying
from axpo_envs.backends.python_sandbox._family import become_family
from axpo_envs.backends.python_sandbox._nursery import Nursery, Roots
from axpo_envs.backends.python_sandbox.protocol import Setup
from axpo_envs.backends.python_sandbox.report import BranchingKind, Isolation

_IMPORTS: Final = "imports"
"""A folder for what modules write when they are imported."""


def main() -> None:
    """Sets up the sandbox and serves until the host is gone."""
    startup, control = (socket.socket(fileno=int(argument)) for argument in sys.argv[2:4])
    host = int(sys.argv[4])
    setup = Setup(**frames.receive(startup).header)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rooted = setup.isolation in (Isolation.NAMESPACES, Isolation.BUBBLEWRAP)
    try:
        if complaint := tracing.available():
            raise OSError(complaint)
        _isolate(setup)
    except OSError as error:
        frames.send(startup, {"failed": error.strerror or str(error)})
        return
    frames.send(startup, {"branching": BranchingKind.FORK if rooted else BranchingKind.REPLAY})
    try:
        frames.send(startup, {"missing": _preload(setup, Path("/") if rooted else Path(setup.arena))})
    except Exception as error:
        frames.send(startup, {"failed": f"{type(error).__name__}: {error}"})
        return
    startup.close()
    if rooted:
        # What is left to do is to mount.
        kernel.forgo_privileges(keep=(kernel.CAP_SYS_ADMIN,))
    make_root = partial(views.make_root, setup.limits["scratch_mb"] << 20) if rooted else None
    become = partial(become_family, setup=setup, make_branching=partial(_branching, setup))
    try:
        Nursery(control, host, become, make_root).serve()
    finally:
        shutil.rmtree(setup.arena, ignore_errors=True)


def _isolate(setup: Setup) -> None:
    """Brings this process to where it will fork families."""
    if setup.isolation not in (Isolation.NAMESPACES, Isolation.BUBBLEWRAP):
        return
    if setup.isolation == Isolation.NAMESPACES:
        views.enter_namespaces()
        views.enter_world(Path(setup.arena), map(Path, [*setup.readable, str(Path(__file__).parent)]))
    views.make_base(map(Path, setup.readable), [Path(path).resolve() for path in setup.hidden])


def _branching(setup: Setup, roots: Roots | None) -> Branching:
    if roots is not None:
        return Forking(roots)
    readable = [Path(path).resolve() for path in setup.readable]
    hidden = [Path(path).resolve() for path in setup.hidden]
    whole, split = views.leave_out(readable, hidden)
    return Replaying(Path(setup.arena), whole, split, confine=setup.isolation == Isolation.LANDLOCK)


def _preload(setup: Setup, place: Path) -> list[str]:
    """Imports the modules that interpreters start with; returns those that are not installed."""
    scratch = place / _IMPORTS
    scratch.mkdir()
    os.chdir(scratch)
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
    sys.argv = [""]
    # Without a buffer there is no lock on one, which a thread could hold while its process forks.
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = FileIO(descriptor, "w", closefd=False)
        stream = TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    # What this process was given besides the installation is not there for sandboxed code.
    places = [Path(path) for path in setup.readable]
    sys.path[:] = [entry for entry in sys.path if any(Path(entry).is_relative_to(place) for place in places)]
    missing = []
    # What a cell shows by Pillow is shown wherever Pillow is.
    with suppress(ImportError):
        importlib.import_module("PIL.ImageShow")
    for module in setup.preload:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            missing.append(module)
    # A notebook shows figures; what shows them here is no window either.
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
    os.chdir("/")
    shutil.rmtree(scratch, ignore_errors=True)
    gc.collect()
    gc.freeze()
    return missing
