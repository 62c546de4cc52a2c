"""Defines `Cluster`, what a simulation plays, `Chances`, what it draws, and `Outcome`, what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from axpo.settings.values import Count, CountOrNone, NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices, what they take for what, and what episodes are like."""

    engines: int
    """Devices that sample."""
    together: bool
    """Whether they learn as well, so that nothing is sampled during an update."""
    lockstep: bool
    """Whether a device's episodes take their turns together, its tools in between, as this package's own engine does.
    Else each episode goes its own way, to the engine that has least to do, as servers have it."""
    tools_at_once: float = 1.0
    """With `lockstep`: calls that run side by side on a device."""
    step_s: float
    """Seconds of a token of all turns that an engine has under way."""
    row_s: float
    """Seconds of it for each of them."""
    concurrency: int
    """Turns that an engine has under way at most."""
    read_s: float
    """Seconds of reading a context token."""
    learn_s: float
    """Seconds of an update, the reference's passes included."""
    weights_s: float
    """Seconds in which new weights reach what samples, once it has stopped."""
    waits_for_turns: bool = True
    """Whether turns under way are waited for before new weights are loaded."""
    max_staleness: int = 0
    """Updates that the weights may be behind which sample."""
    episodes: int
    """Rollouts of a step."""
    continuations: int
    """Continuations of a step."""
    prompt: float
    """Tokens of a prompt, read once for `group_size` episodes."""
    group_size: int
    """Rollouts of a question."""
    observation: float
    """Tokens of a tool's result."""
    turn_tokens: float
    """Mean tokens of a turn."""
    most_tokens: float
    """A turn's limit."""
    tool_rate: float
    """Share of episodes that call tools."""
    calls: float
    """Mean calls of such an episode."""
    tool_s: float
    """Mean seconds of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What a simulation draws."""

    steps: Count = 10
    """Steps that are simulated; the first one fills the pipeline and is not counted."""
    seed: CountOrNone = 0
    """Of everything that is drawn."""
    turn_spread: NonNegative = 0.8
    """Standard deviation of the logarithm of a turn's tokens: with 0.8 the longest of 1,000 turns has about 8 times as
    many as the mean."""
    tool_spread: NonNegative = 1.0
    """The same of a call's seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where the time of a step goes, in means over steps."""

    step_s: float
    """Seconds from one update's end to the next."""
    learner_share: float
    """Share of it that the learner computes."""
    waiting_share: float
    """Share of it that the learner waits for rollouts or weights."""
    engine_share: float
    """Share of it that engines have turns under way, on average."""
    fullness: float
    """Turns that an engine has under way while it has any, on average."""
    tail_s: float
    """Seconds from the moment when 90 % of a step's episodes have ended to its last one's end."""
    tool_share: float
    """Share of an episode's time that its tools take."""
    tokens_per_s: float
    """Sampled tokens per second, of all devices."""
    staleness: float
    """Updates that the weights were behind, at the learner, on average."""
