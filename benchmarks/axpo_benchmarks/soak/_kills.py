"""Defines the part `kills`: training runs that are killed at random moments, and must end as if nothing had been."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import axpo
from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo.settings.config_file import to_toml
from axpo_benchmarks.soak._command import SoakConfig

_STEPS: Final = 6
_PATIENCE_SECONDS: Final = 120.0
"""How long a process may take to begin its run, and its own processes to end with it."""


def soak(config: SoakConfig) -> dict[str, Any]:
    """Kills and resumes; returns how many runs ended with the weights and records of one that nobody disturbed."""
    source = random.Random(config.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base = TrainConfig(
            steps=_STEPS,
            seed=config.seed,
            sampling=SamplingConfig(questions=4, group_size=4, max_turn_tokens=64, max_episode_tokens=512),
            log=LogConfig(checkpoint_every=2, eval_questions=4, eval_samples=2, rollouts_every=2, tensorboard=False),
        )
        began = time.monotonic()
        straight = _ended(axpo.train(replace(base, out=str(folder / "straight")), display=axpo.Silent()))
        longest = time.monotonic() - began
        same, count = 0, Counter[str]()
        left: list[str] = []
        while count["kills"] < config.kills:
            out = folder / f"run-{count.total()}"
            (folder / "config.toml").write_text(to_toml(replace(base, out=str(out))), encoding="utf-8")
            moment = Moment(after=out / "config.toml", seconds=source.uniform(0.0, longest))
            lived = run_until(["--config", str(folder / "config.toml")], moment)
            if lived is not None:
                count["ended first"] += 1
                # How long a run takes changes with what else the machine does.
                longest = lived
            else:
                count["kills"] += 1
                count["steps were there"] += (out / "metrics.jsonl").is_file()
                same += _ended(axpo.resume(out, display=axpo.Silent())) == straight
                left += [str(path.relative_to(out)) for path in out.rglob(".partial-*")]
    held = same == count["kills"] and not left
    return {"held": held, "identical": same, "left_behind": left, **count}


class Moment(NamedTuple):
    """When a run is killed."""

    after: Path
    """The file with whose first appearance the run has begun."""
    seconds: float
    """How long after that."""


def run_until(arguments: list[str], moment: Moment) -> float | None:
    """Runs `axpo train` and kills it at a moment; seconds from the run's beginning to its end where it ended before.

    Raises:
        AssertionError: it ended by itself, and not well; it never began; or a process that it started outlived it.
    """
    command = [sys.executable, "-m", "axpo.cli", "train", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _await(lambda: moment.after.is_file() or process.poll() is not None, f"{moment.after} was never written")
            began = time.monotonic()
            _, told = process.communicate(timeout=moment.seconds)
            lived = time.monotonic() - began
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            _await(lambda: not _lives(process.pid), "processes of a killed run live on")
            return None
        finally:
            process.kill()
    if process.returncode != 0:
        raise AssertionError(f"axpo train ended with {process.returncode}: {told[-500:]}")
    return lived


def _await(is_so: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > until:
            raise AssertionError(otherwise)
        time.sleep(0.01)


def _lives(group: int) -> bool:
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _ended(result: axpo.RunResult) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """The weights' hash, and the records without what clocks decide."""
    weights = hashlib.sha256((result.checkpoint / "model.safetensors").read_bytes()).hexdigest()
    return weights, _timeless(result.metrics), _timeless(result.evaluations)


def _timeless(records: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in records]
