"""Defines `Workload`, how much a step samples, reads and trains, and `Expected`, what is said of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from axpo.settings.values import NonNegative, Positive, Probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What episodes are like; None is read of the environment or of a run, or assumed, and the plan says which."""

    prompt_tokens: NonNegative | None = None
    """Text tokens of a prompt, descriptions of tools included."""
    prompt_images: NonNegative | None = None
    """Images in a prompt."""
    image_tokens: NonNegative | None = None
    """Tokens of an image."""
    tool_rate: Probability | None = None
    """Share of episodes that call a tool; assumed to be a third."""
    calls: Positive | None = None
    """Turns that call a tool, in an episode that calls one; assumed to be 1.5."""
    turn_tokens: Positive | None = None
    """Tokens that are sampled in a turn, on average; assumed to be a third of `sampling.max_turn_tokens`."""
    longest_turn: Positive | None = None
    """Tokens of the longest of all turns that are written at a time (first turns, say, or second ones); assumed to be
    four average turns, within `sampling.max_turn_tokens`."""
    observation_tokens: NonNegative | None = None
    """Text tokens of a tool's result; assumed to be 128."""
    observation_images: NonNegative | None = None
    """Images in a tool's result; assumed to be one where prompts hold any."""
    tool_seconds: NonNegative | None = None
    """Seconds that a call takes; assumed to be 0.5."""
    tools_at_once: Positive | None = None
    """Calls that run side by side; 1 where no tool may wait, else assumed to be 16."""
    trained_share: Probability | None = None
    """Share of a step's tokens that pass through the model in its update: stretches without advantage are left out, and
    with padded rows or without shared prompts it may exceed 1. Assumed to be 1."""
    selected_share: Probability | None = None
    """Share of the budget for prefixes that finds a prefix; assumed to be 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a step does, in numbers; means over episodes unless said otherwise."""

    questions: int
    """Questions of a step."""
    group_size: int
    """Rollouts of each."""
    prefixes: float
    """Prefixes that are resampled."""
    continuations: int
    """Continuations of each; 0 where nothing is resampled."""
    prompt_tokens: float
    """Text tokens of a prompt."""
    prompt_images: float
    """Images in a prompt."""
    image_tokens: float
    """Tokens of an image."""
    tool_rate: float
    """Share of episodes that call a tool."""
    calls: float
    """Turns that call a tool, in such an episode."""
    turn_tokens: float
    """Sampled tokens of a turn."""
    longest_turn: float
    """Sampled tokens of the longest of all turns that are written at a time."""
    observation_tokens: float
    """Text tokens of a tool's result."""
    observation_images: float
    """Images in it."""
    tool_seconds: float
    """Seconds of a call."""
    tools_at_once: float
    """Calls that run side by side."""
    trained_share: float
    """Share of the tokens of a step's trees that pass through the model in its update."""
    longest_episode: int
    """Most tokens that an episode may have."""
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where each number comes from that the configuration does not hold."""

    @property
    def episodes(self) -> int:
        """Rollouts of a step, without continuations."""
        return self.questions * self.group_size

    @property
    def grown(self) -> float:
        """Continuations of a step."""
        return self.prefixes * self.continuations

    @property
    def turns(self) -> float:
        """Turns of an episode."""
        return 1 + self.tool_rate * self.calls

    @property
    def prompt(self) -> float:
        """Tokens of a prompt, images included."""
        return self.prompt_tokens + self.prompt_images * self.image_tokens

    @property
    def observation(self) -> float:
        """Tokens of a tool's result, images included."""
        return self.observation_tokens + self.observation_images * self.image_tokens

    @property
    def response(self) -> float:
        """Tokens behind the prompt, observations included."""
        return self.turns * self.turn_tokens + (self.turns - 1) * self.observation

    @property
    def sequence(self) -> float:
        """Tokens of an episode."""
        return min(self.prompt + self.response, self.longest_episode)

    @property
    def grown_turns(self) -> float:
        """Turns of a continuation: the rest of the one that is cut, half of it, and those behind its calls."""
        return 0.5 + self.calls

    @property
    def sampled_tokens(self) -> float:
        """Tokens that a step samples."""
        return self.turn_tokens * (self.episodes * self.turns + self.grown * self.grown_turns)

    @property
    def read_tokens(self) -> float:
        """Context tokens that a step's sampling reads: each prompt once, each observation for its episode."""
        observed = self.episodes * (self.turns - 1) + self.grown * self.calls
        return self.questions * self.prompt + observed * self.observation

    @property
    def tool_calls(self) -> float:
        """Turns of a step that call a tool."""
        return self.episodes * (self.turns - 1) + self.grown * self.calls

    @property
    def images(self) -> float:
        """Different images of a step."""
        return self.questions * self.prompt_images + self.tool_calls * self.observation_images

    @property
    def tree_tokens(self) -> float:
        """Tokens of a step's token trees: prompts once, frozen prefixes once."""
        grown = self.turn_tokens * self.grown_turns + self.calls * self.observation
        return self.questions * self.prompt + self.episodes * self.response + self.grown * grown

    @property
    def row_tokens(self) -> float:
        """The same tokens, every sequence whole."""
        grown = self.prompt + (1 + self.calls) * self.turn_tokens + self.calls * self.observation
        return self.episodes * self.sequence + self.grown * grown

    def passed_tokens(self, packing: str) -> float:
        """Tokens that pass through the model in an update.

        Args:
            packing: `tree`, or `rows`.
        """
        return self.trained_share * (self.tree_tokens if packing == "tree" else self.row_tokens)

    def as_record(self) -> dict[str, float]:
        """Tokens and rollouts of a step by name."""
        return {
            "rollouts": self.episodes,
            "prefixes": self.prefixes,
            "continuations": self.grown,
            "turns_per_episode": self.turns,
            "prompt_tokens": self.prompt,
            "response_tokens": self.response,
            "sampled_tokens": self.sampled_tokens,
            "read_tokens": self.read_tokens,
            "tool_calls": self.tool_calls,
            "images": self.images,
            "image_tokens": self.images * self.image_tokens,
            "tree_tokens": self.tree_tokens,
            "row_tokens": self.row_tokens,
        }
