"""Defines what the warden allows of the system calls that wait for it, and what it sees of a process from outside."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axpo_envs.python_sandbox import kernel, seccomp
from axpo_envs.python_sandbox.interpreter import LINK
from axpo_envs.python_sandbox.views import Root

_CLONE_THREAD: Final = 0x10000
_CLONE_NAMESPACES: Final = 0x7E020000
_FORK_FLAGS: Final = 0x1208000 | 0xFF
"""Flags of `clone` that make a process as `fork` does: its parent, where ids are stored, the signal at its end."""
_KEPT_FLAGS: Final = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC | os.O_DSYNC
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class TamperedError(Exception):
    """A process is not as an untampered interpreter would be; the message says in what."""


@dataclass(slots=True)
class Allowance:
    """What the processes of one interpreter may do at this moment."""

    fork: bool = False
    """The interpreter itself may fork once, and that child change its root."""
    child_entering: bool = False
    """It has forked: its child may change its root."""
    processes: int = 0
    """Processes that it may still start."""
    threads: int = 0
    """Threads that it may still start."""

    def set(self, *, fork: bool = False, processes: int = 0, threads: int = 0) -> None:
        """Begins anew with what is allowed from now on."""
        self.fork, self.child_entering = fork, False
        self.processes, self.threads = processes, threads

    def take(self, question: seccomp.Question, *, is_interpreter: bool) -> int:
        """Takes leave to start the process or thread that is asked for; 0, or the error number where there is none."""
        flags = question.arguments[0] if question.call == "clone" else 0
        if flags & _CLONE_NAMESPACES:
            return errno.EPERM
        # A child that shares memory or files with its parent would share them with its siblings.
        if self.fork and is_interpreter and question.call != "vfork" and not flags & ~_FORK_FLAGS:
            self.fork, self.child_entering = False, True
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
        listener: where the questions come from; None where no filter is in force.
    """

    def __init__(self, listener: int | None) -> None:
        self.listener = listener
        """Where the questions come from."""
        self.allowances: dict[int, Allowance] = {}
        """What each interpreter's process group may do, by its number."""

    def admit(self, group: int, allowance: Allowance) -> None:
        """Gets to know a process group and what it may do; it may do nothing before."""
        self.allowances[group] = allowance

    def dismiss(self, group: int) -> None:
        """Forgets a process group, which has ended."""
        del self.allowances[group]

    def answer_next(self) -> None:
        """Decides on the next question."""
        assert self.listener is not None
        question = seccomp.receive(self.listener)
        if question is not None:
            seccomp.answer(self.listener, question, self._refusal(question))

    def _refusal(self, question: seccomp.Question) -> int:
        try:
            group = os.getpgid(question.process)
        except ProcessLookupError:
            return errno.EPERM
        allowance = self.allowances.get(group, Allowance())
        match question.call:
            case "chroot":
                return 0 if allowance.child_entering and question.process != group else errno.EPERM
            case "clone" | "fork" | "vfork":
                return allowance.take(question, is_interpreter=question.process == group)
            case _:
                return 0 if _targets_itself(question) else errno.EPERM


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


def processor_seconds(process: int) -> float:
    """Processor time of all its threads."""
    # The name in front of these fields is in parentheses and may contain any character.
    fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def has_threads(process: int) -> bool:
    """Whether it has more threads than its first, or has ended."""
    try:
        return int(_status(process)["Threads"]) != 1
    except (OSError, KeyError):
        return True


def check_view(process: int, root: Root, own: frozenset[str]) -> None:
    """Checks that an interpreter reaches nothing but its own root.

    Args:
        process: its id.
        root: its root.
        own: what the pipes and sockets given to it are called: `pipe:[...]`, `socket:[...]`.

    Raises:
        TamperedError: its root is another, or it holds on to something outside.
    """
    folder = Path(f"/proc/{process}")
    try:
        if not root.is_root_of(folder):
            raise TamperedError("it did not take its root")
        if not root.has_folder(folder / "cwd"):
            raise TamperedError("its working folder is another's")
        for entry in (folder / "fd").iterdir():
            if entry.name in ("1", "2", str(LINK)) and str(entry.readlink()) in own:
                continue
            mode = entry.stat().st_mode
            if not stat.S_ISCHR(mode) and not (stat.S_ISREG(mode) and root.has_file(entry)):
                raise TamperedError("it holds on to something that is not its own")
    except OSError as error:
        raise TamperedError(f"it cannot be looked into ({error.strerror})") from error


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that was open in an interpreter, opened again for its child."""

    number: int
    """The interpreter's file descriptor."""
    copy: int
    """The new file descriptor, on the child's copy of the file."""


def reopen_files(process: int, copy: Root) -> list[OpenFile]:
    """Opens an interpreter's open files again where its child has its copies, at the same positions.

    Raises:
        TamperedError: an open file is not where an untampered interpreter could have it.
    """
    files: list[OpenFile] = []
    try:
        for entry in Path(f"/proc/{process}/fd").iterdir():
            if int(entry.name) > 2 and stat.S_ISREG(entry.stat().st_mode):
                files.append(OpenFile(int(entry.name), _reopen(process, int(entry.name), copy)))
    except (OSError, ValueError) as error:
        for file in files:
            os.close(file.copy)
        raise TamperedError(f"an open file cannot be found again ({error})") from error
    return files


def _reopen(process: int, number: int, copy: Root) -> int:
    entry = Path(f"/proc/{process}/fd/{number}")
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/fdinfo/{number}").read_text().splitlines())
    if entry.stat().st_nlink == 0:
        opened = os.open(copy.scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with entry.open("rb") as source:
            while os.sendfile(opened, source.fileno(), None, 1 << 20):
                pass
    else:
        folder = copy.open()
        try:
            # The path begins at the top of the root, for it is mounted nowhere.
            path = entry.readlink().relative_to("/")
            opened = kernel.open_beneath(folder, str(path), int(fields["flags"], 8) & _KEPT_FLAGS)
        finally:
            os.close(folder)
    os.lseek(opened, int(fields["pos"]), os.SEEK_SET)
    return opened


def _status(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
