"""Defines how a sandbox is started: with the strongest isolation that this machine offers."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from axpo_envs.backends.python_sandbox._engine import Engine, EngineRefusedError
from axpo_envs.backends.python_sandbox._installation import hidden_paths, readable_paths
from axpo_envs.backends.python_sandbox._views import find_ways
from axpo_envs.backends.python_sandbox.first_process import RefusedError, Started, spawn
from axpo_envs.backends.python_sandbox.limits import DEFAULT_LIMITS, SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import BOOTSTRAP, LEAVE_ROOT, Setup
from axpo_envs.backends.python_sandbox.report import BranchingKind, Isolation, SandboxReport
from axpo_envs.backends.python_sandbox.wrapping import bubblewrap, runs_as_root
from axpo_envs.errors import EnvConfigError

_PACKAGE: Final = Path(__file__).parents[2]
_PYTHON: Final = (sys.executable, "-s", "-P", "-B", "-c")


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
    own = (Path(__file__).parent, _PACKAGE / "errors.py")
    needed = (*readable, *own, Path(sys.executable), Path(sys.prefix) / "pyvenv.cfg")
    wrapper = bubblewrap(needed) if isolation is Isolation.BUBBLEWRAP else []
    arena = Path(tempfile.mkdtemp(prefix="axpo-python-"))
    setup = Setup(
        isolation=isolation,
        limits=asdict(limits),
        preload=settings.preload,
        readable=tuple(map(str, readable)),
        hidden=_hidden(readable),
        arena=str(arena),
        live=settings.live,
    )
    with tempfile.TemporaryFile() as errors:
        command = [*wrapper, *_PYTHON, BOOTSTRAP, str(_PACKAGE)]
        if isolation is not Isolation.NONE and runs_as_root():
            paths = json.dumps([*map(str, needed), *wrapper[:1]])
            command = [*_PYTHON, LEAVE_ROOT, str(_PACKAGE), str(arena), paths, *command]
        started = spawn(command, arena, errors)
        try:
            header = started.set_up(setup)
            missing = started.wait_for_imports()
            mechanisms = started.begin(limits, settings.live)
        except RefusedError as error:
            started.close()
            raise RefusedError(_complaint(errors) or str(error)) from None
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


def _hidden(readable: Iterable[Path]) -> tuple[str, ...]:
    """Paths that are not to be seen though they lie within readable ones."""
    places = find_ways(readable).places
    hidden = [path.resolve() for path in hidden_paths()]
    return tuple(str(path) for path in hidden if any(path.is_relative_to(place) for place in places))


def _complaint(errors: IO[bytes]) -> str:
    """The last line that the first process wrote to its standard error."""
    errors.seek(0)
    return errors.read().decode(errors="replace").strip().rpartition("\n")[2]


def _start_engine(limits: SandboxLimits, settings: SandboxSettings) -> tuple[Engine, SandboxReport]:
    try:
        engine = Engine(limits, settings)
    except EngineRefusedError as error:
        raise RefusedError(str(error)) from None
    mechanisms = (f"containers of {settings.engine_image} with the runtime {settings.engine_runtime}",)
    return engine, SandboxReport(isolation=Isolation.ENGINE, mechanisms=mechanisms, branching=BranchingKind.REPLAY)
