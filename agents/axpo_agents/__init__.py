"""Agents: policies that turn observations into assistant turns, and the rolling of whole episodes with them."""

from axpo_agents.policy import Learner, Prefix, Sampled, Sampler, Scorer, TextAgent, TurnSpans
from axpo_agents.rolling import Lost, Start, roll, roll_agent
from axpo_agents.team import play_team
from axpo_agents.types import Completion, Context, FinishReason, Rollout, Sampling, Span, TokenSequence

__all__ = [
    "Completion",
    "Context",
    "FinishReason",
    "Learner",
    "Lost",
    "Prefix",
    "Rollout",
    "Sampled",
    "Sampler",
    "Sampling",
    "Scorer",
    "Span",
    "Start",
    "TextAgent",
    "TokenSequence",
    "TurnSpans",
    "play_team",
    "roll",
    "roll_agent",
]
