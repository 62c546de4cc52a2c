"""Defines the settings of probes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from axpo.settings.values import Count, Nucleus


class ProbeName(StrEnum):
    """What is done to a policy."""

    DIVERSITY = "diversity"
    """Calls are sampled anew from one thought per question: how many different ones come."""
    TOOLS = "tools"
    """Every rollout that calls a tool is sampled once more without calls: what tools gain and harm."""
    FORCED = "forced"
    """Every rollout that calls no tool is made to call one behind its thinking: what acting would have brought."""


class Sources(StrEnum):
    """Whose thinking is frozen where calls are sampled anew."""

    ANY = "any"
    """The first rollout of a question that calls a tool."""
    FAILED = "failed"
    """The first one that calls a tool and fails, as the paper has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """Which probes are made, and how."""

    probes: tuple[ProbeName, ...] = tuple(ProbeName)
    """The probes; the attempt rate and the success of acting are measured by every one."""
    resamples: Count = 16
    """Calls that are sampled anew from each thinking prefix."""
    sources: Sources = Sources.ANY
    """Whose thinking is frozen for that."""
    overlap: Nucleus = 0.5
    """Calls with boxes are one where the boxes' intersection is at least this share of their union."""
    ignored_arguments: tuple[str, ...] = ("label",)
    """Arguments that do not tell calls apart."""
    attempts: Count = 8
    """How often a turn is sampled anew that calls a tool although it must not; needed only where calls open with
    several tokens."""
