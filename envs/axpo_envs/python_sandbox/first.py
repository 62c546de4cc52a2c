"""Defines how a process becomes a sandbox's first interpreter: give up all it must not have, then import the modules.

Every other interpreter is forked from it, directly or through others, and inherits what it gave up.
"""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import socket
import sys
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from axpo_envs.python_sandbox import frames, kernel, landlock, seccomp
from axpo_envs.python_sandbox.cell import Display
from axpo_envs.python_sandbox.interpreter import LINK, Interpreter
from axpo_envs.python_sandbox.protocol import Setup
from axpo_envs.python_sandbox.report import Isolation
from axpo_envs.python_sandbox.views import BASE, SCRATCH, Root


def become_first(link: socket.socket, setup: Setup, root: Root | None) -> NoReturn:
    """Makes this process, a child of the warden, the first interpreter.

    It sends two frames on its link: what it is restricted by, with the listener of the filter on system calls, and,
    when the modules are imported, a second one. A frame with the key "failed" stands for either.
    """
    kernel.die_with_parent()
    os.setpgid(0, 0)
    os.dup2(link.fileno(), LINK, inheritable=False)
    link = socket.socket(fileno=LINK)
    if root is not None:
        os.chdir(root.folder)
    os.closerange(3, LINK)
    os.closerange(LINK + 1, 1 << 20)
    try:
        _restrict(link, setup, root)
    except OSError as error:
        frames.send(link, {"failed": error.strerror or str(error)})
        os._exit(1)
    try:
        missing = _preload(setup, rooted=root is not None)
    except Exception as error:
        frames.send(link, {"failed": f"{type(error).__name__}: {error}"})
        os._exit(1)
    frames.send(link, {"missing": missing})
    limits = setup.limits
    display = Display(text=limits["output_bytes"], figures=limits["figures"], pixels=limits["figure_pixels"])
    Interpreter(link, display).serve()


def _restrict(link: socket.socket, setup: Setup, root: Root | None) -> None:
    """Gives up privileges, files and system calls; reports which mechanisms see to it."""
    if setup.isolation == Isolation.LANDLOCK and not landlock.version():
        raise OSError("this kernel offers no Landlock")
    mechanisms = ["resource limits"]
    descriptors: tuple[int, ...] = ()
    if root is not None:
        mechanisms.append("namespaces (user, mount, pid, network, ipc, uts, cgroup)")
    if setup.isolation != Isolation.NONE:
        kernel.forgo_privileges(keep=() if root is None else (kernel.CAP_SYS_CHROOT,))
        mechanisms.append("no_new_privs")
    if root is not None:
        if landlock.version():
            landlock.confine(readable=(), writable=(str(BASE),))
        os.chroot(".")
    if landlock.version() and setup.isolation != Isolation.NONE:
        mechanisms.append(f"Landlock (version {landlock.version()})")
    if setup.isolation != Isolation.NONE:
        descriptors = (seccomp.install_filter(confine_metadata=root is None),)
        mechanisms.append("seccomp")
    frames.send(link, {"mechanisms": mechanisms}, descriptors=descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def _preload(setup: Setup, *, rooted: bool) -> list[str]:
    """Imports the modules that interpreters start with; returns those that are not installed."""
    scratch = SCRATCH if rooted else setup.arena
    os.chdir(scratch)
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    # What this process was given besides the installation is not there for sandboxed code.
    places = [Path(path) for path in setup.readable]
    sys.path[:] = [entry for entry in sys.path if any(Path(entry).is_relative_to(place) for place in places)]
    missing = []
    for name in setup.preload:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            missing.append(name)
    # A notebook shows figures; what shows them here is no window either.
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
    for name in [name for name in sys.modules if name.split(".")[0] == "axpo_envs"]:
        del sys.modules[name]
    for entry in Path(scratch).iterdir():
        shutil.rmtree(entry, ignore_errors=True)
    gc.collect()
    gc.freeze()
    return missing
