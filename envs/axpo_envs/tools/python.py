"""Defines the tool `python`: a Python interpreter per episode, in a sandbox, with exact branches."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from axpo_envs.backends.python_sandbox.host import Outcome, Sandbox
from axpo_envs.backends.python_sandbox.limits import DEFAULT_LIMITS, DEFAULT_SETTINGS, SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import SandboxReport
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.images import ImageRef
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext
from axpo_envs.types import Question, ToolResult, ToolStatus

_MOST_CODE: Final = 100_000
_MOST_BYTES: Final = 3 * 16_000_000
"""Of an image as interpreters are given it, 3 a pixel."""
_DRAWING: Final = "matplotlib.pyplot"


class PythonTool:
    """Executes code in an interpreter that lives as long as the episode.

    A cell is shown like a notebook's: what it prints, the value of its last expression, the figures that it drew with
    matplotlib (as images; the interpreter closes them), or a traceback of its own frames.

    | a cell | status | the interpreter afterwards |
    |---|---|---|
    | runs to its end | `OK` | as it left it |
    | raises | `ERROR` | as it left it: what it did before stays done |
    | runs past a limit on time | `TIMEOUT` | as before the cell, files included |
    | ends the interpreter (`os._exit`, a crash, endless output, a full scratch folder on disk) | `ERROR` | the same |

    Threads, processes, pipes and sockets end with the cell that started them; open files stay open.

    The episode's images are there as `_pil_images` (Pillow) and `_images` (paths of PNG files), with the same indices
    as everywhere: those of the question, then those that tools have returned, this one included.

    The state is the executed cells with a digest of what each showed. The interpreter is a cache of it: a branch forks
    it with a copy of its scratch folder (a fork costs milliseconds, the copy what its files cost), or replays the cells
    elsewhere, in another process or where the sandbox cannot fork. A replay that shows something else than the first
    time is a `ReplayFault`, an infrastructure fault: code that prints the time cannot be branched there. Randomness is
    a function of the episode's seed: `random`, numpy's generators (`default_rng()` without a seed included), `secrets`
    and `os.urandom`; `random.Random()` without a seed is not.

    Tools of equal settings share a sandbox. It ends with the last of them, and with the process.

    Args:
        limits: how much the code of a call may use.
        allow_unsandboxed: where no sandbox can be set up, execute code with the rights of this process.
        settings: what the sandbox is like besides.

    Raises:
        EnvConfigError: no sandbox can be set up here, and `allow_unsandboxed` is False, or a module to preload cannot
            be imported; the message says why.
        InfrastructureFault: the sandbox ended while it started.
    """

    def __init__(
        self,
        limits: SandboxLimits = DEFAULT_LIMITS,
        *,
        allow_unsandboxed: bool = False,
        settings: SandboxSettings = DEFAULT_SETTINGS,
    ) -> None:
        self._arguments = (limits, settings, allow_unsandboxed)
        self._sandbox = _SANDBOXES.get(limits, settings, allow_unsandboxed)

    @property
    def name(self) -> str:
        """`python`."""
        return "python"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        limits = self._arguments[0]
        figures = "" if _DRAWING in self.report.missing else ", and figures drawn with matplotlib"
        return (
            "Executes Python code in an interpreter that keeps its variables, imports and files between calls, like a "
            f"notebook. Shows what the code prints and the value of its last expression{figures}. The images so far, "
            "the question's and then those that calls returned, are in _pil_images (Pillow) and _images (paths). No "
            f"network; files in the working folder only. A call may take {limits.wall_s:g} s and {limits.memory_mb} "
            "MB; one that takes more is stopped, and the interpreter is as before it."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The Python code to execute."}},
            "required": ["code"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Stateful: the cells executed so far."""
        return Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: the sandbox stops calls itself (`SandboxLimits.wall_s`), and keeps their output."""
        return None

    @property
    def report(self) -> SandboxReport:
        """Which sandbox is in force."""
        return self._sandbox.report

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"code": str}`.

        Raises:
            ToolArgumentError: the code is missing, no string or too long, or there is another argument.
        """
        if unknown := sorted(set(arguments) - {"code"}):
            raise ToolArgumentError(f"unknown argument {unknown[0]!r}; the only one is code")
        code = arguments.get("code")
        if not isinstance(code, str):
            raise ToolArgumentError("code is missing" if code is None else "code must be a string")
        if len(code) > _MOST_CODE:
            raise ToolArgumentError(f"code must have at most {_MOST_CODE} characters; it has {len(code)}")
        return {"code": code}

    def initial_state(self, question: Question) -> PythonState:
        """No cell executed."""
        del question
        return PythonState()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Executes the code after the cells of the state.

        Raises:
            ReplayFault: a replayed cell showed something else than it had before.
            InfrastructureFault: the sandbox failed.
        """
        outcome = self._sandbox.run(state, arguments["code"], seed=context.seed, images=_shrunk(context.images))
        return _result(outcome), outcome.state

    def close(self) -> None:
        """Ends the interpreters of this tool and of all that share its sandbox; a later call starts anew."""
        self._sandbox.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._arguments


def _shrunk(images: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
    """The images, those made smaller that take more memory than an interpreter can spare."""
    return tuple(image if image.pixels.size <= _MOST_BYTES else _shrink(image) for image in images)


@lru_cache(maxsize=8)
def _shrink(image: ImageRef) -> ImageRef:
    small = image.to_pil()
    factor = math.sqrt(_MOST_BYTES / image.pixels.size)
    small.thumbnail((max(1, int(image.width * factor)), max(1, int(image.height * factor))))
    return ImageRef.from_pil(small)


def _result(outcome: Outcome) -> ToolResult:
    text = outcome.text
    match outcome.status:
        case Status.DONE:
            status = ToolStatus.OK if outcome.succeeded else ToolStatus.ERROR
        case stopped:
            status = ToolStatus.TIMEOUT if stopped is Status.TIMEOUT else ToolStatus.ERROR
            separator = "" if not text or text.endswith("\n") else "\n"
            text += f"{separator}[Stopped: {outcome.note}. The interpreter is as it was before this call.]"
    images = tuple(
        ImageRef(np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3))
        for width, height, pixels in outcome.figures
    )
    if not text and not images:
        text = "(no output)"
    return ToolResult(status=status, content=(*((text,) if text else ()), *images))


class _Sandboxes:
    """The sandboxes in use, one for equal arguments; it ends with the last tool that holds it."""

    def __init__(self) -> None:
        self._alive: weakref.WeakValueDictionary[tuple[Any, ...], Sandbox] = weakref.WeakValueDictionary()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Forgets who holds the lock: in a process that was just forked, a thread that is not there."""
        self._lock = threading.Lock()

    def get(self, limits: SandboxLimits, settings: SandboxSettings, allow_unsandboxed: bool) -> Sandbox:
        with self._lock:
            key = (limits, settings, allow_unsandboxed)
            sandbox = self._alive.get(key)
            if sandbox is None:
                sandbox = self._alive[key] = Sandbox(limits, settings, allow_unsandboxed=allow_unsandboxed)
            return sandbox


_SANDBOXES: Final = _Sandboxes()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SANDBOXES.renew_lock)


def _rebuild(limits: SandboxLimits, settings: SandboxSettings, allow_unsandboxed: bool) -> PythonTool:
    return PythonTool(limits, allow_unsandboxed=allow_unsandboxed, settings=settings)
