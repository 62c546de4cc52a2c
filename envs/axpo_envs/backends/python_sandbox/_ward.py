"""Defines an interpreter's process as the warden sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox._lines import Line
from axpo_envs.backends.python_sandbox._registers import Rest
from axpo_envs.backends.python_sandbox._supervision import Allowance, View
from axpo_envs.backends.python_sandbox._views import SCRATCH, Root

_END_S: Final = 10.0
"""For the kernel to end a process that was killed; one that takes longer takes the warden with it."""


class Ward:
    """An interpreter's process: a child of the warden, and the leader of a process group of its own.

    Args:
        process: its id.
        link: the connection to it.
        own: what the pipes and sockets given to it are called in /proc.

    Raises:
        OSError: there is no such child.
    """

    def __init__(self, process: int, link: socket.socket, own: frozenset[str]) -> None:
        os.setpgid(process, process)
        self.process = process
        self.link = link
        self.own = own
        """What the pipes and sockets given to it are called in /proc."""
        self.allowance = Allowance()
        """What it may do."""
        self.heir = 0
        """A process of its group that is not to end with it."""
        self.place: Root | Line | None = None
        """Its root or scratch folder, removed when it ends; None if it has none, or another has it now."""
        self.rest: Rest | None = None
        """Its registers while it is held; None while it runs."""
        self.view = View()
        """What it has open, as found when it came to rest."""
        self.users = 0
        """Requests that are going on from it: it must not be ended."""
        self.forking = asyncio.Lock()
        """Held while it forks."""
        self.ended: asyncio.Future[os.waitid_result | None] = asyncio.get_running_loop().create_future()
        """Done when it has ended, and how."""
        self._handle = os.pidfd_open(process)
        link.setblocking(False)
        asyncio.get_running_loop().add_reader(self._handle, self._bury)

    @property
    def scratch(self) -> str:
        """The path of the scratch folder as it sees it."""
        return str(self.place.scratch) if isinstance(self.place, Line) else SCRATCH

    def kill(self) -> None:
        """Ends it and all that it has started."""
        # Until it is buried its id is not given to another process.
        if not self.ended.done():
            os.kill(self.process, signal.SIGKILL)

    async def end(self) -> None:
        """Kills it and waits for its end.

        Raises:
            RuntimeError: the kernel does not end it.
        """
        self.kill()
        await asyncio.wait({self.ended}, timeout=_END_S)
        if not self.ended.done():
            raise RuntimeError("an interpreter that was killed does not end")

    def _kill_started(self) -> None:
        """Ends what it has started, its heir excepted. Nothing is started meanwhile: its allowance is used up."""
        if not self.heir:
            with suppress(ProcessLookupError):
                os.killpg(self.process, signal.SIGKILL)
            return
        for entry in Path("/proc").iterdir():
            with suppress(ValueError, ProcessLookupError):
                if os.getpgid(int(entry.name)) == self.process and int(entry.name) not in (self.process, self.heir):
                    os.kill(int(entry.name), signal.SIGKILL)

    def _bury(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._handle)
        self._kill_started()
        result = os.waitid(os.P_PIDFD, self._handle, os.WEXITED)
        os.close(self._handle)
        # The loop would take what is opened next under the same number for this link.
        loop.remove_reader(self.link)
        loop.remove_writer(self.link)
        self.link.close()
        if isinstance(self.place, Root):
            self.place.remove()
        elif self.place is not None:
            # Many files on disk take long to delete.
            loop.run_in_executor(None, self.place.remove)
        self.ended.set_result(result)


def bury_orphans(wards: Collection[int]) -> None:
    """Buries what cells have started and what has become this process's child since; not the wards themselves."""
    own = str(os.getpid())
    for folder in Path("/proc").glob("[0-9]*"):
        # Waiting for whichever child has ended would also take the stops of those that are held.
        with suppress(OSError, IndexError):
            state, parent, *_ = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if (state, parent) == ("Z", own) and int(folder.name) not in wards:
                os.waitid(os.P_PID, int(folder.name), os.WEXITED | os.WNOHANG)
