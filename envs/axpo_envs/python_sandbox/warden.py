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

from axpo_envs.python_sandbox import frames
from axpo_envs.python_sandbox.branching import Branching
from axpo_envs.python_sandbox.digests import next_key, output_digest
from axpo_envs.python_sandbox.execution import Verdict, execute
from axpo_envs.python_sandbox.forking import fork, replace
from axpo_envs.python_sandbox.frames import Header
from axpo_envs.python_sandbox.limits import SandboxLimits
from axpo_envs.python_sandbox.output import Output
from axpo_envs.python_sandbox.protocol import DROP, RUN, Request, Status
from axpo_envs.python_sandbox.supervision import Supervisor, TamperedError, has_threads
from axpo_envs.python_sandbox.ward import Ward, bury_orphans

_MOST_MESSAGE: Final = 256


class _GoneError(Exception):
    """The interpreter to go on from is not there, or not any more."""


class Warden:
    """Keeps interpreters by the names of what they have executed.

    Args:
        first: the interpreter that has executed nothing.
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
        first.pause()

    async def serve(self, control: socket.socket, host: int) -> None:
        """Serves until the host is gone.

        Args:
            control: where the host's messages arrive, one a packet.
            host: a pidfd of the host.
        """
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()

        def take() -> None:
            message, descriptors, _, _ = socket.recv_fds(control, _MOST_MESSAGE, 1)
            if message == RUN:
                task = loop.create_task(self._reply(socket.socket(fileno=descriptors[0])))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif message.startswith(DROP):
                self._drop(message.removeprefix(DROP).decode())
            else:
                gone.set()

        loop.add_reader(control, take)
        loop.add_reader(host, gone.set)
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
                request = Request(**(await frames.receive_async(connection)).header)
                answer, pixels = await self._run(request)
            except _GoneError:
                kept = (depth for depth, key in enumerate(request.path) if key in self._live)
                answer, pixels = {"status": Status.MISSING, "live": max(kept, default=0)}, b""
            except Exception as error:
                answer, pixels = {"status": Status.FAULT, "note": f"{type(error).__name__}: {error}"}, b""
            with suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(connection, frames.pack(answer, pixels))

    async def _run(self, request: Request) -> tuple[Header, bytes]:
        parent = self._find(request.path)
        output = Output(self._limits.output_bytes)
        try:
            ward, verdict = await self._go_on(parent, request, output)
        finally:
            parent.users -= 1
            if not self._keeps(parent):
                await parent.end()
            text = output.finish()
            bury_orphans(self._supervisor.allowances)
        answer: Header = {"status": verdict.status, "note": verdict.note, "text": text.decode("utf-8", "replace")}
        if ward is not None:
            digest = output_digest(
                succeeded=verdict.succeeded,
                text=text,
                figures=verdict.figures,
                pixels=verdict.pixels,
                scratch=ward.scratch,
            )
            answer |= {"succeeded": verdict.succeeded, "figures": verdict.figures, "digest": digest}
            self._keep(next_key(request.path[-1], request.code, digest), ward)
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

    async def _go_on(self, parent: Ward, request: Request, output: Output) -> tuple[Ward | None, Verdict]:
        """Has a child of an interpreter execute a cell; the child at rest, or None where it had to be given up."""
        try:
            child = await self._branch(parent, output)
        except TamperedError as error:
            return None, Verdict(status=Status.DIED, note=f"it cannot go on: {error}")
        try:
            child.allowance.set(processes=self._limits.processes, threads=self._limits.threads)
            cell = {"code": request.code, "seed": request.seed}
            verdict = await execute(child, cell, output, self._limits, request.patience)
            if verdict.status is Status.DONE:
                return await self._settle(child), verdict
        except TamperedError as error:
            verdict = Verdict(status=Status.DIED, note=str(error))
        except BaseException:
            child.kill()
            raise
        await child.end()
        return None, verdict

    async def _branch(self, parent: Ward, output: Output) -> Ward:
        """Forks an interpreter at rest; the child has a place of its own and waits for its cell."""
        async with parent.forking:
            if parent.ended.done():
                raise _GoneError
            prepared = self._branching.prepare(parent)
            parent.resume()
            try:
                descriptors = (output.writing, *prepared.descriptors)
                child = await fork(parent, prepared.passed, descriptors, self._supervisor)
            except BaseException:
                prepared.place.remove()
                raise
            finally:
                for descriptor in prepared.descriptors:
                    os.close(descriptor)
            parent.pause()
        output.close_writing()
        child.place = prepared.place
        child.own |= {output.name}
        await self._check(child)
        child.resume()
        return child

    async def _settle(self, ward: Ward) -> Ward:
        """An interpreter that has executed a cell, at rest, rid of the threads and processes that the cell started."""
        has_forked = ward.allowance.processes < self._limits.processes
        # It may not start anything once it has been looked at.
        ward.allowance.set()
        if has_forked or has_threads(ward.process):
            ward = await replace(ward, self._supervisor)
        await self._check(ward)
        return ward

    async def _check(self, ward: Ward) -> None:
        """Pauses an interpreter, for one that runs could hide things from view, and checks what it reaches."""
        ward.pause()
        try:
            self._branching.check(ward)
        except TamperedError:
            await ward.end()
            raise
