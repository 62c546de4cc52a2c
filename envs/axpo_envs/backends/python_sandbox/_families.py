"""Defines the host's side of families: it has the nursery fork one for every session's beginning, and asks it.

A family is what descends from one interpreter that has executed nothing: the branches of one episode. Nothing that one
family does reaches another, and one that fails is given up alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._frames import Bounds, Frame, FrameError
from axpo_envs.backends.python_sandbox.limits import SandboxLimits
from axpo_envs.backends.python_sandbox.protocol import DROP, FAMILY, MOST_NOTE, RUN, Request
from axpo_envs.errors import InfrastructureFault

_START_S: Final = 60.0
_GRACE_S: Final = 30.0
"""How long a family may take beyond a cell's own time before it is taken for dead."""
_MOST_PACKET: Final = 4096


class FamilyRefusedError(Exception):
    """A family cannot be set up here; the message says why."""


class Family:
    """A family's process and the connection to it.

    Args:
        control: the connection.
        handle: its pidfd.
        mechanisms: what it is restricted by.
    """

    def __init__(self, control: socket.socket, handle: int, mechanisms: tuple[str, ...]) -> None:
        self.mechanisms = mechanisms
        """What its interpreters are restricted by."""
        self.users = 0
        """Requests under way."""
        self.keeps = 0
        """Interpreters that it keeps, besides the one that has executed nothing."""
        self.held: dict[str, int] = {}
        """How many objects hold the state of each interpreter, by its name."""
        self._control = control
        self._handle = handle

    def ask(self, request: Request, images: bytes, limits: SandboxLimits) -> Frame:
        """Has it serve a request.

        Raises:
            OSError, EOFError, FrameError: it does not, or not in time.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._control, [RUN], [theirs.fileno()])
            ours.settimeout(limits.wall_s * request.patience + _GRACE_S)
            frames.send(ours, asdict(request), images)
            # Of bytes that are no characters each becomes six in JSON.
            header = 12 * limits.output_bytes + 6 * MOST_NOTE + 64 * limits.figures + 4096
            answer = frames.receive(ours, Bounds(header, 3 * limits.figures * limits.figure_pixels))
        self.keeps = int(answer.header["keeps"])
        return answer

    def drop(self, key: str) -> None:
        """Tells it that an interpreter is not needed; it may be called at any moment, so it never waits."""
        with suppress(OSError):
            self._control.send(DROP + key.encode(), socket.MSG_DONTWAIT)

    def let_go(self, key: str) -> None:
        """Notes that a state is held by one object less; its interpreter is dropped with the last."""
        count = self.held.get(key, 1) - 1
        if count:
            self.held[key] = count
        else:
            self.held.pop(key, None)
            self.drop(key)

    def close(self) -> None:
        """Ends it, whatever it is doing."""
        self._control.close()
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self.abandon()

    def abandon(self) -> None:
        """Forgets it without ending it: it belongs to the process that this one was forked from."""
        self._control.close()
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


class Families:
    """The families of one sandbox, by the names of the interpreters they descend from.

    Args:
        nursery: the connection to the nursery.
        limits: how much a cell may use.
        live: interpreters to keep in all.

    Raises:
        FamilyRefusedError: no family can be set up here.
        OSError, EOFError: the nursery is gone.
    """

    def __init__(self, nursery: socket.socket, limits: SandboxLimits, live: int) -> None:
        self._nursery = nursery
        self._limits = limits
        self._live = live
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._families: dict[str, Family] = {}
        # The first one shows what can be had here, and is there for the first session.
        self._spare: Family | None = self._start()
        self.mechanisms = self._spare.mechanisms
        """What interpreters are restricted by."""

    def ask(self, request: Request, images: bytes = b"") -> Frame:
        """Has the family of a request serve it.

        Args:
            request: the request.
            images: the pixels of the images that it brings.

        Raises:
            InfrastructureFault: the family, which is given up, does not answer.
            OSError, EOFError: the nursery is gone.
        """
        name = request.path[0]
        family = self._use(name)
        try:
            return family.ask(request, images, self._limits)
        except (OSError, EOFError, FrameError, KeyError, TypeError, ValueError) as error:
            self._give_up(name, family)
            raise InfrastructureFault(f"the Python sandbox does not answer: {error}") from error
        finally:
            with self._lock:
                family.users -= 1

    def hold(self, name: str, key: str) -> Family | None:
        """Notes that a state is held by one more object; returns its family, None where there is none."""
        family = self._families.get(name)
        if family is not None:
            # Counting without a lock may drop an interpreter too early: it is replayed then.
            family.held[key] = family.held.get(key, 0) + 1
        return family

    def drop_unheld(self, name: str, key: str) -> None:
        """Drops an interpreter unless an object holds its state."""
        family = self._families.get(name)
        if family is not None and key not in family.held:
            family.drop(key)

    def close(self) -> None:
        """Ends all."""
        for family in self._all():
            family.close()

    def abandon(self) -> None:
        """Forgets all without ending them."""
        for family in self._all():
            family.abandon()

    def _all(self) -> list[Family]:
        families = [*self._families.values(), *([self._spare] if self._spare is not None else [])]
        self._families, self._spare = {}, None
        return families

    def _use(self, name: str) -> Family:
        """The family of that name, the last of the order, marked as used."""
        family = self._find(name)
        if family is None:
            fresh = self._begin()
            family = self._find(name, fresh)
            assert family is not None
            if family is not fresh:
                fresh.close()
        return family

    def _find(self, name: str, fresh: Family | None = None) -> Family | None:
        with self._lock:
            family = self._families.pop(name, None) or fresh
            self._prune()
            if family is not None:
                self._families[name] = family
                family.users += 1
            return family

    def _begin(self) -> Family:
        """A family that belongs to nobody yet."""
        with self._starting:
            spare, self._spare = self._spare, None
            try:
                return spare or self._start()
            except FamilyRefusedError as error:
                raise InfrastructureFault(f"the Python sandbox cannot begin another session: {error}") from error

    def _start(self) -> Family:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._nursery, [FAMILY], [theirs.fileno()])
            self._nursery.settimeout(_START_S)
            message, descriptors, _, _ = socket.recv_fds(self._nursery, _MOST_PACKET, 1)
            if not message:
                raise EOFError("it has ended")
            if message != FAMILY:
                raise FamilyRefusedError(message[1:].decode(errors="replace"))
            control.settimeout(_START_S)
            said = control.recv(_MOST_PACKET)
            report = json.loads(said) if said else {"failed": "its first process ended"}
            if "failed" in report:
                os.close(descriptors[0])
                raise FamilyRefusedError(report["failed"])
            control.settimeout(None)
        except BaseException:
            control.close()
            raise
        return Family(control, descriptors[0], tuple(report["mechanisms"]))

    def _prune(self) -> None:
        """Ends families that nobody needs any more, and the ones not used for longest where too much is kept."""
        kept = sum(family.keeps for family in self._families.values())
        for name, family in tuple(self._families.items()):
            if not family.users and (not family.held or kept > self._live or len(self._families) > self._live):
                kept -= family.keeps
                self._families.pop(name).close()

    def _give_up(self, name: str, family: Family) -> None:
        with self._lock:
            if self._families.get(name) is family:
                del self._families[name]
        family.close()
