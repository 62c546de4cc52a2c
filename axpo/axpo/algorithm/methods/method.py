"""Defines `Method`, a way to train: which prefixes it selects, how it credits, what it minimizes and asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.types import Advantage, BranchPoint, Group
from axpo.settings.config import LossConfig, TrainConfig
from axpo_envs.types import Question

if TYPE_CHECKING:
    import torch

    from axpo.algorithm.loss import LossStats, Targets


class Select(Protocol):
    """Chooses the prefixes that are resampled."""

    def __call__(self, groups: Sequence[Group], config: TrainConfig, *, seed: int) -> tuple[BranchPoint, ...]:
        """Points in the order of their selection."""
        ...


class Credit(Protocol):
    """Turns the rewards of a step into advantages."""

    def __call__(self, groups: Sequence[Group], config: TrainConfig) -> tuple[Advantage, ...]:
        """Advantages of stretches of rollouts and continuations."""
        ...


class LossFunction(Protocol):
    """What is minimized."""

    def __call__(
        self, logprobs: torch.Tensor, targets: Targets, config: LossConfig, *, reference: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, LossStats]:
        """The loss of one micro-batch, a scalar, and its statistics; see `axpo.algorithm.loss.policy_loss`.

        `targets.sequences` tells which tokens belong together.
        """
        ...


class Rounds(Protocol):
    """What a method may do between sampling and the update: look at the groups, and ask for more."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups so far."""
        ...

    @property
    def config(self) -> TrainConfig:
        """The run's settings."""
        ...

    def seed(self, purpose: str) -> int:
        """A seed that belongs to this step and a purpose; what a method draws must follow from it."""
        ...

    def sample(self, questions: int) -> tuple[Group, ...]:
        """Groups of so many questions that this step has not asked yet; counted in what the step costs."""
        ...

    def ask(self, questions: Sequence[Question], *, size: int) -> tuple[Group, ...]:
        """Groups of so many rollouts of these very questions, in their order; counted in what the step costs.

        A question whose rollouts are all lost has no group.
        """
        ...

    def attempt(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        """The same groups with branches grown from these points of theirs: second attempts."""
        ...

    def act(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        """The same, with a tool call that is forced open behind the thinking of each point's turn, which holds none;
        where there is no tool, or a call would not be read, nothing grows.

        Raises:
            ConfigError: the policy does not say how calls begin.
        """
        ...


def _as_it_is(config: TrainConfig) -> TrainConfig:
    return config


def _group_relative(groups: Sequence[Group], config: TrainConfig) -> tuple[Advantage, ...]:
    return compute_advantages(groups, config.advantages, success_threshold=config.success_threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to train; what it leaves out is done as GRPO does it."""

    name: str
    """How it is asked for."""
    label: str
    """What people read."""
    colour: str | None = None
    """Its role in the palette of charts (`axpo.report._palette.LIGHT`); None takes the next free one."""
    configure: Callable[[TrainConfig], TrainConfig] = _as_it_is
    """What it makes of a configuration; applied twice it changes nothing more."""
    first_rollouts: Callable[[TrainConfig], int] | None = None
    """How many rollouts of a question are sampled at first, where `refine` adds others; None is `group_size`."""
    refine: Callable[[Rounds], tuple[Group, ...]] | None = None
    """What it makes of the groups that were sampled, before prefixes are selected; None leaves them."""
    recovers: bool = False
    """Whether `refine` resamples failed rollouts, so that dynamic sampling must leave it those that it could."""
    select: Select | None = None
    """Which prefixes are resampled; None for none."""
    credit: Credit = _group_relative
    """How rewards become advantages."""
    loss: LossFunction | None = None
    """What is minimized; None is Eq. 5 and 6, `axpo.algorithm.loss.policy_loss`."""
    changes: Method | None = None
    """The method that it is a change of, such as AXPO for its variants: what combining it with another goes by
    (`combined_method`). None is GRPO."""
