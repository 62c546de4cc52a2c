"""Defines the adaptive entropy floor (arXiv:2606.00096): the bonus is what the entropy is short of the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from axpo.algorithm.batching import MiniBatch
from axpo.settings.config import LossConfig


def with_floor(config: LossConfig, minibatches: Sequence[MiniBatch]) -> LossConfig:
    """The loss's settings with the entropy's weight of this step: entropy * max(entropy_floor - H, 0).

    H is the mean of -log pi over the step's trained tokens when they were sampled. Without a floor, or without anything
    to train, the settings are as they were.

    Worked value: weight 0.03, floor 0.9, H = 0.5: 0.03 * 0.4 = 0.012.
    """
    if config.entropy_floor == 0:
        return config
    surprises = [
        -logprob
        for minibatch in minibatches
        for items in minibatch.micro_batches
        for item in items
        for logprob, trained in zip(_sampled(item.sequence.logprobs, item.sequence.sampled), item.trained, strict=True)
        if trained
    ]
    if not surprises:
        return config
    entropy = math.fsum(surprises) / len(surprises)
    return replace(config, entropy=config.entropy * max(config.entropy_floor - entropy, 0.0), entropy_floor=0.0)


def _sampled(logprobs: Sequence[float], sampled: Sequence[bool]) -> list[float]:
    return [logprob for logprob, own in zip(logprobs, sampled, strict=True) if own]
