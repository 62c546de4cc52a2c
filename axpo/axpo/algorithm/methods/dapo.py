"""Defines DAPO (arXiv:2503.14476): a higher upper bound, the mean over tokens, and dynamic sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from axpo.algorithm.methods.method import Method
from axpo.settings.config import Aggregation, TrainConfig

ROUNDS: Final = 3
"""How often groups without a spread of rewards are replaced, where the settings leave it open."""


def _configure(config: TrainConfig) -> TrainConfig:
    return replace(
        config,
        sampling=replace(config.sampling, dynamic_rounds=config.sampling.dynamic_rounds or ROUNDS),
        loss=replace(config.loss, clip_low=0.2, clip_high=0.28, kl=0.0, aggregation=Aggregation.TOKEN_MEAN),
    )


DAPO: Final = Method(name="dapo", label="DAPO", configure=_configure)
"""GRPO with the paper's bounds 0.2 and 0.28 (Eq. 8, 10), its mean over tokens (Eq. 12), no KL, and groups of equal
rewards replaced by those of further questions (Eq. 11), at most `sampling.dynamic_rounds` times a step.

Compared with GRPO. The paper goes on until the batch is full, and lowers the rewards of overlong answers by length
(Eq. 13); here `advantages.mask_truncated` leaves those out that ran into a limit."""
