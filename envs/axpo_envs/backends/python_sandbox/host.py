"""Defines `Sandbox`, which executes cells of Python sessions: it starts the warden's process and asks it."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from axpo_envs.backends.python_sandbox._engine import Engine
from axpo_envs.backends.python_sandbox._frames import Frame
from axpo_envs.backends.python_sandbox.first_process import Started
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Request, Status
from axpo_envs.backends.python_sandbox.report import Isolation, SandboxReport
from axpo_envs.backends.python_sandbox.start import start
from axpo_envs.backends.python_sandbox.state import Cell, PythonState, ReplayFault
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.images import ImageRef

_LOGGER: Final = logging.getLogger(__name__)
_REPLAY_PATIENCE: Final = 3.0
_REBUILDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a cell."""

    status: Status
    """DONE, TIMEOUT or DIED."""
    succeeded: bool
    """It ran to its end and raised nothing."""
    text: str
    """What it wrote."""
    note: str
    """Where the interpreter was given up: why."""
    figures: tuple[tuple[int, int, bytes], ...]
    """Width, height and RGB pixels of the figures it drew."""
    state: PythonState
    """The state after it; where the interpreter was given up, that before."""


class Sandbox:
    """Interpreters in a sandbox, for any number of sessions and threads.

    The state of a session is data; the interpreters are a cache of states. One that is not there is made by replaying
    the state's cells.

    Args:
        limits: how much a cell may use.
        settings: what the sandbox is like besides.
        allow_unsandboxed: where no sandbox can be set up, execute code with the rights of this process.

    Raises:
        EnvConfigError: no sandbox can be set up here, or a module to preload cannot be imported.
        InfrastructureFault: the sandbox ended while it started.
    """

    def __init__(self, limits: SandboxLimits, settings: SandboxSettings, *, allow_unsandboxed: bool = False) -> None:
        self._limits = limits
        self._settings = settings
        self._allow_unsandboxed = allow_unsandboxed
        self._held: weakref.WeakValueDictionary[int, PythonState] = weakref.WeakValueDictionary()
        self._begin()
        self._started: Started | Engine | None
        self._started, self._report = start(limits, settings, allow_unsandboxed=allow_unsandboxed)
        trusting = self._report.isolation in (Isolation.LANDLOCK, Isolation.NONE)
        _LOGGER.log(logging.WARNING if trusting else logging.INFO, "Python sandbox: %s", self._report)
        _sandboxes.add(self)

    @property
    def report(self) -> SandboxReport:
        """Which isolation is in force."""
        return self._report

    def run(self, state: PythonState, code: str, *, seed: int, images: Sequence[ImageRef] = ()) -> Outcome:
        """Executes a cell after those of a state.

        Args:
            state: the session so far.
            code: the cell.
            seed: seeds the session's randomness if this is its first cell.
            images: all images of the session so far, in order; those that no earlier cell was given, this one is.

        Raises:
            ReplayFault: a replayed cell showed something else than it had before.
            InfrastructureFault: the sandbox failed.
        """
        self._hold(state, seed)
        with self._slots:
            for _ in range(_REBUILDS):
                given = images[_count(state.cells) :]
                answer = self._ask(state.path(seed), code, seed, given)
                if answer.header["status"] != Status.MISSING:
                    outcome = _read(answer, state, code, seed, given)
                    self._hold(state, seed)
                    self._hold(outcome.state, seed)
                    return outcome
                self._rebuild(state, int(answer.header["live"]), images)
        raise InfrastructureFault(
            f"an interpreter with {len(state.cells)} cells was gone {_REBUILDS} times before it could be used"
        )

    def close(self) -> None:
        """Ends all interpreters; a later `run` starts anew."""
        with self._lock:
            started, self._started = self._started, None
        if started is not None:
            started.close()

    def leave_to_parent(self) -> None:
        """In a process that was just forked: the interpreters are the parent's; a later `run` starts others."""
        started, self._started = self._started, None
        if started is not None:
            started.abandon()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        # Every session that is executing needs two interpreters; they must not evict each other.
        most = min(self._settings.concurrent, max(1, self._settings.live // 2))
        self._slots = threading.BoundedSemaphore(most)

    def _rebuild(self, state: PythonState, live: int, images: Sequence[ImageRef]) -> None:
        """Executes a state's cells after the first `live` again; returns early where an interpreter was evicted."""
        assert state.seed is not None
        path = state.path(state.seed)
        for number in range(live, len(state.cells)):
            cell = state.cells[number]
            first = _count(state.cells[:number])
            given = images[first : first + len(cell.images)]
            if tuple(image.digest for image in given) != cell.images:
                raise ReplayFault(f"the images that cell {number + 1} of {len(state.cells)} was given are not there")
            header = self._ask(path[: number + 1], cell.code, state.seed, given, patience=_REPLAY_PATIENCE).header
            if header["status"] == Status.MISSING:
                return
            if header.get("digest") != cell.digest:
                raise ReplayFault(
                    f"cell {number + 1} of {len(state.cells)} showed something else when it was executed again: "
                    f"{header['text'][:200]!r} {header['note']} (code: {cell.code[:200]!r})"
                )
            if number > live:
                self._running().families.drop_unheld(path[0], path[number])

    def _ask(
        self, path: tuple[str, ...], code: str, seed: int, given: Sequence[ImageRef], *, patience: float = 1.0
    ) -> Frame:
        request = Request(
            path=path,
            code=code,
            seed=seed,
            images=tuple((image.width, image.height) for image in given),
            digests=tuple(image.digest for image in given),
            patience=patience,
        )
        pixels = b"".join(image.pixels.tobytes() for image in given)
        for last in (False, True):
            started = self._running()
            try:
                answer = started.families.ask(request, pixels)
                break
            except (OSError, EOFError) as error:
                # Nothing was executed: there is no process to begin the session in.
                self._give_up(started)
                if last:
                    raise InfrastructureFault(f"the Python sandbox does not answer: {error}") from error
        if answer.header["status"] == Status.FAULT:
            raise InfrastructureFault(f"the Python sandbox failed: {answer.header['note']}")
        return answer

    def _running(self) -> Started | Engine:
        """The warden, started anew if it is gone."""
        with self._lock:
            if self._started is None:
                settings = replace(self._settings, isolation=self._report.isolation)
                try:
                    self._started, _ = start(self._limits, settings, allow_unsandboxed=self._allow_unsandboxed)
                except EnvConfigError as error:
                    raise InfrastructureFault(f"the Python sandbox cannot be started again: {error}") from error
            return self._started

    def _give_up(self, started: Started | Engine) -> None:
        with self._lock:
            if self._started is started:
                self._started = None
        started.close()

    def _hold(self, state: PythonState, seed: int) -> None:
        """Has the interpreter of a state dropped when the last object of that state is gone."""
        if not state.cells or self._held.get(id(state)) is state:
            return
        name, *_, key = state.path(seed)
        family = self._running().families.hold(name, key)
        if family is not None:
            self._held[id(state)] = state
            weakref.finalize(state, family.let_go, key).atexit = False


def _leave_all_to_parent() -> None:
    for sandbox in tuple(_sandboxes):
        sandbox.leave_to_parent()


_sandboxes: Final[weakref.WeakSet[Sandbox]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)


def _count(cells: Sequence[Cell]) -> int:
    """How many images cells were given."""
    return sum(len(cell.images) for cell in cells)


def _read(answer: Frame, state: PythonState, code: str, seed: int, given: Sequence[ImageRef]) -> Outcome:
    header: dict[str, Any] = answer.header
    figures: list[tuple[int, int, bytes]] = []
    pixels = memoryview(answer.body)
    for width, height in header.get("figures", ()):
        figures.append((width, height, bytes(pixels[: 3 * width * height])))
        pixels = pixels[3 * width * height :]
    done = header["status"] == Status.DONE
    hashes = tuple(image.digest for image in given)
    return Outcome(
        status=Status(header["status"]),
        succeeded=done and header["succeeded"],
        text=header["text"],
        note=header["note"],
        figures=tuple(figures),
        state=state.after(code, header["digest"], seed=seed, images=hashes) if done else state,
    )
