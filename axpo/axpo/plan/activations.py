"""Defines `activation_parts`: what a pass with gradients holds until its backward pass is over.

Counted from what each operation of a layer of this family keeps. Per token, with the widths h (hidden), q (queries),
k (keys) and i (feed-forward), in float32 with the joined norms of a CPU: input and result of two norms (4 h), queries
before and behind their norm, their result, and it once more as the projection's input (4 q), keys likewise and values
(3 k), and four results of the feed-forward block (4 i). Norms of the library keep a float32 copy as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from axpo.plan.shape import ModelShape, TowerShape
from axpo.plan.workload import Workload
from axpo.settings.config import TrainConfig

LOGITS_AT_ONCE: Final = 2**26
"""Logits that are made at a time where a family's head is plain; see `axpo_agents.engine`."""
UNEVEN: Final = 1.1
"""How much larger than the mean the largest mini-batch is taken to be."""
_FLOAT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """The largest pass of an update."""

    tokens: float
    """Tokens that pass."""
    predicted: float
    """Tokens of them that predict a sampled one."""
    image_tokens: float
    """Tokens of different images that are shown in it."""
    accumulates: bool
    """Whether a mini-batch takes several passes, so that gradients lie there while the next one's activations do."""

    @classmethod
    def of(cls, config: TrainConfig, work: Workload, *, learners: int) -> Self:
        """The largest pass of a step: as many whole trees as fit, or one sequence that is longer."""
        total = work.passed_tokens(config.policy.packing)
        minibatch = UNEVEN * total / min(config.optim.minibatches, work.questions) / learners
        longest = min(work.longest_episode, work.prompt + work.calls * work.observation + 2 * work.longest_turn)
        tokens = max(min(config.optim.micro_batch_tokens, minibatch), min(longest, total))
        share = tokens / total if total else 0.0
        return cls(
            tokens=tokens,
            predicted=min(1.0, share) * work.sampled_tokens * min(1.0, work.trained_share),
            image_tokens=min(1.0, share) * work.images * work.image_tokens,
            accumulates=minibatch > config.optim.micro_batch_tokens,
        )


def activation_parts(
    config: TrainConfig, shape: ModelShape, passing: Passing, *, on_cuda: bool
) -> Iterator[tuple[str, float]]:
    """Names and bytes of what the largest pass holds."""
    item = 2 if config.policy.dtype == "bfloat16" else _FLOAT
    layer = layer_bytes(shape, item, fused_norms=item == _FLOAT and not on_cuda)
    kept = layer * shape.layers
    name = "activations of the token tree" if config.policy.packing == "tree" else "activations of padded rows"
    if config.policy.gradient_checkpointing:
        kept = item * shape.hidden * shape.layers + layer
        name += ", recomputed"
    yield name, passing.tokens * kept
    # The gradients around the last layer's last projection, whose inputs are still kept.
    working = item * (shape.intermediate + 2 * shape.hidden)
    yield "working memory of the backward pass", passing.tokens * working
    if shape.tower is not None and not config.policy.freeze_vision and not config.policy.lora_rank:
        patches = passing.image_tokens * shape.tower.patches_per_token
        kept = tower_bytes(shape.tower, item)
        if config.policy.gradient_checkpointing:
            kept = item * shape.tower.hidden * shape.tower.layers + kept / shape.tower.layers
        yield "activations of the image tower", patches * kept
    yield "logits", _logits(shape, passing, item)


def layer_bytes(shape: ModelShape, item: int, *, fused_norms: bool) -> float:
    """Bytes that one decoder layer keeps of a token.

    Args:
        shape: the model's.
        item: bytes of a number.
        fused_norms: norms keep their input and result alone.
    """
    h, q, k, i = shape.hidden, shape.attention_width, shape.key_width, shape.intermediate
    kept = item * (4 * h + 4 * q + 3 * k + 4 * i)
    return kept if fused_norms else kept + (_FLOAT if item < _FLOAT else item) * (2 * h + q + k)


def tower_bytes(tower: TowerShape, item: int) -> float:
    """Bytes that an image tower keeps of a patch."""
    return item * tower.layers * (11 * tower.hidden + 2 * tower.intermediate)


def _logits(shape: ModelShape, passing: Passing, item: int) -> float:
    """What predicting holds: logits as they are, in float32, and their gradients."""
    count = passing.predicted * shape.vocabulary
    if shape.plain_head:
        count = min(count, float(max(LOGITS_AT_ONCE, shape.vocabulary)))
    return count * (3 * _FLOAT + (0 if item == _FLOAT else 2 * item))
