"""Defines AXPO (arXiv:2605.28774), GRPO with tool calls resampled from frozen thinking prefixes, and its ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from axpo.algorithm.methods.method import Method
from axpo.algorithm.selection import select_prefixes
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import Cut, Ranking, TrainConfig


def _select(groups: Sequence[Group], config: TrainConfig, *, seed: int) -> tuple[BranchPoint, ...]:
    threshold = config.success_threshold
    return select_prefixes(groups, config.selection, seed=seed, success_threshold=threshold)


AXPO: Final = Method(name="axpo", label="AXPO", colour="axpo", select=_select)
"""The paper's method."""


def axpo_with(name: str, label: str, section: str, **changes: Any) -> Method:
    """AXPO with other values in a section of the settings, as `axpo_<name>`."""

    def configure(config: TrainConfig) -> TrainConfig:
        return replace(config, **{section: replace(getattr(config, section), **changes)})

    return replace(AXPO, name=f"axpo_{name}", label=f"AXPO, {label}", colour=None, configure=configure, changes=AXPO)


ABLATIONS: Final = (
    axpo_with("random", "random ranking", "selection", ranking=Ranking.RANDOM),
    axpo_with("scratch", "resampled from scratch", "selection", cut=Cut.QUESTION),
    axpo_with("no_tool", "no-tool rollouts resampled", "selection", cut=Cut.NO_TOOL),
    axpo_with("no_prefix_credit", "no prefix credit", "advantages", prefix_credit=False),
    axpo_with("prefix_credit_only", "prefix credit only", "advantages", continuation_loss=False),
    axpo_with("joint_groups", "no separate groups", "advantages", separate_groups=False),
)
"""The paper's ablations, each with one thing changed."""
