"""Defines the warden: the process outside the sandbox that keeps the interpreters, and has them fork and execute.

It never executes what it is sent, and believes nothing that an interpreter says of itself: what becomes of it is
decided by what is seen from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._branching import Branching
from axpo_envs.backends.python_sandbox._digests import next_key, output_digest
from axpo_envs.backends.python_sandbox._execution import Verdict, execute, overtime
from axpo_envs.backends.python_sandbox._forking import fork, settle
from axpo_envs.backends.python_sandbox._frames import Header
from axpo_envs.backends.python_sandbox._output import Output
from axpo_envs.backends.python_sandbox._supervision import Supervisor, TamperedError
from axpo_envs.backends.python_sandbox._ward import Ward, bury_orphans
from axpo_envs.backends.python_sandbox.limits import SandboxLimits
from axpo_envs.backends.python_sandbox.protocol import DROP, MOST_IMAGES, MOST_NOTE, RUN, Request, Status

_MOST_MESSAGE: Final = 256


class _GoneError(Exception):
    """The interpreter to go on from is not there, or not any more."""


class Warden:
    """Keeps interpreters by the names of what they have executed.

    Args:
        first: the interpreter that has executed nothing, at rest.
        supervisor: decides on system calls.
        branching: how second futures come about.
        limits: how much a cell may use.
        live: interpreters to keep at most.
    """

    def __init__(
        self, first: Ward, supervisor: Supervisor, branching: Branching, limits: SandboxLimits, *, live: int
    ) -> None:
        self._first = first
        self._supervisor = supervisor
        self._branching = branching
        self._limits = limits
        self._most_live = live
        self._live: OrderedDict[str, Ward] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, control: socket.socket, nursery: socket.socket | None) -> None:
        """Serves until the host is gone.

        Args:
            control: where the host's messages arrive, one a packet.
            nursery: what is closed when the nursery ends; None where this process is ended with it anyway.
        """
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        control.setblocking(False)

        def take() -> None:
            message, descriptors, _, _ = socket.recv_fds(control, _MOST_MESSAGE, 1)
            if message == RUN and descriptors:
                task = loop.create_task(self._reply(socket.socket(fileno=descriptors[0])))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif message.startswith(DROP):
                self._drop(message.removeprefix(DROP).decode())
            else:
                gone.set()

        loop.add_reader(control, take)
        if nursery is not None:
            loop.add_reader(nursery, gone.set)
        self._first.ended.add_done_callback(lambda _: gone.set())
        await gone.wait()
        for process in self._supervisor.allowances:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)

    async def _reply(self, connection: socket.socket) -> None:
        """Serves one request; what goes wrong here and is no interpreter's doing is the host's to know."""
        connection.setblocking(False)
        with connection:
            try:
                bounds = frames.Bounds(body=MOST_IMAGES)
                frame = await frames.receive_async(connection, bounds)
                request = Request(**frame.header)
                answer, pixels = await self._run(request, frame.body)
            except _GoneError:
                kept = (depth for depth, key in enumerate(request.path) if key in self._live)
                answer, pixels = {"status": Status.MISSING, "live": max(kept, default=0)}, b""
            except Exception as error:
                answer, pixels = {"status": Status.FAULT, "note": f"{type(error).__name__}: {error}"[:MOST_NOTE]}, b""
            answer["keeps"] = len(self._live)
            with suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(connection, frames.pack(answer, pixels))

    async def _run(self, request: Request, images: bytes) -> tuple[Header, bytes]:
        deadline = asyncio.get_running_loop().time() + self._limits.wall_s * request.patience
        parent = self._find(request.path)
        output = Output(self._limits.output_bytes)
        try:
            ward, verdict = await self._go_on(parent, (request, images), output, deadline)
        finally:
            parent.users -= 1
            if not self._keeps(parent):
                await parent.end()
            text = output.finish()
            if self._limits.processes:
                bury_orphans(self._supervisor.allowances)
        note = verdict.note[:MOST_NOTE]
        answer: Header = {"status": verdict.status, "note": note, "text": text.decode("utf-8", "replace")}
        if ward is not None:
            digest = output_digest(
                succeeded=verdict.succeeded,
                text=text,
                figures=verdict.figures,
                pixels=verdict.pixels,
                scratch=ward.scratch,
            )
            answer |= {"succeeded": verdict.succeeded, "figures": verdict.figures, "digest": digest}
            self._keep(next_key(request.path[-1], request.code, digest, request.digests), ward)
        return answer, verdict.pixels

    def _find(self, path: Sequence[str]) -> Ward:
        """The interpreter to go on from, marked as used; out of reach for others where it can go on only once."""
        parent = self._first if len(path) == 1 else self._live.get(path[-1])
        if parent is None:
            raise _GoneError
        parent.users += 1
        if not self._keeps(parent):
            del self._live[path[-1]]
        elif parent is not self._first:
            self._live.move_to_end(path[-1])
        return parent

    def _keeps(self, parent: Ward) -> bool:
        """Whether an interpreter stays when it has been forked."""
        return parent is self._first or self._branching.keeps_parent

    def _keep(self, key: str, ward: Ward) -> None:
        """Adds an interpreter at rest to those kept, and ends the ones not used for longest where they get too many."""
        if key in self._live:
            # Interpreters of the same name are interchangeable.
            ward.kill()
            return

        def forget(_: object) -> None:
            if self._live.get(key) is ward:
                del self._live[key]

        self._live[key] = ward
        ward.ended.add_done_callback(forget)
        surplus = len(self._live) - self._most_live
        unused = [name for name, other in self._live.items() if not other.users]
        for name in unused[: max(0, surplus)]:
            self._drop(name)

    def _drop(self, key: str) -> None:
        ward = self._live.get(key)
        if ward is not None and not ward.users:
            del self._live[key]
            ward.kill()

    async def _go_on(
        self, parent: Ward, wanted: tuple[Request, bytes], output: Output, deadline: float
    ) -> tuple[Ward | None, Verdict]:
        """Has a child of an interpreter execute a cell; the child at rest, or None where it had to be given up."""
        request, images = wanted
        limits = self._limits
        try:
            child = await self._branch(parent, output, deadline)
        except TamperedError as error:
            return None, Verdict(status=Status.DIED, note=f"it cannot go on: {error}")
        except TimeoutError:
            return None, overtime(limits)
        try:
            child.allowance.set(processes=limits.processes, threads=limits.threads)
            header = {"code": request.code, "seed": request.seed, "scratch": child.scratch, "images": request.images}
            cell = frames.Frame(header, images)
            verdict = await execute(child, cell, output, limits, patience=request.patience, deadline=deadline)
            if verdict.status is Status.DONE:
                has_forked = child.allowance.processes < limits.processes
                return await settle(child, self._branching, self._supervisor, has_forked, deadline), verdict
        except TamperedError as error:
            late = asyncio.get_running_loop().time() > deadline
            verdict = overtime(limits) if late else Verdict(status=Status.DIED, note=str(error))
        except BaseException:
            child.kill()
            raise
        await child.end()
        return None, verdict

    async def _branch(self, parent: Ward, output: Output, deadline: float) -> Ward:
        """Forks an interpreter at rest; the child has a place of its own and waits for its cell.

        Raises:
            TamperedError: its state does not allow it.
            TimeoutError: the deadline has passed.
        """
        async with asyncio.timeout_at(deadline):
            await parent.forking.acquire()
        try:
            if parent.ended.done():
                raise _GoneError
            prepared = await self._branching.prepare(parent, deadline)
            try:
                child = await fork(parent, prepared, output, self._supervisor)
            except BaseException:
                prepared.place.remove()
                raise
            finally:
                prepared.close()
        finally:
            parent.forking.release()
        output.close_writing()
        child.place = prepared.place
        return child
