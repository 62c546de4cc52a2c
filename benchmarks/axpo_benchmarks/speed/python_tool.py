"""Measures the tool `python`: starting its sandbox, executing a cell, and branching by fork and by replay."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Final

from axpo_benchmarks.speed.rows import Absolute, Ratio, Row, median_seconds
from axpo_envs import EnvConfigError
from axpo_envs.backends.python_sandbox.host import Sandbox
from axpo_envs.backends.python_sandbox.limits import DEFAULT_LIMITS, DEFAULT_SETTINGS, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import BranchingKind
from axpo_envs.backends.python_sandbox.state import PythonState

_CELLS: Final = ("import numpy as np; table = np.ones((1000, 1000))", *("sum(i * i for i in range(100_000))",) * 7)
"""The session that is branched: it holds 8 MB, and its cells compute for a few milliseconds each."""


def measure() -> list[Row]:
    """The rows of the tool; none where there is no sandbox for it, and none of branches where it cannot fork."""
    try:
        sandbox = Sandbox(DEFAULT_LIMITS, DEFAULT_SETTINGS)
    except EnvConfigError:
        return []
    rows: list[Row] = [_start()]
    try:
        rows.append(_cell(sandbox))
        if sandbox.report.branching is BranchingKind.FORK:
            rows += _branches(sandbox)
    finally:
        sandbox.close()
    return rows


def _start() -> Row:
    seconds = median_seconds(lambda: Sandbox(DEFAULT_LIMITS, DEFAULT_SETTINGS).close(), repeats=3)
    name = "start of a sandbox for Python, numpy and matplotlib imported"
    return Absolute(name=name, value=1e3 * seconds, unit="ms", limit=None)


def _cell(sandbox: Sandbox) -> Row:
    state = PythonState()

    def go_on() -> None:
        nonlocal state
        state = _run(sandbox, state, "x = 1")

    seconds = median_seconds(go_on, repeats=9, inner=5)
    return Absolute(name="an empty Python cell, there and back", value=1e3 * seconds, unit="ms", limit=None)


def _branches(sandbox: Sandbox) -> list[Row]:
    state = _session(sandbox)
    seeds = itertools.count()

    def branch(sandbox: Sandbox, state: PythonState) -> None:
        _run(sandbox, state, f"x = {next(seeds)}")

    forked = median_seconds(partial(branch, sandbox, state), repeats=9, inner=5)
    # Where one interpreter is kept, that of the branch before, each branch replays the session.
    replaying = Sandbox(DEFAULT_LIMITS, SandboxSettings(live=1, concurrent=1))
    try:
        replayed = median_seconds(partial(branch, replaying, _session(replaying)), repeats=5)
    finally:
        replaying.close()
    name = f"a branch of a Python session of {len(_CELLS)} cells"
    return [
        Absolute(name=f"{name}, by fork", value=1e3 * forked, unit="ms", limit=10.0),
        Ratio(name=f"{name}: by replay / by fork", ratio=replayed / forked, target=5.0),
    ]


def _session(sandbox: Sandbox) -> PythonState:
    state = PythonState()
    for code in _CELLS:
        state = _run(sandbox, state, code)
    return state


def _run(sandbox: Sandbox, state: PythonState, code: str) -> PythonState:
    outcome = sandbox.run(state, code, seed=0)
    if outcome.status is not Status.DONE or not outcome.succeeded:
        raise AssertionError(f"the cell {code!r} went wrong: {outcome.note} {outcome.text}")
    return outcome.state
