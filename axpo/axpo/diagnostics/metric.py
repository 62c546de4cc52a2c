"""Defines `Metric`, all there is to know of one measure, and `Asked`, the episodes of a question that it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from axpo.diagnostics.demands import Demands
from axpo_envs.types import CallRecord, Episode, Question


class Better(StrEnum):
    """Which way a measure is better."""

    HIGHER = "higher"
    """More of it is better."""
    LOWER = "lower"
    """Less of it is better."""
    NEITHER = "neither"
    """It describes; it does not judge."""


class Unit(StrEnum):
    """What a measure is measured in."""

    SHARE = "share"
    """Between 0 and 1."""
    REWARD = "reward"
    """What the environment's rewards are in."""
    COUNT = "count"
    """A number of things."""
    SECONDS = "seconds"
    """Wall-clock time."""


class Shown(StrEnum):
    """Where a measure is shown without being asked for."""

    STEP = "step"
    """In the line of a training step."""
    EVALUATION = "evaluation"
    """In the line of an evaluation."""
    CHART = "chart"
    """As a curve over a run's steps."""
    TILE = "tile"
    """As a headline figure of a run and of a comparison."""


class Rate(NamedTuple):
    """What is counted of a question, and out of how many."""

    part: float
    whole: int


class Grown(NamedTuple):
    """Episodes grown from the prefix of another."""

    source: Episode
    continuations: tuple[Episode, ...]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The episodes of one question, as measures look at them; it needs neither tokens nor our rollouts."""

    question: Question
    """What was asked."""
    episodes: tuple[Episode, ...]
    """The episodes sampled from the question."""
    grown: tuple[Grown, ...] = ()
    """What was resampled from some of them."""
    thinking_of_tools: Callable[[Episode], bool] | None = None
    """Whether an episode's thinking names a tool; None where no tool is known."""
    without_room: int = 0
    """Episodes whose question left no room for a token."""
    success_threshold: float = 0.5
    """An episode with a reward below it is wrong."""

    @cached_property
    def acting(self) -> tuple[Episode, ...]:
        """Those that opened a call."""
        return tuple(episode for episode in self.episodes if episode.used_tool)

    @cached_property
    def idle(self) -> tuple[Episode, ...]:
        """Those that opened none."""
        return tuple(episode for episode in self.episodes if not episode.used_tool)

    @cached_property
    def calls(self) -> tuple[CallRecord, ...]:
        """All their calls."""
        return tuple(call for episode in self.episodes for call in episode.calls)

    @cached_property
    def continuations(self) -> tuple[Episode, ...]:
        """Everything that was resampled."""
        return tuple(episode for grown in self.grown for episode in grown.continuations)

    @cached_property
    def demands(self) -> Demands:
        """What the question demands of acting."""
        return Demands.of(self.question)

    def wrong(self, episode: Episode) -> bool:
        """Whether it failed."""
        return episode.reward < self.success_threshold

    def right(self, episodes: Sequence[Episode]) -> Rate:
        """How many succeeded."""
        return share([not self.wrong(episode) for episode in episodes])

    def all_wrong(self, episodes: Sequence[Episode]) -> Rate:
        """Whether all of some episodes failed; nothing to count where there are none."""
        return Rate(float(all(map(self.wrong, episodes))), 1) if episodes else NOTHING

    def is_recovered(self, grown: Grown) -> bool:
        """Eq. 3: whether some continuation succeeded."""
        return not all(map(self.wrong, grown.continuations))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure: what it is called, what it means, and how it is counted."""

    name: str
    """Its name in records and files."""
    label: str
    """What people read."""
    meaning: str
    """What it says, in a sentence."""
    better: Better = Better.NEITHER
    """Which way it is better."""
    unit: Unit = Unit.SHARE
    """What it is measured in."""
    counted: Callable[[Asked], Rate] | None = None
    """What is counted of a question, and out of how many; the measure is the ratio of the sums. None: it is made
    elsewhere."""
    shown: tuple[Shown, ...] = ()
    """Where it is shown without being asked for."""
    optional: bool = False
    """It is shown, there and in tables of all measures, only where it was observed: most questions do not ask it."""

    @property
    def title(self) -> str:
        """The label as the heading of something."""
        return self.label[:1].upper() + self.label[1:]


NOTHING = Rate(0.0, 0)
"""There is nothing to count."""


def share(flags: Sequence[bool]) -> Rate:
    """How many are true."""
    return Rate(float(sum(flags)), len(flags))
