"""Defines `RemotePolicy`: a model behind an OpenAI-compatible server as a `Sampler`."""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from axpo_agents.errors import PolicyError
from axpo_agents.policy import Prefix, Sampled, Sampler, TurnSpans
from axpo_agents.remote._messages import Answer, AnswerError, Request
from axpo_agents.remote._model import RemoteModel
from axpo_agents.types import WHOLE, Context, FinishReason, Sampling, TokenSequence, Truncation
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import EpisodeState, Parts, ToolCall

if TYPE_CHECKING:
    import torch

    from axpo_envs.env import ToolEnv

_NOTHING: Final = Sampled(ids=(), logprobs=(), finish=FinishReason.LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A request, and for whom it is made."""

    request: Request
    """What is asked: one turn for every member, or one for all where it is certain."""
    ids: tuple[int, ...]
    """Its prompt with image placeholders expanded."""
    members: tuple[int, ...]
    """The prefixes that get its turns."""


class Engine(Protocol):
    """What runs the model: a server, several, or an engine in this process."""

    @property
    def samples_per_request(self) -> int:
        """Turns after one prefix that are asked for at a time."""
        ...

    def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to many requests, in their order."""
        ...

    def close(self) -> None:
        """Closes what is held open."""
        ...


class RemotePolicy(Sampler):
    """A model behind a server that samples and scores token ids; made by `load_remote_policy`.

    Nothing is learned through it: its log-probabilities carry no gradients. It is closed after use, or used in a
    `with` block.

    Args:
        server: runs the model.
        model: what is known of it here.
    """

    def __init__(self, server: Engine, model: RemoteModel) -> None:
        self._server = server
        self._model = model

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        self._server.close()

    @property
    def model(self) -> RemoteModel:
        """What is known of the model here."""
        return self._model

    @property
    def version(self) -> int:
        """Always 0: the server's weights do not change."""
        return 0

    @property
    def tokenizer(self) -> Any:
        """The Transformers tokenizer."""
        return self._model.chat.tokenizer

    @property
    def supports_images(self) -> bool:
        """Whether images are sent."""
        return self._model.placeholders is not None

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """The opening context: instructions, tool schemas and the question, through the checkpoint's chat template.

        Raises:
            PolicyError: the environment shows images, but none are sent to this server.
        """
        return self._model.contexts.encode_prompt(env, state)

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """The context between a turn whose sampled ids were `after` and the next turn."""
        return self._model.contexts.encode_observation(observation, after=after)

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The text of a turn as the environment parses it."""
        return self._model.chat.decode_turn(ids)

    def encode_call(self, call: ToolCall) -> list[int]:
        """Ids of a call, written as the chat template asks for it; what it quotes ends no turn."""
        return self._model.chat.encode_call(call)

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """Locates thinking and the first tool call where the environment's parser sees them."""
        return self._model.chat.find_spans(ids)

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """Samples one turn after each prefix; the turns after equal prefixes come from one request.

        How far equal seeds give equal turns is up to the server. With temperature 0 the most probable tokens are
        taken, with their log-probabilities at temperature 1.

        Raises:
            InfrastructureFault: the server stayed unreachable, or its answer cannot be used.
            EnvConfigError: the server refuses a request: its context may be shorter than `max_episode_tokens`.
        """
        orders = self._orders(prefixes, sampling, seed)
        answers = self._server.ask_all([order.request for order in orders])
        results = [_NOTHING] * len(prefixes)
        for order, answer in zip(orders, answers, strict=True):
            _check_prompt(answer, order.ids)
            turns = [self._model.rules.turn(choice, limit=order.request.max_tokens) for choice in answer.choices]
            if answer.version is not None:
                turns = [replace(turn, version=answer.version) for turn in turns]
            for place, member in enumerate(order.members):
                results[member] = turns[place % len(turns)]
        return results

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token, without gradients, as servers score prompts: over all ids.

        Where ids that are never sampled have a share m of the probability, the values are ln(1 - m) lower than those
        that were recorded while sampling: nothing for a trained model, up to 0.002 for a small random one.

        Raises:
            PolicyError: the temperature is not 1, the distribution is truncated, a sequence begins with a sampled
                token, or the server does not score prompts.
            InfrastructureFault: the server stayed unreachable, or its answer cannot be used.
        """
        if temperature != 1.0:
            raise PolicyError(f"expected temperature 1, at which servers score prompts; got {temperature}")
        if truncation != WHOLE:
            raise PolicyError(f"expected the whole distribution, of which servers score prompts; got {truncation}")
        if any(sequence.sampled[:1] == (True,) for sequence in sequences):
            raise PolicyError("expected a sequence to begin with a context; its first token is marked as sampled")
        scored = [sequence for sequence in sequences if any(sequence.sampled)]
        requests = [self._model.request(sequence.ids, sequence.images, scored=True) for sequence in scored]
        rows = iter(zip(scored, self._server.ask_all(requests), strict=True))
        with requiring("train", "log-probabilities as tensors"):
            import torch
        values = [_chosen(*next(rows)) if any(sequence.sampled) else [] for sequence in sequences]
        return [torch.tensor(row, dtype=torch.float32) for row in values]

    def _orders(self, prefixes: Sequence[Prefix], sampling: Sampling, seed: int) -> list[_Order]:
        """The requests for all turns that have room."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, prefix in enumerate(prefixes):
            key = prefix.sequence.ids + prefix.forced, prefix.sequence.images, prefix.room(sampling)
            groups.setdefault(key, []).append(index)
        # Servers refuse to choose the most probable tokens more than once.
        greedy = sampling.temperature == 0.0
        most = len(prefixes) if greedy else self._server.samples_per_request
        orders = []
        for (ids, images, room), group in groups.items():
            for first in range(0, len(group) if room > 0 else 0, most):
                members = tuple(group[first : first + most])
                request = self._model.request(
                    ids,
                    images,
                    max_tokens=room,
                    count=1 if greedy else len(members),
                    temperature=sampling.temperature,
                    truncation=sampling.truncation,
                    presence_penalty=sampling.presence_penalty,
                    forbidden=sampling.forbidden,
                    seed=_request_seed(seed, members[0], prefixes[members[0]].seed),
                    family=_family(prefixes[members[0]].sequence),
                )
                orders.append(_Order(request=request, ids=ids, members=members))
        return orders


def _request_seed(seed: int, place: int, own: int | None) -> int:
    """The seed of a request whose first member is at that place: its own, where it has one, whatever else is asked."""
    return random.Random(f"{seed} {place}" if own is None else own).getrandbits(31)


def _family(sequence: TokenSequence) -> int:
    """Tells episodes with the same opening prompt from others, at every turn of theirs."""
    opening = sequence.sampled.index(True) if True in sequence.sampled else len(sequence.ids)
    return zlib.crc32(array("q", sequence.ids[:opening]).tobytes())


def _check_prompt(answer: Answer, ids: tuple[int, ...]) -> None:
    if answer.prompt_ids is not None and answer.prompt_ids != ids:
        raise AnswerError(f"is to another prompt: {len(answer.prompt_ids)} ids; expected the {len(ids)} that were sent")


def _chosen(sequence: TokenSequence, answer: Answer) -> list[float]:
    """The log-probabilities of the sampled tokens."""
    _check_prompt(answer, sequence.ids)
    if answer.prompt_logprobs is None:
        raise PolicyError("expected a server that scores prompts (`echo` with `logprobs`); this one does not")
    pairs = zip(answer.prompt_logprobs, sequence.sampled[1:], strict=True)
    return [value for value, sampled in pairs if sampled]
