"""Defines `times_of`: the seconds of a step by phase, from a workload and what its operations cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from axpo.plan.costs import UnitCosts
from axpo.plan.placement import Placement
from axpo.plan.workload import Workload
from axpo.settings._serving import LEARNER
from axpo.settings.config import TrainConfig

_NARROWING: Final = 1.3
"""Rows that are computed for each that is still written: a batch becomes smaller when half of its turns have ended."""
SPREAD: Final = 1.15
"""How much longer the slowest of several processes samples than their mean; assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of a step."""

    phases: Mapping[str, float]
    """By phase."""
    step: float
    """The whole step; less than the phases' sum where sampling and updating happen at the same time."""
    passes: int
    """Forward and backward passes of an update, on each device."""

    @property
    def sampling(self) -> float:
        """Everything up to the update."""
        return sum(self.phases[name] for name in ("questions", "sampling", "resampling", "tools"))

    @property
    def learning(self) -> float:
        """The update and what belongs to it."""
        return sum(self.phases[name] for name in ("drift", "reference", "update"))


def times_of(config: TrainConfig, work: Workload, costs: UnitCosts, placement: Placement) -> Times:
    """The seconds of a step."""
    devices = placement.samplers or placement.learners
    sampler = _Sampler(costs=costs, work=work, devices=devices, lockstep=config.sampler == LEARNER)
    passes, tokens = _passes(config, work, placement)
    images = work.images * work.trained_share / placement.learners
    reading = costs.reference_pass_s * passes + costs.reference_s * tokens + costs.image_s * images
    drifts = bool(config.loss.max_importance) or config.sampler != LEARNER or config.max_staleness > 0
    minibatches = min(config.optim.minibatches, work.questions)
    phases = {
        "questions": costs.question_s * work.questions / devices,
        "sampling": sampler.seconds(work.episodes, work.turns, first=True),
        "resampling": sampler.seconds(work.grown, work.grown_turns, first=False),
        "tools": sampler.tools(),
        "drift": reading if drifts else 0.0,
        "reference": reading if config.loss.kl > 0 else 0.0,
        "update": (
            costs.train_pass_s * passes
            + costs.train_s * tokens
            + costs.train_image_s * images
            + costs.optimizer_s * minibatches
        ),
        "weights": costs.weights_s,
    }
    whole = Times(phases=phases, step=sum(phases.values()), passes=passes)
    if config.max_staleness == 0:
        return whole
    at_once = max(whole.sampling, whole.learning + phases["weights"])
    return Times(phases=phases, step=at_once, passes=passes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampler:
    """Samples episodes on several devices: all turns of a round together, or each episode by itself (servers)."""

    costs: UnitCosts
    work: Workload
    devices: int
    lockstep: bool

    def seconds(self, episodes: float, turns: float, *, first: bool) -> float:
        """What sampling so many episodes takes, without their tools."""
        if episodes == 0:
            return 0.0
        costs, work = self.costs, self.work
        rounds = max(1, round(work.calls) + 1) if work.tool_rate or not first else 1
        own = episodes / self.devices
        tokens = own * turns * work.turn_tokens
        observed = own * (turns - 1 if first else work.calls)
        read = observed * work.observation + (work.questions / self.devices * work.prompt if first else 0.0)
        images = observed * work.observation_images
        images += work.questions / self.devices * work.prompt_images if first else 0.0
        longest = max(work.longest_turn, work.turn_tokens)
        steps = rounds * longest if self.lockstep else max(turns, 1.0) * longest
        seconds = costs.call_s * rounds + costs.step_s * steps
        seconds += costs.row_s * tokens * (_NARROWING if self.lockstep else 1.0)
        seconds += costs.read_s * read + costs.image_s * images
        return seconds * (SPREAD if self.devices > 1 else 1.0)

    def tools(self) -> float:
        """What the tools take: those of a round one behind the other as far as they do not run side by side; where each
        episode goes its own way, those of the slowest alone are waited for."""
        work = self.work
        calls = work.tool_calls / self.devices
        if self.lockstep:
            return work.tool_seconds * calls / min(work.tools_at_once, max(calls, 1.0))
        return work.tool_seconds * work.calls


def _passes(config: TrainConfig, work: Workload, placement: Placement) -> tuple[int, float]:
    """Passes of each learner in an update, and the tokens in them."""
    tokens = work.passed_tokens(config.policy.packing) / placement.learners
    minibatches = min(config.optim.minibatches, work.questions)
    each = max(1, math.ceil(tokens / minibatches / config.optim.micro_batch_tokens))
    return minibatches * each, tokens
