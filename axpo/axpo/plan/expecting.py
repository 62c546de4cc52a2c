"""Defines `workload_of`: what a configuration's steps will do, from what is given, read, known of a run, or assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from axpo.algorithm.methods import configured, method_named
from axpo.algorithm.questions import training_questions
from axpo.algorithm.selection import prefix_budget
from axpo.plan.workload import Expected, Workload
from axpo.records._folder import CONFIG, METRICS
from axpo.run._env_making import make_env
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import read_toml
from axpo_agents.transformers_policy.shapes import KnownModel
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.types import Question

GIVEN: Final = "given"
ASSUMED: Final = "assumed"
_LETTERS: Final = 4.0
"""Letters of a token, where no tokenizer is at hand."""
_SHOWN: Final = 4
"""Questions whose prompts are read."""
_ASSUMED: Final = {
    "tool_rate": 1 / 3,
    "calls": 1.5,
    "observation_tokens": 128.0,
    "tool_seconds": 0.5,
}
_UPPER: Final = {"trained_share": 1.0, "selected_share": 1.0}
"""What is at most so."""


@dataclass(slots=True)
class _Known:
    """What is known so far; the first to know something is believed."""

    values: dict[str, float] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def learn(self, found: Mapping[str, float | None], source: str) -> None:
        for name, value in found.items():
            if value is not None and name not in self.values:
                self.values[name], self.sources[name] = float(value), source


def workload_of(config: TrainConfig, model: KnownModel, expected: Expected, *, like: Path | None = None) -> Workload:
    """What a step of a configuration does.

    Args:
        config: the run's settings, checked.
        model: whose tokens are counted.
        expected: what the user says of episodes.
        like: a run whose episodes are alike, such as a short one of the same environment and model.

    Raises:
        ConfigError: the environment cannot be made, or the run has no records.
    """
    config = configured(config)
    known = _Known()
    known.learn(asdict(expected), GIVEN)
    if any(name not in known.values for name in ("prompt_tokens", "prompt_images", "image_tokens")):
        known.learn(*_read(config, model))
    run = None if like is None else _Run.of(like)
    if run is not None:
        known.learn(run.turns(), run.source)
    sampling = config.sampling
    known.learn(_ASSUMED, ASSUMED)
    known.learn(
        {
            "turn_tokens": sampling.max_turn_tokens / 3,
            "observation_images": float(known.values["prompt_images"] > 0),
            "tools_at_once": 16.0,
        },
        ASSUMED,
    )
    longest = min(4 * known.values["turn_tokens"], sampling.max_turn_tokens)
    known.learn({"longest_turn": longest}, ASSUMED)
    if run is not None:
        known.learn({"trained_share": run.trained_share(known)}, run.source)
    known.learn(_UPPER, ASSUMED)
    return _workload(config, known)


def _workload(config: TrainConfig, known: _Known) -> Workload:
    sampling, selection = config.sampling, config.selection
    selects = method_named(config.method).select is not None
    budget = prefix_budget(selection, sampling.questions * sampling.group_size) if selects else 0
    values = {**_UPPER, **known.values}
    share = values.pop("selected_share")
    return Workload(
        questions=sampling.questions,
        group_size=sampling.group_size,
        prefixes=budget * share,
        continuations=selection.continuations if budget else 0,
        longest_episode=sampling.max_episode_tokens,
        sources=known.sources,
        **values,
    )


def _read(config: TrainConfig, model: KnownModel) -> tuple[dict[str, float | None], str]:
    """What the prompts of the first questions hold, and how that was counted."""
    env = make_env(config.env, parse_env_args(config.env_args))
    questions = training_questions(
        env.questions, seed=config.seed, step=1, count=min(_SHOWN, config.sampling.questions)
    )
    prompts = [_prompt(model, env, question) for question in questions]
    images = [image for _, shown in prompts for image in shown]
    sizes = [] if model.images is None else [model.images.token_count(model.images.grid(image)) for image in images]
    source = "read of the environment" + ("" if model.contexts else f", {_LETTERS:g} letters a token")
    waits = any(tool.timeout_s is not None for tool in env.tools)
    found: dict[str, float | None] = {
        "prompt_tokens": fmean(tokens for tokens, _ in prompts),
        "prompt_images": len(sizes) / len(prompts),
        "image_tokens": fmean(sizes) if sizes else 0.0,
        "tools_at_once": None if waits else 1.0,
    }
    if not env.tools:
        found["tool_rate"] = 0.0
    return found, source


def _prompt(model: KnownModel, env: ToolEnv, question: Question) -> tuple[float, tuple[ImageRef, ...]]:
    """The text tokens of a question's prompt, and its images."""
    state = env.begin(question)
    if model.contexts is not None:
        context = model.contexts.encode_prompt(env, state)
        shown = 0
        if model.images is not None:
            shown = sum(model.images.token_count(model.images.grid(image)) for image in context.images)
        return len(context.ids) - shown, context.images
    opening = env.opening(state)
    letters = len(env.instructions) + sum(len(part) for part in opening if isinstance(part, str))
    letters += sum(len(json.dumps(dict(tool.parameters))) + len(tool.description) for tool in env.tools)
    return letters / _LETTERS, tuple(part for part in opening if isinstance(part, ImageRef))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run that episodes are like."""

    source: str
    records: tuple[dict[str, Any], ...]
    settings: TrainConfig

    @classmethod
    def of(cls, folder: Path) -> _Run:
        if not (folder / CONFIG).is_file():
            raise ConfigError(f"like: expected the folder of a training run; {folder} has no {CONFIG}")
        settings = read_toml(folder / CONFIG, TrainConfig)
        path = folder / METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        records = [json.loads(line) for line in lines if line.strip()]
        if not records:
            raise ConfigError(f"like: expected a run with finished steps; {folder} has none")
        # The first step compiles, fills caches and reads files.
        return cls(source=f"of the run {folder}", records=tuple(records[1:] or records), settings=settings)

    def turns(self) -> dict[str, float | None]:
        """What the records tell of episodes."""
        mean = partial(_mean, self.records)
        grown, rate = mean("continuations"), mean("tool_attempt_rate")
        whole = mean("rollouts") - grown
        called = whole * rate + grown
        turns = whole + called + 0.5 * grown
        budget = prefix_budget(self.settings.selection, round(whole))
        return {
            "tool_rate": rate,
            # Records do not count them; an episode that calls once is the rule.
            "calls": 1.0,
            "turn_tokens": mean("tokens") / turns,
            "tool_seconds": mean("seconds_environment") / called if called else 0.0,
            "selected_share": mean("selected_prefixes") / budget if budget else None,
        }

    def trained_share(self, known: _Known) -> float:
        """How much of what the steps sampled passed through the model in their updates."""
        mean = partial(_mean, self.records)
        own = _workload(configured(self.settings), known)
        sampled = replace(own, prefixes=mean("selected_prefixes"))
        return mean("scored_tokens") / sampled.tree_tokens


def _mean(records: Sequence[Mapping[str, Any]], name: str) -> float:
    return fmean(record[name] or 0.0 for record in records)
