"""Defines the part `neighbours`: how long cells of a guest take while another guest does its worst."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from axpo_benchmarks.soak._command import SoakConfig
from axpo_envs.backends.python_sandbox.host import Sandbox
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.state import PythonState

_LIMITS: Final = SandboxLimits(wall_s=2.0, cpu_s=2.0, memory_mb=192, scratch_mb=8, threads=16, processes=4)
_MOST_MS: Final = 10.0
"""What a noisy guest may add to the 99th percentile of its neighbours, beyond what busy cores add."""
_NOISE: Final = {
    "output": "while True: print('x' * 100_000)",
    "forks": "import os\nwhile True:\n    try:\n        if os.fork() == 0: os._exit(0)\n    except OSError: pass",
    "files": "n = 0\nwhile True:\n    try: open(f'f{n}', 'w').write('x' * 4096)\n    except OSError: pass\n    n += 1",
    "memory": "held = []\nwhile True:\n    try: held.append(bytearray(1 << 20))\n    except MemoryError: held.clear()",
    "figures": "import numpy as np\nwhile True: np.random.rand(2000, 2000).sum()",
    "answers": "'x' * 50_000_000",
    "end": "import os\nos._exit(1)",
}
"""What the other guest does, by name; each cell runs into a limit, says too much, or ends its interpreter."""


def soak(config: SoakConfig) -> dict[str, Any]:
    """Measures, for each kind of noise; returns percentiles in milliseconds, and what was added."""
    with _sandbox() as sandbox:
        alone = _cells(sandbox, config.cells)
        busy = _beside(_busy_processes, lambda: _cells(sandbox, config.cells))
        found = {"alone": _percentiles(alone), "beside busy processes": _percentiles(busy)}
        noise = {name: _Noise(sandbox, code) for name, code in _NOISE.items()}
        for name in _NOISE:
            times = _beside(noise[name].start, lambda: _cells(sandbox, config.cells))
            found[f"beside {name}"] = _percentiles(times)
        isolation = str(sandbox.report.isolation)
    level = max(found["alone"]["p99"], found["beside busy processes"]["p99"])
    added = {name: found[f"beside {name}"]["p99"] - level for name in _NOISE}
    return {
        "held": max(added.values()) <= _MOST_MS,
        "added_p99_ms": added,
        "noisy_cells": {name: guest.cells for name, guest in noise.items()},
        "isolation": isolation,
        "milliseconds": found,
        "cells": config.cells,
    }


@contextmanager
def _sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(_LIMITS, SandboxSettings(preload=("numpy",)))
    try:
        yield sandbox
    finally:
        sandbox.close()


def _cells(sandbox: Sandbox, count: int) -> list[float]:
    """Seconds of each of so many small cells of one session."""
    state, seconds = sandbox.run(PythonState(), "total = 0", seed=1).state, []
    for number in range(count):
        began = time.perf_counter()
        outcome = sandbox.run(state, f"total += {number}; total", seed=1)
        seconds.append(time.perf_counter() - began)
        if outcome.status is not Status.DONE or not outcome.succeeded:
            raise AssertionError(f"an innocent cell went wrong: {outcome.note} {outcome.text[:200]}")
        state = outcome.state
    return seconds


def _beside(noise: Callable[[], Callable[[], None]], measure: Callable[[], list[float]]) -> list[float]:
    stop = noise()
    try:
        time.sleep(0.3)
        return measure()
    finally:
        stop()


class _Noise:
    """Another session that runs the code over and over."""

    def __init__(self, sandbox: Sandbox, code: str) -> None:
        self._sandbox, self._code = sandbox, code
        self._ended = threading.Event()
        self._fault: BaseException | None = None
        self.cells = 0
        """Cells that it has run to their ends."""

    def start(self) -> Callable[[], None]:
        """Begins; returns what ends it.

        That raises:
            AssertionError: it had not run, or does not end.
        """
        thread = threading.Thread(target=self._go_on, daemon=True)
        thread.start()
        return partial(self._stop, thread)

    def _go_on(self) -> None:
        try:
            while not self._ended.is_set():
                self._sandbox.run(PythonState(), self._code, seed=1000 + self.cells)
                self.cells += 1
        except BaseException as fault:
            self._fault = fault

    def _stop(self, thread: threading.Thread) -> None:
        self._ended.set()
        thread.join(30)
        if self._fault is not None or self.cells == 0 or thread.is_alive():
            raise AssertionError(f"a guest made no noise, or does not end: {self._code!r}") from self._fault


def _busy_processes() -> Callable[[], None]:
    """Two processes that compute, as many as a guest and its warden are: what sharing the cores alone costs."""
    command = [sys.executable, "-c", "while True: sum(range(10**6))"]
    processes = [subprocess.Popen(command) for _ in range(2)]

    def stop() -> None:
        for process in processes:
            process.kill()
            process.wait()

    return stop


def _percentiles(seconds: list[float]) -> dict[str, float]:
    order = sorted(seconds)
    return {
        "p50": 1e3 * order[len(order) // 2],
        "p99": 1e3 * order[min(len(order) - 1, round(0.99 * len(order)))],
        "max": 1e3 * order[-1],
    }
