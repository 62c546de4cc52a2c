"""Defines what the warden allows of the system calls that wait for it, and what it sees of a process from outside."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox import _seccomp as seccomp
from axpo_envs.backends.python_sandbox._interpreter import LINK
from axpo_envs.backends.python_sandbox._trees import KEPT_FLAGS, OpenFile
from axpo_envs.backends.python_sandbox._views import SCRATCH, Root

_CLONE_THREAD: Final = 0x10000
_CLONE_NAMESPACES: Final = 0x7E020000
_FORK_FLAGS: Final = 0x1200000 | 0xFF
"""Flags of `clone` that make a process as `fork` does: where ids are stored, the signal at its end."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class TamperedError(Exception):
    """A process is not as an untampered interpreter would be; the message says in what."""


@dataclass(slots=True)
class Allowance:
    """What the processes of one interpreter may do at this moment."""

    fork: bool = False
    """The interpreter itself may fork once."""
    processes: int = 0
    """Processes that it may still start."""
    threads: int = 0
    """Threads that it may still start."""

    def set(self, *, fork: bool = False, processes: int = 0, threads: int = 0) -> None:
        """Begins anew with what is allowed from now on."""
        self.fork, self.processes, self.threads = fork, processes, threads

    def take(self, question: seccomp.Question, *, is_interpreter: bool) -> int:
        """Takes leave to start the process or thread that is asked for; 0, or the error number where there is none."""
        flags = question.arguments[0] if question.call == "clone" else 0
        if flags & _CLONE_NAMESPACES:
            return errno.EPERM
        # A child that shares memory or files with its parent would outlive it in part.
        if self.fork and is_interpreter and question.call != "vfork" and not flags & ~_FORK_FLAGS:
            self.fork = False
            return 0
        threaded = bool(flags & _CLONE_THREAD)
        if not (self.threads if threaded else self.processes):
            return errno.EAGAIN
        self.threads -= threaded
        self.processes -= not threaded
        return 0


class Supervisor:
    """Answers the questions of the filter on system calls.

    Args:
        listener: where the questions come from.
    """

    def __init__(self, listener: int) -> None:
        self.listener = listener
        """Where the questions come from."""
        self.allowances: dict[int, Allowance] = {}
        """What each interpreter's process group may do, by its number."""
        self.held: dict[int, Sequence[tuple[int, int]]] = {}
        """Processes that are held and make calls on the warden's behalf, each with the file descriptors that it is to
        be given: the warden's, and the number that it gets in the process."""

    def admit(self, group: int, allowance: Allowance) -> None:
        """Gets to know a process group and what it may do; it may do nothing before."""
        self.allowances[group] = allowance

    def dismiss(self, group: int) -> None:
        """Forgets a process group, which has ended."""
        self.allowances.pop(group, None)

    def answer_waiting(self) -> None:
        """Decides on the next question, if there is one."""
        question = seccomp.receive(self.listener) if seccomp.waiting(self.listener) else None
        if question is None:
            return
        if question.process in self.held and question.call == seccomp.ARRIVE and not question.arguments[0]:
            refusal = 0
            for descriptor, number in self.held[question.process]:
                try:
                    seccomp.give_descriptor(self.listener, question, descriptor, number)
                except OSError as error:
                    refusal = error.errno or errno.EPERM
            seccomp.answer(self.listener, question, refusal, pretend=True)
        else:
            seccomp.answer(self.listener, question, self._refusal(question))

    def _refusal(self, question: seccomp.Question) -> int:
        if question.process in self.held:
            # It executes nothing of its own: the call is the warden's.
            return 0
        try:
            group = os.getpgid(question.process)
        except ProcessLookupError:
            return errno.EPERM
        match question.call:
            case "clone" | "fork" | "vfork":
                allowance = self.allowances.get(group, Allowance())
                return allowance.take(question, is_interpreter=question.process == group)
            case "kill" | "tgkill":
                return 0 if _targets_itself(question) else errno.EPERM
            case _:
                return errno.EPERM


def _targets_itself(question: seccomp.Question) -> bool:
    """Whether a signal goes to its sender or its process group; ids count in the sender's namespace."""
    target = question.arguments[0] & 0xFFFFFFFF
    try:
        return target == 0 or target == int(_status(question.process)["NStgid"].split()[-1])
    except (OSError, KeyError):
        return False


def memory_in_use(process: int) -> int:
    """Bytes of address space."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def processor_seconds(process: int, *, with_group: bool) -> float:
    """Processor time of all threads of a process and of those that it has waited for.

    Args:
        process: its id.
        with_group: that of the other processes of its group, too.
    """
    total = 0
    for folder in Path("/proc").glob("[0-9]*") if with_group else (Path(f"/proc/{process}"),):
        with suppress(OSError, IndexError):
            # The name in front of these fields is in parentheses and may contain any character.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == process:
                total += sum(map(int, fields[11:15]))
    return total / _TICKS


def has_threads(process: int) -> bool:
    """Whether it has more threads than its first, or has ended."""
    try:
        return int(_status(process)["Threads"]) != 1
    except (OSError, KeyError):
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What an interpreter at rest has open."""

    files: tuple[OpenFile, ...] = ()
    """Its files, but for those it was started with."""
    folder: int = 0
    """The number of its working folder in its scratch folder; 0 where it is elsewhere."""
    path: str = "."
    """The path of a working folder to have where its own cannot be found by number."""


def check_view(process: int, root: Root, own: frozenset[str]) -> View:
    """Checks that an interpreter at rest reaches nothing but its own root, and finds out what it has open.

    Args:
        process: its id.
        root: its root.
        own: what the pipes and sockets given to it are called: `pipe:[...]`, `socket:[...]`.

    Raises:
        TamperedError: its root is another, or it holds on to something outside.
    """
    folder = Path(f"/proc/{process}")
    files = []
    try:
        if has_threads(process):
            raise TamperedError("it has threads though it may have none")
        if not root.is_root_of(folder):
            raise TamperedError("its root is another's")
        if not root.has_folder(folder / "cwd"):
            raise TamperedError("its working folder is another's")
        for entry in (folder / "fd").iterdir():
            if entry.name in ("1", "2", str(LINK)) and str(entry.readlink()) in own:
                continue
            status = entry.stat()
            if stat.S_ISREG(status.st_mode) and int(entry.name) > 2 and root.has_file(entry):
                files.append(_open_file(folder, int(entry.name), status, root))
            elif not stat.S_ISCHR(status.st_mode):
                raise TamperedError("it holds on to something that is not its own")
        where = (folder / "cwd").stat()
        inside = where.st_dev == root.device
        path = SCRATCH.lstrip("/") if inside else str((folder / "cwd").readlink().relative_to("/"))
    except (OSError, ValueError) as error:
        raise TamperedError(f"it cannot be looked into ({str(error)[:100]})") from error
    return View(files=tuple(files), folder=where.st_ino if inside else 0, path=path)


def _open_file(process: Path, number: int, status: os.stat_result, root: Root) -> OpenFile:
    text = (process / "fdinfo" / str(number)).read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    flags = int(fields["flags"], 8)
    if flags & os.O_PATH:
        # The kernel gives no such handle to another process.
        raise TamperedError("it holds on to the path of a file")
    return OpenFile(
        number=number,
        flags=flags & KEPT_FLAGS,
        position=int(fields["pos"]),
        inode=status.st_ino if status.st_dev == root.device else 0,
        deleted=status.st_nlink == 0,
    )


def _status(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
