"""Defines what a sandbox's first process does: set up the sandbox, execute one command, send back what became of it.

It is the first process of its namespace of processes, which the kernel lets nobody there kill, and cannot be looked
into. With its end everything in the sandbox ends.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from axpo_envs.backends.commands._calls import FORBIDDEN
from axpo_envs.backends.commands._guest_files import Collector, TooMuchError, write_tree
from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox import _seccomp as seccomp
from axpo_envs.backends.python_sandbox import _views as views
from axpo_envs.backends.python_sandbox._kernel import MountAttributes, MountFlags
from axpo_envs.backends.python_sandbox._policy import Verdict

FOLDER: Final = views.SCRATCH
"""The working folder as commands see it."""
_PLAIN: Final = MountFlags.NOSUID | MountFlags.NODEV
_PASSWD: Final = f"user:x:{views.USER}:{views.USER}::{FOLDER}:/bin/sh\n"
_CHUNK: Final = 1 << 16
_CLOCK_S: Final = 0.05
_MOST_ENVIRONMENT: Final = 1 << 16
_NOTE: Final = 9
"""The file descriptor on which the shell tells its folder and its variables when it ends."""
_SCRIPT: Final = f"""trap '{{ pwd -P && printf "\\0" && command -p env -0; }} >&{_NOTE} 2>/dev/null' EXIT; eval "$1\""""

Header = dict[str, Any]


def main() -> None:
    """Serves the one request on the socket that it was given."""
    link = socket.socket(fileno=int(sys.argv[2]))
    # It was handed down to this process, and must not be to commands: whoever has it can answer for the guest.
    link.set_inheritable(False)
    setup = frames.receive(link).header
    try:
        if setup["isolation"] == "namespaces":
            views.enter_namespaces()
            views.enter_world(Path(setup["arena"]), map(Path, [*setup["readable"], *setup["own"]]))
        _change_root(setup)
        _close_up()
    except OSError as error:
        frames.send(link, {"failed": error.strerror or str(error)})
        return
    frames.send(link, {"ready": True})
    request = frames.receive(link, frames.Bounds(body=1 << 31))
    answer, body = _serve(request.header, memoryview(request.body), setup["limits"])
    frames.send(link, answer, body)


def _change_root(setup: Header) -> None:
    """Goes on where there are the system's files to read, a working folder, and nothing else."""
    tree, limits = views.STAGE, setup["limits"]
    kernel.mount("tmpfs", str(tree), "tmpfs", _PLAIN, "mode=755,size=1m")
    sizes = f"size={limits['folder_mb'] << 20},nr_inodes={limits['files'] + 1}"
    for name in (FOLDER, "/tmp"):
        place = tree / name.lstrip("/")
        place.mkdir()
        kernel.mount("tmpfs", str(place), "tmpfs", _PLAIN, f"mode=700,{sizes}")
    # Python may be installed within a folder of these names.
    views.show(map(Path, setup["readable"]), tree)
    for path in map(Path, setup["hidden"]):
        kernel.mount("tmpfs", str(tree / path.relative_to("/")), "tmpfs", _PLAIN, "mode=755,size=4k")
    (tree / "proc").mkdir()
    kernel.mount("proc", str(tree / "proc"), "proc", _PLAIN | MountFlags.NOEXEC)
    for name, goal in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (tree / "dev" / name).symlink_to(f"/proc/self/fd{goal}")
    # Where the C library keeps semaphores that have names.
    (tree / "dev" / "shm").symlink_to("/tmp")
    (tree / "etc").mkdir(exist_ok=True)
    (tree / "etc" / "passwd").write_text(_PASSWD)
    (tree / "etc" / "group").write_text(f"user:x:{views.USER}:\n")
    kernel.restrict_mount(str(tree), MountAttributes.READ_ONLY, recursive=False)
    kernel.change_root(str(tree))


def _close_up() -> None:
    """Gives up what is no longer needed; nobody may look into this process."""
    kernel.forgo_privileges()
    kernel.set_undumpable()


@dataclass(slots=True)
class _Heard:
    """What came through a pipe: its beginning and its end."""

    pipe: int
    most: int
    head: bytes = b""
    tail: bytes = b""
    count: int = 0

    def read(self) -> bool:
        """Reads once; whether there may be more."""
        try:
            data = os.read(self.pipe, _CHUNK)
        except BlockingIOError:
            return True
        self.count += len(data)
        room = max(0, self.most - self.most // 2 - len(self.head))
        self.head += data[:room]
        self.tail = (self.tail + data[room:])[-(self.most // 2) :] if self.most > 1 else b""
        return bool(data)

    @property
    def left_out(self) -> int:
        return self.count - len(self.head) - len(self.tail)


def _serve(request: Header, body: memoryview, limits: Header) -> tuple[Header, bytes]:
    try:
        write_tree(FOLDER, request["entries"], body)
    except OSError as error:
        return {"failed": f"the files cannot be written: {error}"}, b""
    # The kernel's date of a file is a few milliseconds old.
    began = time.time() - _CLOCK_S
    output, told, answer = _execute(request, limits)
    answer |= {"head": len(output.head), "tail": len(output.tail), "left_out": output.left_out}
    answer |= _told(told)
    shown = output.head + output.tail
    if answer["ending"] != "done":
        return answer, shown
    known = frozenset(entry["digest"] for entry in request["entries"] if entry["kind"] != "folder")
    collector = Collector(
        known,
        most_files=limits["files"],
        most_bytes=limits["folder_mb"] << 20,
        began=began,
        change=request["change"],
    )
    try:
        collector.collect(FOLDER)
    except (TooMuchError, OSError) as error:
        return answer | {"ending": "too much", "note": str(error)}, shown
    return answer | {"entries": collector.entries}, b"".join((shown, *collector.contents))


def _execute(request: Header, limits: Header) -> tuple[_Heard, _Heard, Header]:
    output_pipe, note_pipe = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if not child:
        try:
            _become_command(request, limits, output_pipe[1], note_pipe[1])
        except BaseException as error:
            os.write(2, f"{error}\n".encode())
        os._exit(126)
    os.close(output_pipe[1])
    os.close(note_pipe[1])
    output, told = _Heard(output_pipe[0], limits["output_bytes"]), _Heard(note_pipe[0], 2 * _MOST_ENVIRONMENT)
    status = _wait(child, (output, told), time.monotonic() + request["seconds"])
    _end_all()
    for heard in (output, told):
        # Whoever could write is dead.
        while heard.read():
            pass
    if status is None:
        return output, told, {"ending": "timeout", "exit": 0}
    return output, told, {"ending": "done", "exit": os.waitstatus_to_exitcode(status)}


def _become_command(request: Header, limits: Header, output: int, note: int) -> NoReturn:
    os.setsid()
    empty = os.open("/dev/null", os.O_RDONLY)
    for source, number in ((empty, 0), (output, 1), (output, 2), (note, _NOTE)):
        os.dup2(source, number)
    size = limits["folder_mb"] << 20
    for kind, most in (
        (resource.RLIMIT_AS, limits["memory_mb"] << 20),
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, limits["processes"] + 1),
        (resource.RLIMIT_CPU, int(request["seconds"]) * 4 + 4),
    ):
        resource.setrlimit(kind, (most, most))
    os.umask(0o022)
    try:
        os.chdir(request["cwd"])
    except OSError:
        os.chdir(FOLDER)
    seccomp.install_filter(FORBIDDEN, Verdict.ALLOW, listen=False, known=True)
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(signum, signal.SIG_DFL)
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    arguments = [shell, "-c", _SCRIPT, Path(shell).name, request["command"]]
    os.execve(shell, [os.fsencode(argument) for argument in arguments], request["environment"])


def _wait(child: int, pipes: tuple[_Heard, ...], deadline: float) -> int | None:
    """Reads what the command writes until it ends; its status, or None where it is not over in time."""
    handle = os.pidfd_open(child)
    poll = select.poll()
    by_number = {heard.pipe: heard for heard in pipes}
    for number in (handle, *by_number):
        os.set_blocking(number, False)
        poll.register(number, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(1000 * left):
            if number == handle:
                os.close(handle)
                return os.waitpid(child, 0)[1]
            if not by_number[number].read():
                poll.unregister(number)
    os.close(handle)
    return None


def _end_all() -> None:
    """Ends every other process of the sandbox, and waits until none is left."""
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _told(told: _Heard) -> Header:
    """Folder and variables that the shell told at its end; nothing where it did not come to it."""
    data = told.head + told.tail
    # A name of a folder may hold a line's end.
    folder, _, rest = data.partition(b"\n\0")
    if told.left_out or len(rest) > _MOST_ENVIRONMENT or not folder.startswith(b"/") or not rest.endswith(b"\0"):
        return {"environment_kept": not told.count}
    pairs = (one.partition(b"=") for one in rest[:-1].split(b"\0"))
    variables = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}
    return {"cwd": os.fsdecode(folder), "environment": variables, "environment_kept": True}
