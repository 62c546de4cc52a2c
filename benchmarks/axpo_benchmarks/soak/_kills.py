"""Defines the part `kills`: training runs that are killed at random moments, and must end as if nothing had been."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import axpo
from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo.settings.config_file import to_toml
from axpo_benchmarks.soak._command import SoakConfig

_STEPS: Final = 6
_START_SECONDS: Final = 6.0
"""What starting Python and its imports may take of a run, beyond the run itself."""


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
        longest = time.monotonic() - began + _START_SECONDS
        same, count = 0, Counter[str]()
        left: list[str] = []
        while count["kills"] < config.kills:
            out = folder / f"run-{count.total()}"
            (folder / "config.toml").write_text(to_toml(replace(base, out=str(out))), encoding="utf-8")
            if not _killed(["--config", str(folder / "config.toml")], source.uniform(0.0, longest)):
                count["ended first"] += 1
            elif not (out / "config.toml").is_file():
                count["killed before there was a run"] += 1
            else:
                count["kills"] += 1
                count["steps were there"] += (out / "metrics.jsonl").is_file()
                same += _ended(axpo.resume(out, display=axpo.Silent())) == straight
                left += [str(path.relative_to(out)) for path in out.rglob(".partial-*")]
    held = same == count["kills"] and not left
    return {"held": held, "identical": same, "left_behind": left, **count}


def _killed(arguments: list[str], seconds: float) -> bool:
    """Runs `axpo train` and kills it after so long; False where it had ended before.

    Raises:
        AssertionError: it ended by itself, and not well.
    """
    command = [sys.executable, "-m", "axpo.cli", "train", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, told = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait() < 0
    if process.returncode != 0:
        raise AssertionError(f"axpo train ended with {process.returncode}: {told[-500:]}")
    return False


def _ended(result: axpo.RunResult) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """The weights' hash, and the records without what clocks decide."""
    weights = hashlib.sha256((result.checkpoint / "model.safetensors").read_bytes()).hexdigest()
    return weights, _timeless(result.metrics), _timeless(result.evaluations)


def _timeless(records: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in records]
