"""Defines `PlainPolicy`, the plain form that our rollouts are measured against: padded rows and `model.generate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig, LogitsProcessor

from axpo_agents.engine.random_numbers import random_numbers
from axpo_agents.engine.sampler import draw
from axpo_agents.engine.vision import Patchifier
from axpo_agents.formats.model_files import ModelFiles
from axpo_agents.passes import Pass
from axpo_agents.policy import Prefix, Sampled, Sampler, TurnSpans
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import WHOLE, Context, FinishReason, Sampling, TokenSequence, Truncation
from axpo_envs.images import ImageRef
from axpo_envs.types import EpisodeState, Parts

if TYPE_CHECKING:
    from axpo_envs.env import ToolEnv


class PlainPolicy(Sampler):
    """A policy whose every turn is read from its first token on, each row for itself, and nothing kept afterwards.

    It draws with the random numbers that the engine draws with: both write the same tokens, and so do the same work.

    Args:
        policy: a policy of its own, which this one takes over: its language model gets the library's attention. It
            scores sequences, and knows the chat format.
        folder: the checkpoint of `policy`, a model that reads images.
    """

    def __init__(self, policy: TransformersPolicy, folder: Path) -> None:
        self._policy = policy
        self._model = cast(Any, policy.model)
        self._model.set_attn_implementation({"text_config": "sdpa"})
        self._patchifier = Patchifier(ModelFiles(str(folder)).image_settings())
        config = self._model.config
        self._image_token: int = config.image_token_id
        named = (config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id)
        self._forbidden = torch.tensor(named)
        ends = self._model.generation_config.eos_token_id
        self._stop_ids = torch.tensor(ends if isinstance(ends, list) else [] if ends is None else [ends])

    @property
    def version(self) -> int:
        """That of the policy."""
        return self._policy.version

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """As the policy does."""
        return self._policy.encode_prompt(env, state)

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """As the policy does."""
        return self._policy.encode_observation(observation, after=after)

    def decode_turn(self, ids: Sequence[int]) -> str:
        """As the policy does."""
        return self._policy.decode_turn(ids)

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """As the policy does."""
        return self._policy.find_spans(ids)

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """As the policy does."""
        return self._policy.logprobs(sequences, temperature=temperature, truncation=truncation)

    def plan(self, sequences: Sequence[TokenSequence], *, tokens: int) -> tuple[Pass, ...]:
        """As the policy does."""
        return self._policy.plan(sequences, tokens=tokens)

    @torch.no_grad()
    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """One turn after each prefix, each with room for a token at least."""
        rooms = [_room(prefix, sampling) for prefix in prefixes]
        draws = _Draws(random_numbers(prefixes, max(rooms), seed), sampling.temperature, self._forbidden)
        settings = GenerationConfig(max_new_tokens=max(rooms), do_sample=False, pad_token_id=0)
        self._model.generate(**self._rows(prefixes), generation_config=settings, logits_processor=[draws])
        ids, logprobs = torch.stack(draws.ids, dim=1), torch.stack(draws.logprobs, dim=1)
        ended = torch.isin(ids, self._stop_ids)
        return list(map(_turn, ids.tolist(), logprobs.tolist(), ended.tolist(), rooms))

    def _rows(self, prefixes: Sequence[Prefix]) -> dict[str, torch.Tensor]:
        """What `generate` reads: rows padded on the left, and every row's images."""
        rows = [torch.tensor(prefix.sequence.ids + prefix.forced) for prefix in prefixes]
        pad = partial(pad_sequence, batch_first=True, padding_side="left")
        ids = pad(rows)
        inputs = {"input_ids": ids, "attention_mask": pad([torch.ones_like(row) for row in rows])}
        images = [image for prefix in prefixes for image in prefix.sequence.images]
        if images:
            inputs |= self._pixels(images) | {"mm_token_type_ids": (ids == self._image_token).long()}
        return inputs

    def _pixels(self, images: Sequence[ImageRef]) -> dict[str, torch.Tensor]:
        grids = {image.digest: self._patchifier.settings.grid(image) for image in images}
        # Preparing pixels is not what is measured, so equal images are prepared once.
        distinct = {image.digest: image for image in images}
        device = torch.device("cpu")
        pixels = {key: self._patchifier.patches([image], grids[key], device) for key, image in distinct.items()}
        return {
            "pixel_values": torch.cat([pixels[image.digest] for image in images]),
            "image_grid_thw": torch.tensor([[1, *grids[image.digest]] for image in images]),
        }


class _Draws(LogitsProcessor):  # type: ignore[misc]  # the library has no types
    """Draws every token as the engine does, and leaves it to the library as the only choice."""

    def __init__(self, uniforms: torch.Tensor, temperature: float, forbidden: torch.Tensor) -> None:
        self.ids: list[torch.Tensor] = []
        self.logprobs: list[torch.Tensor] = []
        self._uniforms = uniforms
        self._temperature = temperature
        self._forbidden = forbidden

    def __call__(self, _ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores that are highest for the token drawn."""
        scores = scores.index_fill(-1, self._forbidden, -torch.inf)
        tokens, logprobs = draw(scores, self._uniforms[:, len(self.ids)], self._temperature)
        self.ids.append(tokens)
        self.logprobs.append(logprobs)
        return torch.zeros_like(scores).scatter_(1, tokens[:, None], 1.0)


def _room(prefix: Prefix, sampling: Sampling) -> int:
    room = min(sampling.max_turn_tokens, sampling.max_episode_tokens - len(prefix.sequence.ids)) - len(prefix.forced)
    if room < 1:
        raise ValueError(f"expected room for a token after each prefix; got {room}")
    return room


def _turn(ids: list[int], logprobs: list[float], ended: list[bool], room: int) -> Sampled:
    """What a row wrote, up to its first stop or the limit of its own."""
    stop = ended.index(True) + 1 if True in ended else len(ids) + 1
    length = min(stop, room)
    finish = FinishReason.STOP if stop <= room else FinishReason.LENGTH
    return Sampled(ids=tuple(ids[:length]), logprobs=tuple(logprobs[:length]), finish=finish)
