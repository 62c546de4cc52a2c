"""Defines GRPO, group-relative policy optimization (arXiv:2402.03300): no prefix is selected."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from axpo.algorithm.methods.method import Method
from axpo.settings.config import TrainConfig

GRPO: Final = Method(name="grpo", label="GRPO", colour="grpo")
"""The plain method, and the baseline of comparisons."""


def grpo_of(size: int) -> Method:
    """GRPO with so many rollouts per question: what AXPO's extra rollouts would do without it."""

    def configure(config: TrainConfig) -> TrainConfig:
        return replace(config, sampling=replace(config.sampling, group_size=size))

    return Method(name=f"grpo_n{size}", label=f"GRPO, {size} rollouts per question", configure=configure)
