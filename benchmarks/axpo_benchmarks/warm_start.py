"""Defines `axpo-bench warm-start`: how well a policy acts in a family, and of what its failures are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from axpo.algorithm.questions import held_out_questions
from axpo.algorithm.sampling import sample_groups
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Group
from axpo.commands.arguments import check_output, write_json
from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo.diagnostics.metrics import evaluation_metrics
from axpo.run.countdown import Countdown
from axpo.run.environments import make_env, parse_env_args
from axpo.run.validation import check_model
from axpo.settings.config import ConfigError, SamplingConfig
from axpo.settings.config_file import checked
from axpo.settings.model import ModelConfig
from axpo.settings.values import Count, Name
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_agents.rolling import roll_agent
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_benchmarks.acting import PROBES, ActingProbe
from axpo_benchmarks.evidence.families import VISUAL_ZOOM, family_named
from axpo_benchmarks.failures import SHOWING, failure_shares
from axpo_benchmarks.machine import provenance
from axpo_envs.env import ToolEnv
from axpo_envs.types import Question

_SHOWN: Final = (
    "well_formed_rate",
    "tool_attempt_rate",
    "all_wrong_tool_subgroups",
    "no_tool_pass1",
    "tool_pass1",
    "premature_stop",
    "pass1",
    "pass4",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStartConfig:
    """Measure a policy, before training or after it: form, tool use, guessing, where calls lead, what is read there.

    The last lines say of what its failures are made: no call, finding, legibility, no answer, reading.
    """

    family: Name = VISUAL_ZOOM.name
    """Environment and setting: a family of the evidence, such as `visual-zoom` or `multi-hop-search`."""
    env_args: tuple[str, ...] = ()
    """Further arguments of the environment, NAME=VALUE, in place of those that the setting has."""
    model: Name | None = None
    """The policy: a checkpoint folder, or a Hugging Face id; that of the family if none is given."""
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
    probe, base = PROBES.get(config.family), family_named(config.family).base
    if probe is None:
        raise ConfigError(f"family: expected some of {', '.join(PROBES)}; got {config.family!r}")
    model = config.model or base.model
    check_model(model, ModelConfig())
    arguments = {**parse_env_args(base.env_args), **parse_env_args(config.env_args), "split": "validation"}
    env = make_env(base.env, arguments)
    questions = held_out_questions(env.questions, config.questions)
    groups = _sampled(load_policy(model), env, questions, base.sampling, seed=config.seed)
    known = evaluation_metrics(groups, ks=(1, 4), tools=[tool.name for tool in env.tools], success_threshold=0.5)
    metrics: dict[str, Estimate | None] = {name: known[name] for name in _SHOWN}
    metrics |= probe.acting(groups, env) | failure_shares(groups, env, SHOWING[config.family])
    metrics["expert_pass1"] = _expert(probe, env, questions)
    console = Console()
    for name, estimate in metrics.items():
        value = "-" if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"
        console.print(f"{name:<28}{value}", highlight=False, soft_wrap=True)
    record = {name: None if estimate is None else estimate.as_dict() for name, estimate in metrics.items()}
    setting = {"family": config.family, "model": model, "env": base.env, "env_args": arguments, "seed": config.seed}
    write_json(config.json, {**provenance(), **setting, "metrics": record})
    return 0


def _sampled(
    policy: TransformersPolicy, env: ToolEnv, questions: Sequence[Question], sampling: SamplingConfig, *, seed: int
) -> list[Group]:
    groups: list[Group] = []
    at_a_time = sampling.questions
    left = Countdown()
    with Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat:
        for start in range(0, len(questions), at_a_time):
            heartbeat.doing(f"sampling: {left(start / len(questions))}")
            part = questions[start : start + at_a_time]
            own = derive_seed(seed, "warm-start", start)
            groups += sample_groups(part, policy, env, sampling, seed=own)
    return groups


def _expert(probe: ActingProbe, env: ToolEnv, questions: Sequence[Question]) -> Estimate | None:
    """How often the scripted expert answers these questions rightly."""
    rollouts = roll_agent(probe.expert(env), env, [env.begin(question) for question in questions])
    return estimate_ratio([rollout.reward for rollout in rollouts], [1] * len(rollouts))
