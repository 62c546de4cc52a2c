"""Defines the command `axpo-bench sb3`: its settings, and the table and the file that it writes."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from axpo.commands.arguments import check_output, write_json
from axpo.settings.config_file import checked
from axpo.settings.values import Count, CountOrNone
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_benchmarks.machine import provenance
from axpo_benchmarks.sb3._tasks import TASKS
from axpo_benchmarks.sb3._training import Run, train


@dataclass(frozen=True, slots=True, kw_only=True)
class Sb3Config:
    """Train stable-baselines3 on tool environments, from the random floor up."""

    tasks: tuple[Literal["visual-zoom-easier", "visual-zoom", "doors"], ...] = ("visual-zoom-easier", "doors")
    """What is trained on."""
    algorithms: tuple[Literal["ppo", "maskable", "recurrent"], ...] = ("ppo",)
    """PPO, and sb3-contrib's MaskablePPO and RecurrentPPO."""
    seeds: tuple[CountOrNone, ...] = (0,)
    """Seeds."""
    steps: CountOrNone = 0
    """Steps of the environment; 0 takes each task's own number."""
    episodes: Count = 500
    """Held-out questions for each score."""
    threads: Count = 1
    """Threads of torch; networks this small gain little from more, and lose much where a core is not free."""
    json: Path | None = None
    """Write the curves to this file; it grows with every run."""


def run_sb3(config: Sb3Config) -> int:
    """Trains, prints, writes; returns the exit code."""
    config = checked(config)
    check_output(config.json)
    torch.set_num_threads(config.threads)
    console = Console()
    runs: list[dict[str, Any]] = []
    with Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat:
        for name, algorithm, seed in itertools.product(config.tasks, config.algorithms, config.seeds):
            run = train(
                TASKS[name],
                algorithm,
                steps=config.steps or TASKS[name].steps,
                seed=seed,
                episodes=config.episodes,
                doing=heartbeat.doing,
            )
            runs.append({"task": name, "algorithm": algorithm, "seed": seed, **asdict(run)})
            console.print(_line(name, algorithm, seed, run), highlight=False, soft_wrap=True)
            write_json(config.json, {**provenance(), "runs": runs})
    return 0


def _line(name: str, algorithm: str, seed: int, run: Run) -> str:
    return (
        f"{name:<20}{algorithm:<11}seed {seed}  success {run.floor.success:.3f} -> {run.trained.success:.3f}  "
        f"tool calls {run.floor.tool_calls:.2f} -> {run.trained.tool_calls:.2f}  "
        f"{run.curve[-1].steps if run.curve else 0} steps, {run.seconds:.0f} s"
    )
