"""Defines how a sandbox is started: with the strongest isolation that this machine offers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._engine import Engine, EngineRefusedError
from axpo_envs.backends.python_sandbox._families import Families, FamilyRefusedError
from axpo_envs.backends.python_sandbox._frames import FrameError, Header
from axpo_envs.backends.python_sandbox._installation import hidden_paths, readable_paths
from axpo_envs.backends.python_sandbox._views import BASE, DEVICES, STAGE, USER, find_ways
from axpo_envs.backends.python_sandbox.limits import DEFAULT_LIMITS, SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import BOOTSTRAP, LEAVE_ROOT, Setup
from axpo_envs.backends.python_sandbox.report import BranchingKind, Isolation, SandboxReport
from axpo_envs.errors import EnvConfigError, InfrastructureFault

_START_S: Final = 120.0
_END_S: Final = 5.0
_ENVIRONMENT: Final = {
    # Sets of strings are iterated in the same order in every process.
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "MPLBACKEND": "agg",
    # Every arena of the allocator takes 64 MB of the address space that is limited.
    "MALLOC_ARENA_MAX": "1",
    # Threads of libraries would not survive a fork.
    **dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
}
_PACKAGE: Final = Path(__file__).parents[2]
_PYTHON: Final = (sys.executable, "-s", "-P", "-B", "-c")


class RefusedError(Exception):
    """An isolation cannot be had here; the message says why."""


class Started:
    """A sandbox's first process and the connections to it; it ends with this object, or with this process.

    Args:
        process: the process.
        startup: the connection on which it reports.
        control: the one for packets to the nursery.
        arena: the folder it was given.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], startup: socket.socket, control: socket.socket, arena: Path
    ) -> None:
        self._startup = startup
        self._control = control
        self._process = process
        self._families: list[Families] = []
        self._end = weakref.finalize(self, _end, process, (startup, control), arena, self._families)

    @property
    def families(self) -> Families:
        """What it has forked; there once `begin` has returned."""
        return self._families[0]

    def set_up(self, setup: Setup) -> Header:
        """Has it set up the isolation; returns what it reports.

        Raises:
            RefusedError: it cannot.
            InfrastructureFault: it does not answer, which says nothing of what it can.
        """
        try:
            frames.send(self._startup, asdict(setup))
            return self._receive()
        except TimeoutError as error:
            raise InfrastructureFault(f"the Python sandbox did not start within {_START_S:g} s") from error
        except (OSError, EOFError, FrameError) as error:
            raise RefusedError(str(error)) from None

    def wait_for_imports(self) -> tuple[str, ...]:
        """Waits for the modules to be imported; returns those that are not installed.

        Raises:
            EnvConfigError: one of them cannot be imported in the sandbox.
            InfrastructureFault: it ended.
        """
        try:
            return tuple(self._receive()["missing"])
        except RefusedError as error:
            raise EnvConfigError(f"a preloaded module cannot be imported in the Python sandbox: {error}") from None
        except (OSError, EOFError, FrameError) as error:
            raise InfrastructureFault(f"the Python sandbox ended while it started: {error}") from error

    def begin(self, limits: SandboxLimits, live: int) -> tuple[str, ...]:
        """Has it fork a first family; returns what its interpreters are restricted by.

        Raises:
            RefusedError: it cannot.
            InfrastructureFault: it ended.
        """
        try:
            self._families.append(Families(self._control, limits, live))
        except FamilyRefusedError as error:
            raise RefusedError(str(error)) from None
        except (OSError, EOFError) as error:
            raise InfrastructureFault(f"the Python sandbox ended while it started: {error}") from error
        return self.families.mechanisms

    def close(self) -> None:
        """Ends it, and all that it has started."""
        self._end()

    def abandon(self) -> None:
        """Forgets it without ending it: it belongs to the process that this one was forked from."""
        self._end.detach()
        self._process.returncode = 0
        for families in self._families:
            families.abandon()
        for connection in (self._startup, self._control):
            connection.close()

    def _receive(self) -> Header:
        self._startup.settimeout(_START_S)
        header = frames.receive(self._startup).header
        if "failed" in header:
            raise RefusedError(header["failed"])
        return header


def start(
    limits: SandboxLimits, settings: SandboxSettings, *, allow_unsandboxed: bool
) -> tuple[Started | Engine, SandboxReport]:
    """Starts a sandbox; returns it and says which isolation is in force.

    Args:
        limits: how much a cell may use.
        settings: what it is like besides.
        allow_unsandboxed: go without isolation where none can be had.

    Raises:
        EnvConfigError: none of the isolations that come into question can be had, or a module cannot be imported.
        InfrastructureFault: the sandbox ended while it started.
    """
    if sys.platform != "linux":
        raise EnvConfigError(f"the Python sandbox needs Linux; this is {sys.platform}")
    refusals: list[str] = []
    for isolation in _candidates(settings, allow_unsandboxed=allow_unsandboxed):
        try:
            return _start_with(isolation, limits, settings, refusals)
        except RefusedError as error:
            refusals.append(f"{isolation}: {error}")
    raise EnvConfigError(
        f"no Python sandbox can be set up here ({'; '.join(refusals) or 'no isolation was asked for'}); "
        "allow_unsandboxed=True executes code with all rights of this process instead"
    )


def available_isolations() -> tuple[Isolation, ...]:
    """The isolations that can be had here, from the strongest on; each is started once to see."""
    found = []
    for isolation in Isolation:
        settings = SandboxSettings(isolation=isolation, preload=())
        with suppress(EnvConfigError):
            started, _ = start(DEFAULT_LIMITS, settings, allow_unsandboxed=False)
            started.close()
            found.append(isolation)
    return tuple(found)


def _candidates(settings: SandboxSettings, *, allow_unsandboxed: bool) -> Iterator[Isolation]:
    for isolation in Isolation:
        if settings.isolation not in (None, isolation):
            continue
        if isolation is Isolation.BUBBLEWRAP and settings.isolation is None and not shutil.which("bwrap"):
            continue
        if isolation is Isolation.NONE and not allow_unsandboxed:
            continue
        if isolation is Isolation.ENGINE and settings.isolation is None:
            continue
        yield isolation


def _start_with(
    isolation: Isolation, limits: SandboxLimits, settings: SandboxSettings, refusals: list[str]
) -> tuple[Started | Engine, SandboxReport]:
    if isolation is Isolation.ENGINE:
        return _start_engine(limits, settings)
    readable = (*readable_paths(), *settings.readable)
    places = find_ways(readable).places
    hidden = [path.resolve() for path in hidden_paths()]
    own = (Path(__file__).parent, _PACKAGE / "errors.py")
    needed = (*readable, *own, Path(sys.executable), Path(sys.prefix) / "pyvenv.cfg")
    wrapper = bubblewrap(needed) if isolation is Isolation.BUBBLEWRAP else []
    arena = Path(tempfile.mkdtemp(prefix="axpo-python-"))
    setup = Setup(
        isolation=isolation,
        limits=asdict(limits),
        preload=settings.preload,
        readable=tuple(map(str, readable)),
        hidden=tuple(str(path) for path in hidden if any(path.is_relative_to(place) for place in places)),
        arena=str(arena),
        live=settings.live,
    )
    with tempfile.TemporaryFile() as errors:
        command = [*wrapper, *_PYTHON, BOOTSTRAP, str(_PACKAGE)]
        if isolation is not Isolation.NONE and runs_as_root():
            paths = json.dumps([*map(str, needed), *wrapper[:1]])
            command = [*_PYTHON, LEAVE_ROOT, str(_PACKAGE), str(arena), paths, *command]
        started = _spawn(command, arena, errors)
        try:
            header = started.set_up(setup)
            missing = started.wait_for_imports()
            mechanisms = started.begin(limits, settings.live)
        except RefusedError as error:
            started.close()
            errors.seek(0)
            complaint = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RefusedError(complaint or str(error)) from None
        except BaseException:
            started.close()
            raise
    if isolation is not Isolation.NONE and not any(mechanism.startswith("Landlock") for mechanism in mechanisms):
        refusals = [*refusals, "this kernel offers no Landlock"]
    branching = BranchingKind(header["branching"])
    if branching is BranchingKind.FORK:
        # It served to mount the sandbox's own world on, which has moved away.
        arena.rmdir()
    report = SandboxReport(
        isolation=isolation, mechanisms=mechanisms, branching=branching, shortcomings=tuple(refusals), missing=missing
    )
    return started, report


def _start_engine(limits: SandboxLimits, settings: SandboxSettings) -> tuple[Engine, SandboxReport]:
    try:
        engine = Engine(limits, settings)
    except EngineRefusedError as error:
        raise RefusedError(str(error)) from None
    mechanisms = (f"containers of {settings.engine_image} with the runtime {settings.engine_runtime}",)
    return engine, SandboxReport(isolation=Isolation.ENGINE, mechanisms=mechanisms, branching=BranchingKind.REPLAY)


def _spawn(command: Iterable[str], arena: Path, errors: IO[bytes]) -> Started:
    startup, their_startup = socket.socketpair()
    control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host = os.pidfd_open(os.getpid())
    passed = (their_startup.fileno(), their_control.fileno(), host)
    try:
        process = subprocess.Popen(
            [*command, *map(str, passed)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=passed,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        startup.close()
        control.close()
        arena.rmdir()
        raise RefusedError(str(error)) from None
    finally:
        their_startup.close()
        their_control.close()
        os.close(host)
    return Started(process, startup, control, arena)


def runs_as_root() -> bool:
    """Whether this process is the machine's root; that of a user namespace may be another user outside of it."""
    if os.geteuid():
        return False
    inside, outside, _ = Path("/proc/self/uid_map").read_text().splitlines()[0].split()
    return (inside, outside) == ("0", "0")


def bubblewrap(needed: Iterable[Path]) -> list[str]:
    """The command that makes namespaces with the same world in them as `enter_world`, and starts what follows.

    Raises:
        RefusedError: the program is not installed.
    """
    # Found here, since the process is started with an environment, and so a search path, of its own.
    program = shutil.which("bwrap")
    if program is None:
        raise RefusedError("there is no program bwrap on the PATH")
    ways = find_ways(needed)
    command = [
        program,
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
    ]
    command += ["--unshare-cgroup-try", "--uid", str(USER), "--gid", str(USER)]
    for capability in ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT"):
        command += ["--cap-add", capability]
    for place in ways.places:
        command += ["--ro-bind-try", str(place), str(place)]
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    for link, goal in ways.links.items():
        command += ["--symlink", str(goal), str(link)]
    return [*command, "--proc", "/proc", "--dir", str(BASE), "--dir", str(STAGE)]


def _end(
    process: subprocess.Popen[bytes],
    connections: Iterable[socket.socket],
    arena: Path,
    families: Iterable[Families],
) -> None:
    for each in families:
        each.close()
    # Without connections the nursery ends by itself, and takes care of what it has started.
    for connection in connections:
        connection.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(arena, ignore_errors=True)
