"""Defines `StepRounds`, the sampling of one training step: the first round, and those that its method asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from axpo.algorithm._cost import Cost, cost_of
from axpo.algorithm._forced_call import Opener, opened
from axpo.algorithm.questions import training_questions
from axpo.algorithm.sampling import resample, sample_groups, sampling_of
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import TrainConfig
from axpo_agents.rolling import Lost
from axpo_envs.types import Question

if TYPE_CHECKING:
    from axpo.algorithm.step import Phase, Training


@dataclass(slots=True)
class StepRounds:
    """The sampling of one step: the first round, and those that its method asks for."""

    training: Training
    step: int
    phase: Phase
    groups: tuple[Group, ...] = ()
    points: tuple[BranchPoint, ...] = ()
    lost_rollouts: list[Lost] = field(default_factory=list)
    lost_continuations: list[Lost] = field(default_factory=list)
    given_up: int = 0
    sampled: Cost = field(default_factory=Cost)
    _asked: int = 0
    _attempts: int = 0

    @property
    def config(self) -> TrainConfig:
        """The run's settings."""
        return self.training.config

    def begin(self) -> None:
        """Samples the step's own questions."""
        with self.phase("environment"):
            count = self.config.sampling.questions
            source = self.training.env.questions
            questions = training_questions(source, seed=self.config.seed, step=self.step, count=count)
        self.groups = self._sampled(questions, self.training.seed(self.step, "sampling"))

    def seed(self, purpose: str) -> int:
        """A seed of one purpose in this step."""
        return self.training.seed(self.step, f"method {purpose}")

    def ask(self, questions: Sequence[Question], *, size: int) -> tuple[Group, ...]:
        """Groups of these very questions."""
        self._asked += 1
        return self._sampled(questions, self.training.seed(self.step, f"sampling {self._asked}"), size=size)

    def sample(self, questions: int) -> tuple[Group, ...]:
        """Groups of further questions: of a sequence of their own, so that those of later steps stay what they are."""
        self._asked += 1
        seed = self.training.seed(self.step, f"further questions {self._asked}")
        with self.phase("environment"):
            asked = training_questions(self.training.env.questions, seed=seed, step=1, count=questions)
        return self._sampled(asked, self.training.seed(self.step, f"sampling {self._asked}"))

    def attempt(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        """The groups with branches grown from these points."""
        purpose = "resampling" if self._attempts == 0 else f"resampling {self._attempts}"
        self._attempts += bool(points)
        self.points += tuple(points)
        with self.phase("resampling"):
            grown = resample(
                groups,
                points,
                self.training.sampler,
                self.training.env,
                self.config.sampling,
                seed=self.training.seed(self.step, purpose),
                on_lost=self.lost_continuations.append,
            )
        self.sampled = self.sampled.plus(cost_of(grown)).minus(cost_of(groups))
        self.given_up += len(points) - sum(len(group.branches) for group in grown)
        self.given_up += sum(len(group.branches) for group in groups)
        return grown

    def act(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        """The groups with branches behind calls that are forced open."""
        training, tools = self.training, self.training.env.tools
        if not (points and tools):
            return tuple(groups)
        sampling = sampling_of(self.config.sampling, training.sampler)
        opener = Opener(sampler=training.sampler, scorer=training.learner, sampling=sampling, tool=tools[0].name)
        with self.phase("resampling"):
            forced = opened(groups, points, opener)
        return self.attempt(groups, forced)

    def _sampled(self, questions: Sequence[Question], seed: int, *, size: int | None = None) -> tuple[Group, ...]:
        first = self.training.method.first_rollouts
        size = size or (self.config.sampling.group_size if first is None else first(self.config))
        with self.phase("sampling"):
            groups = sample_groups(
                questions,
                self.training.sampler,
                self.training.env,
                replace(self.config.sampling, group_size=size),
                seed=seed,
                on_lost=self.lost_rollouts.append,
            )
        self.sampled = self.sampled.plus(cost_of(groups))
        return groups
