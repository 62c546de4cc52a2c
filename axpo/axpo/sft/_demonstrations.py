"""Defines demonstrations: turns to imitate, with the weight of every stretch of text, and their encoding as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Final, NamedTuple, Protocol

from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import TokenSequence
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.types import EpisodeState, Parts, ToolCall


class Speaker(StrEnum):
    """Who speaks after a turn."""

    TOOL = "tool"
    """The environment, with the results of the turn's calls."""
    USER = "user"
    """A person, who goes on with the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A piece of a turn."""

    text: str
    """What is written."""
    weight: float = 1.0
    """Weight of its tokens in the loss; 0.0 for text that is read but not learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstratedTurn:
    """One turn to imitate and what follows it."""

    stretches: tuple[Stretch, ...]
    """The turn's text, in pieces."""
    calls: tuple[ToolCall, ...] = ()
    """Calls at its end, to be written in the form that the policy's own template asks for; text may hold others."""
    observation: Parts = ()
    """What is answered; empty after the last turn."""
    answered_by: Speaker = Speaker.TOOL
    """Who answers."""

    @property
    def text(self) -> str:
        """The whole turn."""
        return "".join(stretch.text for stretch in self.stretches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """An episode to imitate."""

    env: ToolEnv | None = None
    """The environment whose instructions, tools and view it is shown with; None: that of its lesson."""
    start: EpisodeState
    """The state whose opening it answers."""
    turns: tuple[DemonstratedTurn, ...]
    """The turns, at least one."""


class Lesson(Protocol):
    """A source of demonstrations."""

    @property
    def env(self) -> ToolEnv:
        """What demonstrations without an environment of their own are shown with."""
        ...

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations; a lesson made anew with the same seed draws the same ones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedDemonstration:
    """A demonstration as a model is trained on it."""

    sequence: TokenSequence
    """All tokens; `sampled` marks those the policy is to write, their log-probabilities are not known (0.0)."""
    weights: tuple[float, ...]
    """Loss weight of each token marked `sampled`."""


def encode(demonstration: Demonstration, env: ToolEnv, policy: TransformersPolicy) -> EncodedDemonstration:
    """Writes a demonstration with the policy's chat template and tokenizer.

    A turn's last stretch carries its weight on to its calls and to the end-of-turn token. Where the template itself
    opens a turn (with a `<think>`), that is read and not learned.

    Raises:
        PolicyError: the policy cannot read it.
    """
    context = policy.encode_prompt(demonstration.env or env, demonstration.start)
    ids, images = list(context.ids), list(context.images)
    sampled, weights = [False] * len(ids), list[float]()
    for turn in demonstration.turns:
        is_last = turn is demonstration.turns[-1]
        written = list(_written(turn, policy))
        ids += [token for token, _ in written]
        sampled += [True] * len(written)
        weights += [weight for _, weight in written]
        # A tool may answer with nothing, and a turn ends all the same.
        if turn.observation or not is_last:
            answer = policy.encode_observation if turn.answered_by is Speaker.TOOL else policy.encode_message
            after = answer(turn.observation, after=[token for token, _ in written])
            ids += after.ids
            images += after.images
            sampled += [False] * len(after.ids)
    sequence = TokenSequence(ids=tuple(ids), images=tuple(images), sampled=tuple(sampled), logprobs=(0.0,) * len(ids))
    return EncodedDemonstration(sequence=sequence, weights=tuple(weights))


class Piece(NamedTuple):
    """A stretch of an encoded demonstration, for people."""

    text: str
    """What it says, special tokens included."""
    trained: bool
    """Whether it has a weight in the loss."""


def pieces(encoded: EncodedDemonstration, policy: TransformersPolicy) -> tuple[Piece, ...]:
    """What a model reads, and which of it is learned; long runs of one token, such as an image's, are counted."""
    weights = iter(encoded.weights)
    trained = [sampled and next(weights) > 0 for sampled in encoded.sequence.sampled]
    found = []
    for learned, members in groupby(zip(encoded.sequence.ids, trained, strict=True), key=lambda pair: pair[1]):
        found.append(Piece("".join(_in_words((token for token, _ in members), policy)), learned))
    return tuple(found)


def described(demonstration: Demonstration) -> dict[str, object]:
    """A demonstration as JSON-able data for people; images by their digest."""

    def written(parts: Parts) -> list[str]:
        return [f"[image {part.digest}]" if isinstance(part, ImageRef) else part for part in parts]

    return {
        "question": demonstration.start.question.id,
        "prompt": written(demonstration.start.question.prompt),
        "turns": [
            {
                "text": turn.text,
                "weights": [stretch.weight for stretch in turn.stretches],
                "observation": written(turn.observation),
            }
            for turn in demonstration.turns
        ],
    }


_MOST_REPEATED: Final = 8


def _in_words(ids: Iterable[int], policy: TransformersPolicy) -> Iterator[str]:
    plain: list[int] = []
    for token, run in ((token, len(list(run))) for token, run in groupby(ids)):
        if run <= _MOST_REPEATED:
            plain += [token] * run
            continue
        yield policy.tokenizer.decode(plain)
        yield f"{policy.tokenizer.decode([token])} x {run}"
        plain = []
    yield policy.tokenizer.decode(plain)


def _written(turn: DemonstratedTurn, policy: TransformersPolicy) -> Iterator[tuple[int, float]]:
    last = turn.stretches[-1].weight
    stretches = [(stretch.text, stretch.weight) for stretch in turn.stretches]
    stretches[0] = (policy.continued(stretches[0][0]), stretches[0][1])
    for text, weight in stretches:
        for token in policy.encode_turn(text):
            yield token, weight
    for number, call in enumerate(turn.calls):
        between = "\n" if number or (turn.text and not turn.text.endswith("\n")) else ""
        for token in (*policy.encode_turn(between), *policy.encode_call(call)):
            yield token, last
    yield policy.tokenizer.eos_token_id, last
