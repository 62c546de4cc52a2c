"""Defines the part `kills`: training runs that are killed at random moments, and must end as if nothing had been."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import axpo
from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo.settings.config_file import to_toml
from axpo_benchmarks.soak._command import SoakConfig

_STEPS: Final = 6
_MOST_SECONDS: Final = 4.0
"""Within which a run is killed once its folder is there."""


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
        straight = _ended(axpo.train(replace(base, out=str(folder / "straight")), display=axpo.Silent()))
        kills = same = 0
        left: list[str] = []
        while kills < config.kills:
            out = folder / f"run-{kills}"
            (folder / "config.toml").write_text(to_toml(replace(base, out=str(out))), encoding="utf-8")
            killed = _killed(["--config", str(folder / "config.toml")], out, source)
            kills += killed
            if not (out / "config.toml").is_file():
                continue
            same += _ended(axpo.resume(out, display=axpo.Silent())) == straight
            left += [str(path.relative_to(out)) for path in out.rglob(".partial-*")]
            if not killed:
                kills += 1
    return {"held": same == kills and not left, "kills": kills, "identical": same, "left_behind": left}


def _killed(arguments: list[str], out: Path, source: random.Random) -> bool:
    """Runs `axpo train` and kills it; False where it had ended before."""
    command = [sys.executable, "-m", "axpo.cli", "train", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (out / "metrics.jsonl").exists():
            time.sleep(0.002)
        deadline = time.monotonic() + source.uniform(0.0, _MOST_SECONDS)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        return process.wait() < 0


def _ended(result: axpo.RunResult) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """The weights' hash, and the records without what clocks decide."""
    weights = hashlib.sha256((result.checkpoint / "model.safetensors").read_bytes()).hexdigest()
    return weights, _timeless(result.metrics), _timeless(result.evaluations)


def _timeless(records: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in records]
