"""Defines what is asked of a server and what it answers, whatever its dialect: `Request`, `Answer` and `Choice`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from axpo_agents.types import WHOLE, Truncation
from axpo_envs.errors import InfrastructureFault
from axpo_envs.images import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Turns that are asked for after one prompt."""

    ids: tuple[int, ...]
    """The prompt, one placeholder per image."""
    images: tuple[ImageRef, ...] = ()
    """The images in the order of their placeholders."""
    max_tokens: int = 1
    """Limit of each turn, at least 1."""
    count: int = 1
    """How many turns."""
    temperature: float = 1.0
    """Divides the logits; 0.0 takes the most probable token."""
    truncation: Truncation = WHOLE
    """What the tempered distribution is restricted to."""
    presence_penalty: float = 0.0
    """Taken from the logits of ids that a turn has sampled."""
    seed: int = 0
    """Seeds the turns; from 0 to 2**31 - 1."""
    bias: Mapping[int, float]
    """What is added to the logits of some ids."""
    stop_ids: tuple[int, ...]
    """Ids that end a turn."""
    scored: bool = False
    """Whether the log-probabilities of the prompt are asked for as well."""
    family: int = 0
    """Requests of one family begin with the same prompt, which a server may still know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the turns that a server wrote."""

    ids: tuple[int, ...]
    """Its token ids."""
    logprobs: tuple[float, ...]
    """Their log-probabilities, as many."""
    top: tuple[float, ...]
    """The highest log-probabilities where its first token stands, in falling order."""
    finish: str
    """Why it ended, in the server's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered to a request."""

    choices: tuple[Choice, ...]
    """The turns, as many as were asked for."""
    prompt_ids: tuple[int, ...] | None
    """The prompt as the server read it, image placeholders expanded; None if it does not say."""
    versions: tuple[str, ...] = ()
    """Versions of the weights that sampled the turns, each once, as the server names them; none if it does not say."""
    version: int | None = None
    """Version of the learner's weights that sampled them, where one is followed."""
    prompt_logprobs: tuple[float, ...] | None
    """Log-probability of each token of the prompt but the first; None if the server does not say."""


class AnswerError(InfrastructureFault):
    """A server's answer lacks what is needed, or contradicts the request."""

    def __init__(self, what: str) -> None:
        # Its only argument, so that it is the same fault where workers send it.
        super().__init__(what)

    def __str__(self) -> str:
        return f"the server's answer {self.args[0]}"
