"""Defines `axpo-bench warm-start`: what a policy brings to training on VisualZoom, the reading of crops included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from axpo.algorithm.questions import held_out_questions
from axpo.algorithm.sampling import sample_groups
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Group
from axpo.commands.arguments import check_output, write_json
from axpo.compare.comparison import EMBEDDED
from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo.diagnostics.metrics import evaluation_metrics
from axpo.run.countdown import Countdown
from axpo.run.validation import check_model
from axpo.settings.config_file import checked
from axpo.settings.model import ModelConfig
from axpo.settings.values import Count
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_agents.transformers_policy import load_policy
from axpo_benchmarks.machine import provenance
from axpo_envs.suite.visual_zoom import ZoomExpert
from axpo_envs.suite.visual_zoom.env import VisualZoom

_SHOWN: Final = (
    "well_formed_rate",
    "tool_attempt_rate",
    "all_wrong_tool_subgroups",
    "no_tool_pass1",
    "tool_pass1",
    "pass1",
    "pass4",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStartConfig:
    """Measure a policy on VisualZoom before training: form, tool use, guessing, and reading of legible crops."""

    model: str = "tiny"
    """The policy: `tiny`, a checkpoint folder, or a Hugging Face id."""
    questions: Count = 300
    """Held-out questions (validation split)."""
    seed: int = 0
    """Seeds sampling."""
    json: Path | None = None
    """Write the metrics to this file."""


def run_warm_start(config: WarmStartConfig) -> int:
    """Measures, prints, writes; returns the exit code."""
    config = checked(config)
    check_output(config.json)
    check_model(config.model, ModelConfig())
    env = VisualZoom(split="validation")
    groups = _sampled(config, env)
    known = evaluation_metrics(groups, ks=(1, 4), tools=[tool.name for tool in env.tools], success_threshold=0.5)
    metrics: dict[str, Estimate | None] = {name: known[name] for name in _SHOWN}
    metrics |= crop_metrics(groups, ZoomExpert(env))
    console = Console()
    for name, estimate in metrics.items():
        value = "-" if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"
        console.print(f"{name:<28}{value}", highlight=False, soft_wrap=True)
    record = {name: None if estimate is None else estimate.as_dict() for name, estimate in metrics.items()}
    write_json(config.json, {**provenance(), "metrics": record})
    return 0


def _sampled(config: WarmStartConfig, env: VisualZoom) -> list[Group]:
    policy = load_policy(config.model)
    groups: list[Group] = []
    questions = held_out_questions(env.questions, config.questions)
    at_a_time = EMBEDDED.sampling.questions
    left = Countdown()
    with Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat:
        for start in range(0, len(questions), at_a_time):
            heartbeat.doing(f"sampling: {left(start / len(questions))}")
            part = questions[start : start + at_a_time]
            seed = derive_seed(config.seed, "warm-start", start)
            groups += sample_groups(part, policy, env, EMBEDDED.sampling, seed=seed)
    return groups


def crop_metrics(groups: Sequence[Group], expert: ZoomExpert) -> dict[str, Estimate | None]:
    """How often the first crop of a rollout shows the asked sign legibly, and how often it is then read rightly.

    Returns:
        `legible_crop_rate` over rollouts that call the tool, `read_legible_crop` over those with a legible crop.
    """
    rng = np.random.default_rng(0)
    legible: list[list[float]] = []
    read: list[list[float]] = []
    for group in groups:
        shown: list[float] = []
        rewards: list[float] = []
        for rollout in group.rollouts:
            calls = rollout.episode.calls
            if not calls:
                continue
            box = expert.seen(group.question, calls[0]) if calls[0].succeeded else None
            good = box is not None and expert.read(group.question, box, rng).legible
            shown.append(float(good))
            rewards += [rollout.reward] if good else []
        legible.append(shown)
        read.append(rewards)
    return {"legible_crop_rate": _over_questions(legible), "read_legible_crop": _over_questions(read)}


def _over_questions(outcomes: Sequence[Sequence[float]]) -> Estimate | None:
    return estimate_ratio([sum(values) for values in outcomes], [len(values) for values in outcomes])
