"""Defines the loop of a sandboxed interpreter: it waits for a cell, executes it, reports, and waits for the next.

    waiting --fork--> child: is sent a cell, executes it, reports, and waits: the next snapshot
       `--fork--> another child: the same memory, its own scratch folder, another future

An interpreter that waits is a snapshot. The warden holds it there for good and has it fork from outside: no code of its
own runs for that, neither in it nor in its child. Whatever must hold of it is enforced or checked by the warden, for
the executed code can tamper with this loop. Left alone, it waits with one thread, all signals blocked, and no open file
descriptors but files and its link.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import random
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox._cell import Display, Executed, execute, write
from axpo_envs.backends.python_sandbox._pictures import give

LINK: Final = 200
"""File descriptor of an interpreter's link to the warden."""
MOST_DESCRIPTORS: Final = 256
"""Limit of an interpreter's open files."""
READY: Final = b"r"
"""What a fork says that an interpreter has made of itself to be rid of threads."""
NO_FORK: Final = b"n"
"""What the interpreter says in its place when the kernel refused to fork."""

_THREADS_S: Final = 0.25
"""For threads that a cell leaves behind to end where they can."""


class Interpreter:
    """One interpreter process, its own child and its child's child: the object is copied with each fork.

    Args:
        display: how much is shown.
        rooted: it has a root of its own, in which the scratch folder is always at the same place.
    """

    def __init__(self, display: Display, *, rooted: bool) -> None:
        self._display = display
        self._rooted = rooted
        self._main = ModuleType("__main__")
        self._cells = 0
        self._mask: set[int | signal.Signals] = set()
        sys.modules["__main__"] = self._main

    def serve(self) -> NoReturn:
        """Executes what it is sent, in a child of its own each time though it does not know."""
        self._mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        while True:
            frame = frames.read(LINK)
            if "alone" in frame.header:
                _renew()
            else:
                self._execute(frame.header, frame.body)

    def _execute(self, header: frames.Header, images: bytes) -> None:
        """Executes a cell and reports."""
        if not self._cells:
            self._begin(header)
        self._cells += 1
        give(self._main.__dict__, header["images"], images, Path(header["scratch"]))
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        executed = execute(header["code"], self._cells, self._main, self._display)
        write("")
        _end_threads()
        self._mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        _close_connections()
        _report(executed)

    def _begin(self, header: frames.Header) -> None:
        """Before the first cell."""
        scratch = header["scratch"]
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        os.chdir(scratch)
        seed(header["seed"])


def seed(value: int) -> None:
    """Makes randomness a function of a number: `random`, `secrets`, `os.urandom`, and numpy's where it is loaded.

    Not that of `random.Random()` without a seed, nor time.
    """
    stream = random.Random(value)
    for module, name in ((os, "urandom"), (random, "_urandom")):
        setattr(module, name, stream.randbytes)
    random.seed(value)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(value % 2**32)


def _report(executed: Executed) -> None:
    sizes = [[figure.width, figure.height] for figure in executed.figures]
    body = b"".join(figure.pixels for figure in executed.figures)
    frames.write(LINK, {"succeeded": executed.succeeded, "figures": sizes}, body)


def _close_connections() -> None:
    """Closes all open file descriptors but those of files and the link."""
    for descriptor in range(3, MOST_DESCRIPTORS):
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if descriptor != LINK and not (is_file and not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_PATH):
                os.close(descriptor)
        except OSError:
            continue


def _end_threads() -> None:
    """Has the threads that a cell leaves behind raise SystemExit, so that they let go of the locks they hold."""
    deadline = time.monotonic() + _THREADS_S
    while (left := _other_threads()) and time.monotonic() < deadline:
        for thread in left:
            # Again and again, for a thread may catch it once.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(SystemExit))
        time.sleep(0.005)


def _other_threads() -> list[int]:
    return [thread for thread in sys._current_frames() if thread != threading.get_ident()]


def _renew() -> None:
    """Goes on as a fork of this process, without the threads that did not end; this process waits for its end."""
    randomness = random.getstate()
    try:
        child = kernel.fork_without_threads()
    except OSError:
        os.write(LINK, NO_FORK)
        return
    while child:
        signal.pause()
    # Python's own fork gives the child another state of `random`.
    random.setstate(randomness)
    _open_locks()
    os.write(LINK, READY)


def _open_locks() -> None:
    """Opens the locks that are held by nobody any more: a thread that has vanished can let go of none."""
    kinds = (type(threading.Lock()), type(threading.RLock()))
    # The oldest objects are out of the collector's sight.
    gc.unfreeze()
    for holder in gc.get_objects():
        for held in gc.get_referents(holder):
            if type(held) in kinds and not getattr(held, "_is_owned", bool)():
                held._at_fork_reinit()
    gc.freeze()
