"""Defines `ask_worker`, which has a process compare mathematical answers, and ends it when it takes too long.

Too long is told from processor time alone, so that a verdict does not depend on what else the machine does. The worker
pool of tools counts wall-clock time, and its workers import what tools need; these processes import sympy alone.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final, TypedDict

from axpo_envs.errors import InfrastructureFault

MAX_WORKERS: Final = 4
"""Processes at the same time; further threads wait for one."""

_PROGRAM: Final = Path(__file__).with_name("_math_worker.py")
_INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV")


class Reply(TypedDict):
    """What a process says of an answer."""

    parsed: bool
    """The reference can be read as mathematics."""
    equal: bool
    """The answer equals it."""


def ask_worker(reference: str, answer: str | None, timeout_s: float, patience_s: float) -> Reply | None:
    """Compares an answer with the reference; without an answer, only tells whether the reference can be read.

    Args:
        reference: the reference.
        answer: the answer; None for none.
        timeout_s: seconds of processor time for the comparison.
        patience_s: seconds to wait for it, however little processor time it got.

    Returns:
        What the process says; `equal` is False where it used up its processor time. None where the process ended by
        itself.

    Raises:
        InfrastructureFault: there was no verdict in time, though there was processor time left.
    """
    pool = _pool()
    with pool.places:
        worker = pool.take()
        try:
            reply = worker.ask(reference, answer, timeout_s, patience_s)
        except BaseException:
            worker.end()
            raise
        if worker.running:
            pool.idle.append(worker)
        return reply


class _Worker:
    """One process. It ends with its input, hence with this one."""

    def __init__(self) -> None:
        # The text of an answer may make sympy evaluate anything: keys in the environment are none of its business.
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, reference: str, answer: str | None, timeout_s: float, patience_s: float) -> Reply | None:
        request = {"reference": reference, "answer": answer, "seconds": timeout_s}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            self.end()
            return None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        if not poll.poll(1000 * patience_s):
            raise InfrastructureFault(
                f"the process of the reward 'math_verify' gave no verdict within {patience_s:g} s, of which it may "
                f"compute {timeout_s:g} s: the machine is overloaded, or the process was stopped"
            )
        line = self._process.stdout.readline()
        if line.endswith(b"\n"):
            reply: Reply = json.loads(line)
            return reply
        status = self.end(grace_s=patience_s)
        if status == -signal.SIGKILL:
            raise InfrastructureFault("the process of the reward 'math_verify' was killed, for want of memory perhaps")
        return Reply(parsed=False, equal=False) if status == -signal.SIGPROF else None

    def end(self, grace_s: float = 1.0) -> int:
        """Ends the process, which has `grace_s` seconds to end by itself; returns its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            status = self._process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process.stdout.close()
        return status


class _Pool:
    """The processes of this one."""

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.places = threading.BoundedSemaphore(MAX_WORKERS)

    def take(self) -> _Worker:
        """An idle process, or a new one. Idle ones may have been killed to free memory."""
        while True:
            try:
                worker = self.idle.pop()
            except IndexError:
                return _Worker()
            if worker.running:
                return worker
            worker.end()


_POOLS: Final[dict[int, _Pool]] = {}


@atexit.register
def _end_idle_workers() -> None:
    idle = _pool().idle
    while idle:
        idle.pop().end()


def _pool() -> _Pool:
    # A forked child must leave its parent's processes alone.
    process = os.getpid()
    return _POOLS.get(process) or _POOLS.setdefault(process, _Pool())
