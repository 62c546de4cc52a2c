"""Defines `axpo train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

import axpo
from axpo.commands.arguments import check_output, parse, path_option, write_json
from axpo.distributed.errors import PeerFailed
from axpo.distributed.joining import is_first_process
from axpo.records._folder import CONFIG
from axpo.run._governing import with_own_policy
from axpo.run._resumption import differences
from axpo.run.trainer import run_settings
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import checked, read_toml
from axpo.terminal.guarding import FAILED, guarded
from axpo.terminal.unfailing import tell


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainArguments:
    """Train a policy with AXPO or GRPO.

    A step samples groups of rollouts, resamples tool calls from the thinking prefixes of failed ones (AXPO), and
    updates the policy. The run's folder holds everything: settings, metrics, evaluations, rollouts, checkpoints.
    """

    config: Path | None = None
    """TOML file with settings, such as another run's config.toml; the options below override it."""
    resume: Path | None = None
    """Continue the run in this folder from its newest checkpoint, with its own settings. Options beside it change what
    may be changed: `--steps` makes a run longer, also a finished one."""
    json: Path | None = None
    """Write the final evaluation and what the run cost to this file."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """The run's settings."""


def run(arguments: Sequence[str]) -> int:
    """Trains or resumes; returns the exit code."""
    base, folder = path_option(arguments, "config"), path_option(arguments, "resume")
    if folder is not None:
        if base is not None:
            raise ConfigError(f"--resume takes its settings from {folder / CONFIG}; leave --config out")
        # The run's own settings are the defaults, so that every option that asks for something else is noticed.
        settings = run_settings(folder)
    else:
        settings = TrainConfig() if base is None else read_toml(base, TrainConfig)
    parsed = parse(TrainArguments, "train", arguments, default=TrainArguments(settings=settings))
    check_output(parsed.json)
    try:
        if folder is None:
            result = axpo.train(with_own_policy(parsed.settings, settings))
        else:
            asked = differences(settings, checked(parsed.settings))
            result = axpo.resume(folder, changes={name: after for name, (_, after) in asked.items()})
    except PeerFailed:
        # The process that failed says why.
        return FAILED
    if not is_first_process():
        return 0
    write_json(parsed.json, _summary(result))
    tell(f"run      {result.folder}")
    tell(f"model    {result.checkpoint}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `python -m axpo.commands.train`, which launchers start as often as there are processes."""
    return guarded("axpo train", arguments, run)


def _summary(result: axpo.RunResult) -> dict[str, object]:
    final = result.evaluations[-1] if result.evaluations else {"metrics": {}}
    last = result.metrics[-1]
    return {
        "metrics": final["metrics"],
        "steps": last["step"],
        "rollouts": last["total_rollouts"],
        "tokens": last["total_tokens"],
        "seconds": last["total_seconds"],
    }


if __name__ == "__main__":
    sys.exit(main())
