"""Defines `Subject`, a policy with the rollouts that it made, and `Finding`, what a probe of it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from axpo.algorithm.sampling import run_starts
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Group
from axpo.diagnostics.estimates import Estimate
from axpo.evaluation.evaluate import EvaluationPlan
from axpo.settings._probe import ProbeConfig
from axpo_agents.policy import Sampler
from axpo_agents.rolling import Lost, Start
from axpo_agents.types import Rollout
from axpo_envs.env import ToolEnv


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A policy, and the rollouts from whose snapshots it is asked again."""

    policy: Sampler
    """Samples the turns."""
    env: ToolEnv
    """Executes them."""
    groups: tuple[Group, ...]
    """The rollouts of every question, as `evaluate` samples them."""
    plan: EvaluationPlan
    """How they were sampled, and what counts as wrong."""
    config: ProbeConfig
    """How the probes are made."""

    @property
    def at_once(self) -> int:
        """Episodes that are sampled together."""
        return self.plan.sampling.questions * self.plan.sampling.group_size

    def right(self, rollout: Rollout) -> bool:
        """Whether it succeeded."""
        return rollout.reward >= self.plan.success_threshold

    def seed(self, *parts: int | str) -> int:
        """A seed for one purpose."""
        return derive_seed(self.plan.seed, "probe", *parts)

    def grow(self, starts: Sequence[Start], *, forbidden: tuple[int, ...] = ()) -> list[Rollout | None]:
        """Runs episodes to their ends, each by its own seed alone.

        Args:
            starts: moments within rollouts; each has a seed.
            forbidden: token ids that are not sampled.

        Returns:
            In their order; None where infrastructure faults took the episode for good.
        """
        grown: list[Rollout | None] = []
        for first in range(0, len(starts), self.at_once):
            part = starts[first : first + self.at_once]
            ended = run_starts(
                part, self.policy, self.env, self.plan.sampling, seed=self.seed("episodes"), forbidden=forbidden
            )
            grown += [None if isinstance(outcome, Lost) else outcome for outcome in ended]
        return grown


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a probe found."""

    metrics: Mapping[str, Estimate | None]
    """Its measures, with intervals over questions; None where there was nothing to count."""
    questions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """What was counted of a question, by its place among the subject's groups."""
    episodes: int = 0
    """Episodes that were sampled for it and finished."""
    dropped: int = 0
    """Episodes that infrastructure faults took; they are scored nowhere."""
    undecided: int = 0
    """Rollouts to which it could not be done; they are left out."""
