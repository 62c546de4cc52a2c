"""Defines `CommandRunner`, which executes commands, each in a sandbox of its own, in a copy of a tree of files."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

from axpo_envs.backends.commands.limits import CommandLimits
from axpo_envs.backends.commands.outcomes import FOLDER, Command, Outcome, read_answer
from axpo_envs.backends.commands.trees import EntryKind, FileTree, TreeEntry, content_digest
from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._frames import Bounds, Frame, FrameError
from axpo_envs.backends.python_sandbox._installation import hidden_paths, readable_paths
from axpo_envs.backends.python_sandbox._views import find_ways
from axpo_envs.backends.python_sandbox.first_process import RefusedError
from axpo_envs.backends.python_sandbox.protocol import BOOTSTRAP, LEAVE_ROOT
from axpo_envs.backends.python_sandbox.report import Isolation
from axpo_envs.backends.python_sandbox.wrapping import bubblewrap, runs_as_root
from axpo_envs.errors import EnvConfigError, InfrastructureFault

_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl/certs")
_GRACE_S: Final = 60.0
"""For the sandbox to start, and to send back its files, beside the command."""
_PACKAGE: Final = Path(__file__).parents[2]
_PYTHON: Final = (sys.executable, "-I", "-S", "-B", "-c")
_GUEST: Final = BOOTSTRAP.replace("python_sandbox._launcher", "commands._guest")
_AT_A_TIME: Final = 16
_ISOLATIONS: Final = (Isolation.BUBBLEWRAP, Isolation.NAMESPACES)


class CommandRunner:
    """Executes commands.

    Args:
        limits: how much one may use.
        isolation: `bubblewrap` or `namespaces`; None for what can be had.

    Raises:
        EnvConfigError: no such sandbox can be had here; the message says why.
    """

    def __init__(self, limits: CommandLimits, isolation: Isolation | str | None = None) -> None:
        self._limits = limits
        self.isolation = _chosen(isolation)
        """What confines commands."""
        self._slots = threading.BoundedSemaphore(_AT_A_TIME)

    def run(self, command: Command) -> Outcome:
        """Executes a command.

        Raises:
            InfrastructureFault: the sandbox failed.
        """
        with self._slots:
            answer = _converse(self.isolation, command, self._limits)
        return read_answer(answer, command)


def available_isolations() -> tuple[Isolation, ...]:
    """The isolations that commands can have here, the strongest first; each is tried once."""
    return tuple(isolation for isolation in _ISOLATIONS if not _refusal(isolation))


def _chosen(isolation: Isolation | str | None) -> Isolation:
    if isolation is not None and isolation not in _ISOLATIONS:
        raise EnvConfigError(f"isolation: expected one of {', '.join(_ISOLATIONS)}, or None; got {isolation!r}")
    refusals = []
    for candidate in _ISOLATIONS if isolation is None else (Isolation(isolation),):
        if not (refusal := _refusal(candidate)):
            return candidate
        refusals.append(f"{candidate}: {refusal}")
    raise EnvConfigError(
        f"no sandbox for commands can be set up here ({'; '.join(refusals)}): it takes Linux 5.12 and leave to "
        "make user namespaces, or the program bwrap (apt install bubblewrap)"
    )


@lru_cache(maxsize=len(_ISOLATIONS))
def _refusal(isolation: Isolation) -> str:
    """Why an isolation cannot be had here; empty where it can."""
    if sys.platform != "linux":
        return f"it needs Linux; this is {sys.platform}"
    try:
        _converse(isolation, Command(text="true", tree=FileTree()), CommandLimits())
    except RefusedError as error:
        return str(error)
    return ""


def standard_environment() -> dict[str, str]:
    """The variables of commands: among them the folders of programs, those of this Python first."""
    folders = (str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
    return {
        "PATH": ":".join(dict.fromkeys(folders)),
        "HOME": FOLDER,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        # Compiled modules would be kept as files of the folder.
        "PYTHONDONTWRITEBYTECODE": "1",
        # Sets of strings are iterated in the same order in every process.
        "PYTHONHASHSEED": "0",
    }


def _converse(isolation: Isolation, command: Command, limits: CommandLimits) -> Frame:
    """Starts a guest, has it execute a command, and ends it.

    Raises:
        RefusedError: the isolation cannot be had.
        InfrastructureFault: the guest failed.
    """
    arena = Path(tempfile.mkdtemp(prefix="axpo-command-"))
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as errors, ours:
        try:
            with theirs:
                process = _start(isolation, arena, theirs, errors)
            try:
                ours.settimeout(_GRACE_S + limits.seconds)
                return _ask(ours, isolation, arena, command, limits)
            except RefusedError as error:
                raise RefusedError(_complaint(process, errors) or str(error)) from None
            except (OSError, EOFError, FrameError) as error:
                complaint = _complaint(process, errors)
                raise InfrastructureFault(f"the sandbox of a command failed: {complaint or error}") from error
            finally:
                process.kill()
                process.wait()
        finally:
            shutil.rmtree(arena, ignore_errors=True)


def _start(isolation: Isolation, arena: Path, link: socket.socket, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    needed = (*_readable(), *_own())
    wrapper = []
    if isolation is Isolation.BUBBLEWRAP:
        # It must not outlive this process, and its guest is the first process there.
        wrapper = [*bubblewrap(needed), "--die-with-parent", "--as-pid-1"]
    command = [*wrapper, *_PYTHON, _GUEST, str(_PACKAGE), str(link.fileno())]
    if runs_as_root():
        paths = json.dumps([*map(str, needed), *wrapper[:1]])
        command = [*_PYTHON, LEAVE_ROOT, str(_PACKAGE), str(arena), paths, *command]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(link.fileno(),),
            cwd="/",
            env={"LANG": "C.UTF-8"},
            start_new_session=True,
        )
    except OSError as error:
        raise RefusedError(str(error)) from None


def _ask(link: socket.socket, isolation: Isolation, arena: Path, command: Command, limits: CommandLimits) -> Frame:
    readable = _readable()
    frames.send(
        link,
        {
            "isolation": isolation.value,
            "arena": str(arena),
            "readable": list(map(str, readable)),
            "own": list(map(str, _own())),
            "hidden": list(map(str, _hidden())),
            "limits": dataclasses.asdict(limits),
        },
    )
    try:
        ready = frames.receive(link).header
    except (OSError, EOFError, FrameError) as error:
        raise RefusedError(f"it did not start: {error}") from None
    if "ready" not in ready:
        raise RefusedError(str(ready.get("failed")))
    request = {
        "command": command.text,
        "cwd": command.cwd,
        "environment": dict(command.environment),
        "seconds": limits.seconds,
        "change": command.tree.last_change + 1,
        "entries": [_written(entry) for entry in command.tree.entries],
    }
    frames.send(link, request, b"".join(entry.data for entry in command.tree.entries))
    answer = frames.receive(link, Bounds(body=(limits.folder_mb << 20) + limits.output_bytes))
    if "failed" in answer.header:
        raise InfrastructureFault(f"the sandbox of a command failed: {answer.header['failed']}")
    return answer


def _written(entry: TreeEntry) -> dict[str, Any]:
    written = {"path": entry.path, "kind": entry.kind.value, "mode": entry.mode, "size": len(entry.data)}
    written["changed"] = entry.changed
    return written if entry.kind is EntryKind.FOLDER else {**written, "digest": content_digest(entry.data)}


def _complaint(process: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    process.kill()
    process.wait()
    errors.seek(0)
    return errors.read().decode(errors="replace").strip().rpartition("\n")[2]


@lru_cache(maxsize=1)
def _readable() -> tuple[Path, ...]:
    """The system's files, and this installation of Python with its programs."""
    programs = {Path(prefix) / "bin" for prefix in (sys.prefix, sys.base_prefix)}
    paths = {*readable_paths(), *map(Path, _SYSTEM), *programs, Path(sys.prefix) / "pyvenv.cfg"}
    return tuple(sorted(path for path in paths if os.access(path, os.R_OK)))


@lru_cache(maxsize=1)
def _hidden() -> tuple[Path, ...]:
    """This project's own packages, where they lie among what can be read."""
    places = find_ways(_readable()).places
    resolved = (path.resolve() for path in hidden_paths())
    return tuple(path for path in resolved if any(path.is_relative_to(place) for place in places))


def _own() -> tuple[Path, ...]:
    """What the guest is made of."""
    folder = Path(__file__).parent
    return (folder, folder.parent / "python_sandbox", _PACKAGE / "errors.py", Path(sys.executable))
