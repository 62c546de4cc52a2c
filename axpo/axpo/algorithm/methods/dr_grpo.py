"""Defines Dr. GRPO, "GRPO done right" (arXiv:2503.20783): no division by the standard deviation, none by the length."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from axpo.algorithm.methods.method import Method
from axpo.settings.config import Aggregation, TrainConfig


def _configure(config: TrainConfig) -> TrainConfig:
    return replace(
        config,
        advantages=replace(config.advantages, divide_by_std=False),
        loss=replace(config.loss, aggregation=Aggregation.SEQUENCE_SUM),
    )


DR_GRPO: Final = Method(name="dr_grpo", label="Dr. GRPO", configure=_configure)
"""GRPO with A = r - mean, and token losses summed over each sequence, over the constant `loss.sum_length`.

Compared with GRPO, in which questions of nearly equal rewards, and batches of short answers, weigh more. Clipping and
KL stay what the settings say; the paper has no KL."""
