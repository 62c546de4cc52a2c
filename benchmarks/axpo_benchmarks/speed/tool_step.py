"""Measures whole tool-using steps of the embedded policy (AXPO on VisualZoom), plain form / ours.

The plain form samples with `PlainPolicy` and trains padded rows. Both write the same tokens, so their steps do the same
work: the same turns, crops, branches and training items.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Final

from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.step import Training, train_step
from axpo.algorithm.types import Group
from axpo.compare.comparison import EMBEDDED
from axpo.run.environments import make_worlds
from axpo.settings.config import TrainConfig
from axpo_agents.policy import Sampler
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy
from axpo_benchmarks.speed.pairs import Pairs, measure_pairs
from axpo_benchmarks.speed.plain import PlainPolicy
from axpo_benchmarks.speed.rows import Absolute, Row

STEP: Final = replace(
    EMBEDDED,
    sampling=replace(EMBEDDED.sampling, questions=4),
    optim=replace(EMBEDDED.optim, lr=1e-4),
)
"""4 groups of 8 rollouts, two branches of 4 continuations."""


def measure(config: TrainConfig = STEP, *, repeats: int = 10) -> list[Row]:
    """Steps on as many sets of questions as there are repeats; every step starts from the shipped weights."""
    policy, rows = (load_policy("tiny", LoadSettings(packing=packing)) for packing in ("tree", "rows"))
    ours, plain = ToolStep(policy, policy, config), ToolStep(rows, PlainPolicy(rows, tiny_folder()), config)

    def start_anew() -> None:
        plain.restore()
        ours.restore()

    return list(_rows(plain, ours, measure_pairs(plain, ours, repeats=repeats, prepare=start_anew)))


class ToolStep:
    """A whole step: questions, rollouts, branches, advantages, reference and update.

    Args:
        policy: what is trained.
        sampler: what samples; `policy` itself or its plain form.
        config: sizes and settings, with a learning rate.

    Attributes:
        rollout_seconds: seconds of sampling and resampling, environment included, by step.
        training_seconds: seconds of everything behind them, by step.
        groups: what the last step sampled.
    """

    def __init__(self, policy: TransformersPolicy, sampler: Sampler, config: TrainConfig) -> None:
        self._policy = policy
        env = make_worlds(config.env, config.env_args).training
        self._training = replace(Training.of(config, env, policy), sampler=sampler)
        self._start = {name: value.clone() for name, value in policy.model.state_dict().items()}
        self.rollout_seconds: list[float] = []
        self.training_seconds: list[float] = []
        self.groups: tuple[Group, ...] = ()

    def restore(self) -> None:
        """Goes back to the weights of the start, with a new optimizer."""
        self._policy.model.load_state_dict(self._start)
        optimizer = Optimizer(self._policy.trainable_parameters(), self._training.config.optim)
        self._training = replace(self._training, optimizer=optimizer)

    def __call__(self) -> None:
        """Takes a step; each has questions of its own."""
        began = time.perf_counter()
        step = len(self.rollout_seconds) + 1
        outcome = train_step(self._training, step, before_update=lambda: self._rolled_since(began))
        self.groups = outcome.groups
        self.training_seconds.append(time.perf_counter() - began - self.rollout_seconds[-1])

    def _rolled_since(self, began: float) -> None:
        self.rollout_seconds.append(time.perf_counter() - began)


def _rows(plain: ToolStep, ours: ToolStep, steps: Pairs) -> Iterator[Row]:
    # The first step of each has warmed up.
    rollouts = Pairs(first=tuple(plain.rollout_seconds[1:]), second=tuple(ours.rollout_seconds[1:]))
    training = Pairs(first=tuple(plain.training_seconds[1:]), second=tuple(ours.training_seconds[1:]))
    yield steps.ratio("tool-using step, plain / ours", None)
    yield rollouts.ratio("its rollouts, plain / ours", None)
    yield training.ratio("its training, plain / ours", None)
    for name, whole, part in (
        ("plain", steps.first, rollouts.first),
        ("ours", steps.second, rollouts.second),
    ):
        yield Absolute(name=f"tool-using step, {name}", value=median(whole), unit="s", limit=None)
        share = 100 * sum(part) / sum(whole)
        yield Absolute(name=f"share of rollouts in it, {name}", value=share, unit="%", limit=None)
