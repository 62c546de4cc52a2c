"""Defines sessions in containers of an existing engine, for code that is written to break out.

Docker or Podman with a runtime that has a kernel of its own (gVisor's `runsc`, Kata) is the boundary. A container holds
one session; a branch is a container in which the cells are executed again. All that comes out of one is bounded here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from select import POLLIN, poll
from typing import Any, Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._digests import next_key, output_digest
from axpo_envs.backends.python_sandbox._execution import body_of
from axpo_envs.backends.python_sandbox._frames import Bounds, Frame, FrameError
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import ENGINE_GUEST, Request, Status

_PROGRAMS: Final = ("docker", "podman")
_START_S: Final = 60.0
_HERE: Final = Path(__file__).parent
_PACKAGE: Final = _HERE.parents[1]
_INSIDE: Final = "/axpo"


class EngineRefusedError(Exception):
    """No container can be started here; the message says why."""


class Engine:
    """The containers of one sandbox; it stands where the nursery and its families stand otherwise.

    Args:
        limits: how much a cell may use.
        settings: image and runtime, modules to import, and how many containers to keep.

    Raises:
        EngineRefusedError: there is no engine, or it starts no such container.
    """

    def __init__(self, limits: SandboxLimits, settings: SandboxSettings) -> None:
        self._limits = limits
        self._settings = settings
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Container] = OrderedDict()
        self._command = _command(limits, settings)
        # The first one shows that there can be some.
        self._start().end()

    @property
    def families(self) -> Engine:
        """What requests are put to."""
        return self

    def ask(self, request: Request, images: bytes = b"") -> Frame:
        """Executes a cell in the container of its session; MISSING where that is not kept.

        Raises:
            OSError, EOFError: the engine failed.
        """
        with self._lock:
            container = self._kept.pop(request.path[-1], None)
        if container is None:
            if len(request.path) > 1:
                return Frame({"status": Status.MISSING, "live": 0})
            container = self._start()
        header, pixels = container.execute(request, images, self._limits)
        if header["status"] != Status.DONE:
            container.end()
            return Frame(header)
        header["digest"] = output_digest(
            succeeded=header["succeeded"],
            text=header["text"].encode("utf-8", "surrogatepass"),
            figures=header["figures"],
            pixels=pixels,
            scratch="/scratch",
        )
        self._keep(next_key(request.path[-1], request.code, header["digest"], request.digests), container)
        return Frame(header, pixels)

    def hold(self, name: str, key: str) -> None:
        """Nothing: containers are kept until they are too many."""

    def drop_unheld(self, name: str, key: str) -> None:
        """Nothing: a container is where its last cell has left it."""

    def close(self) -> None:
        """Ends all containers."""
        with self._lock:
            kept, self._kept = self._kept, OrderedDict()
        for container in kept.values():
            container.end()

    def abandon(self) -> None:
        """Forgets all containers: they belong to the process that this one was forked from."""
        self._kept = OrderedDict()

    def _keep(self, key: str, container: _Container) -> None:
        with self._lock:
            surplus = [self._kept.pop(key)] if key in self._kept else []
            self._kept[key] = container
            while len(self._kept) > self._settings.live:
                surplus.append(self._kept.popitem(last=False)[1])
        for other in surplus:
            other.end()

    def _start(self) -> _Container:
        container = _Container(self._command)
        limits = self._limits
        setup = {
            "output_bytes": limits.output_bytes,
            "figures": limits.figures,
            "figure_pixels": limits.figure_pixels,
            "preload": self._settings.preload,
        }
        try:
            container.send(setup, b"")
        except OSError:
            container.end()
            raise EngineRefusedError(container.complaint()) from None
        return container


class _Container:
    """A container and the connection to the process in it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def send(self, header: frames.Header, body: bytes) -> None:
        assert self._process.stdin is not None
        frames.write(self._process.stdin.fileno(), header, body)

    def complaint(self) -> str:
        return f"the engine started no container (it exited with code {self._process.returncode})"

    def execute(self, request: Request, images: bytes, limits: SandboxLimits) -> tuple[frames.Header, bytes]:
        """What the host is told of a cell, and the pixels of its figures."""
        fresh = len(request.path) == 1
        deadline = time.monotonic() + limits.wall_s * request.patience + (_START_S if fresh else 0.0)
        died: frames.Header = {"status": Status.DIED, "note": "its report makes no sense", "text": ""}
        try:
            self.send({"code": request.code, "seed": request.seed, "images": request.images}, images)
            return self._receive(deadline, limits)
        except TimeoutError:
            return died | {"status": Status.TIMEOUT, "note": f"it ran for {limits.wall_s:g} s, which is the limit"}, b""
        except (OSError, EOFError):
            return died | {"note": "its container ended"}, b""
        except FrameError:
            return died, b""

    def _receive(self, deadline: float, limits: SandboxLimits) -> tuple[frames.Header, bytes]:
        bounds = Bounds(
            12 * limits.output_bytes + 64 * limits.figures + 4096, 3 * limits.figures * limits.figure_pixels
        )
        lengths = frames.lengths(self._read(8, deadline), bounds)
        header: dict[str, Any] = frames.read_header(self._read(lengths[0], deadline))
        if body_of(header, limits) != lengths[1] or not isinstance(header.get("text"), str):
            raise FrameError("its report makes no sense")
        told = {name: header[name] for name in ("succeeded", "figures", "text")}
        return {**told, "status": Status.DONE, "note": ""}, self._read(lengths[1], deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready = poll()
        ready.register(descriptor, POLLIN)
        data = bytearray()
        while len(data) < count:
            if not ready.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
                raise TimeoutError
            received = os.read(descriptor, count - len(data))
            if not received:
                raise EOFError("the container ended")
            data += received
        return bytes(data)

    def end(self) -> None:
        """Ends the container: `--rm --init` and a closed input take it away, and a kill where they do not."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _command(limits: SandboxLimits, settings: SandboxSettings) -> list[str]:
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise EngineRefusedError(f"none of the programs {', '.join(_PROGRAMS)} is on the PATH")
    if not settings.engine_image:
        raise EngineRefusedError("engine_image must name an image with Python and the packages that cells use")
    mounts = [f"--volume={path}:{path}:ro" for path in settings.readable]
    return [
        *(program, "run", "--rm", "--init", "--interactive", f"--runtime={settings.engine_runtime}"),
        *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65534:65534"),
        *(f"--pids-limit={limits.processes + limits.threads + 16}", "--ulimit=nofile=256", "--cpus=1"),
        *(f"--memory={limits.memory_mb + 256}m", f"--memory-swap={limits.memory_mb + 256}m"),
        f"--tmpfs=/scratch:rw,noexec,nosuid,nodev,mode=1777,size={limits.scratch_mb}m,nr_inodes=4096",
        *("--workdir=/scratch", "--env=HOME=/scratch", "--env=TMPDIR=/scratch", "--env=PYTHONHASHSEED=0"),
        *("--env=MPLBACKEND=agg", "--env=TZ=UTC", f"--volume={_HERE}:{_INSIDE}/backends/python_sandbox:ro"),
        *(f"--volume={_PACKAGE}/errors.py:{_INSIDE}/errors.py:ro", *mounts, settings.engine_image),
        *("python3", "-s", "-P", "-B", "-c", ENGINE_GUEST, _INSIDE),
    ]
