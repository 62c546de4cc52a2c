"""Defines `ServedPrompt`: a prompt that a completions server continues and scores."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image

from axpo_agents.engine.sampler import draw
from axpo_agents.formats._contexts import expanded
from axpo_agents.policy import Prefix
from axpo_agents.testing.batch import Batch
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Sampling, TokenSequence, Truncation
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.extras import requiring

with requiring("train", "a server of completions"):
    import torch

TOP: Final = 2
"""Alternatives that are told of each token."""
_FLOOR: Final = -9999.0
"""What stands for minus infinity, which JSON does not know."""


@dataclass(slots=True, kw_only=True)
class ServedTurn:
    """A turn that is being written."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[dict[int, float]] = field(default_factory=list)
    finish: str = "length"


class ServedPrompt:
    """A prompt with its images, placeholders expanded."""

    def __init__(self, policy: TransformersPolicy, ids: list[int], images: tuple[ImageRef, ...]) -> None:
        self._policy = policy
        self._network = policy._network
        self._images = images
        sizes = []
        if self._network.patchifier is not None:
            settings = self._network.patchifier.settings
            sizes = [settings.token_count(settings.grid(image)) for image in images]
        self.ids = list(expanded(ids, self._network.image_token, sizes))

    def scores(self) -> list[float]:
        """Log-probability of every id but the first."""
        logprobs = torch.log_softmax(self._logits(self.ids)[:-1], dim=-1)
        chosen = logprobs.gather(1, torch.tensor(self.ids[1:])[:, None])[:, 0]
        return [max(value, _FLOOR) for value in chosen.tolist()]

    def turns(self, sampling: Mapping[str, Any], batch: Batch | None) -> list[ServedTurn]:
        """Writes as many turns as are asked for."""
        seeds = [sampling["seed"] + index for index in range(sampling["n"])]
        if batch is not None and all(bias < 0 for bias in sampling["logit_bias"].values()):
            return self._quick(sampling, seeds, batch)
        return [self.turn(sampling, torch.Generator().manual_seed(seed)) for seed in seeds]

    def _quick(self, sampling: Mapping[str, Any], seeds: list[int], batch: Batch) -> list[ServedTurn]:
        """As the policy itself samples; what is never sampled is what it never samples."""
        nothing = (False,) * len(self.ids), (0.0,) * len(self.ids)
        sequence = TokenSequence(ids=tuple(self.ids), images=self._images, sampled=nothing[0], logprobs=nothing[1])
        settings = Sampling(
            temperature=sampling["temperature"],
            truncation=_truncation(sampling),
            forbidden=tuple(map(int, sampling["logit_bias"])),
            max_turn_tokens=sampling["max_tokens"],
            max_episode_tokens=self._policy.max_tokens or len(self.ids) + sampling["max_tokens"],
        )
        turns = batch.sample(self._policy, [Prefix(sequence=sequence, seed=seed) for seed in seeds], settings)
        return [
            ServedTurn(
                ids=list(turn.ids),
                logprobs=list(turn.logprobs),
                top=[{token: value} for token, value in zip(turn.ids, turn.logprobs, strict=True)],
                finish=str(turn.finish),
            )
            for turn in turns
        ]

    def turn(self, sampling: Mapping[str, Any], generator: torch.Generator) -> ServedTurn:
        """Writes a turn, token by token."""
        turn = ServedTurn()
        for _ in range(sampling["max_tokens"]):
            logits = self._logits([*self.ids, *turn.ids])[-1]
            for token, bias in sampling["logit_bias"].items():
                logits[int(token)] += bias
            logits[sorted(set(turn.ids))] -= sampling.get("presence_penalty", 0.0)
            uniform = torch.rand(1, generator=generator, dtype=torch.float64)
            token, logprob = draw(logits[None], uniform, sampling["temperature"], _truncation(sampling))
            top = torch.log_softmax(logits / (sampling["temperature"] or 1.0), dim=-1).topk(TOP)
            turn.ids.append(int(token))
            turn.logprobs.append(float(logprob))
            turn.top.append(dict(zip(top.indices.tolist(), top.values.tolist(), strict=True)))
            if turn.ids[-1] in sampling["stop_token_ids"]:
                turn.finish = "stop"
                break
        return turn

    def _logits(self, ids: list[int]) -> torch.Tensor:
        """Shape (length, vocabulary)."""
        batch = self._network.collate([self._network.read(ids, self._images)], align="left")
        features = self._network.encode_images(self._images)
        return self._network.logits(batch, keep=len(ids), features=features)[0]


def _truncation(sampling: Mapping[str, Any]) -> Truncation:
    return Truncation(top_k=max(0, sampling.get("top_k", 0)), top_p=sampling.get("top_p", 1.0))


def read_image(url: str) -> ImageRef:
    """The image of a data address."""
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return ImageRef.from_pil(image)
