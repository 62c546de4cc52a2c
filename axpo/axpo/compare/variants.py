"""Defines the variants that a comparison can hold: what each changes about a base configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from axpo.settings.config import ConfigError, Cut, Method, Ranking, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of a comparison."""

    name: str
    """How it is asked for, and its key in `comparison.json`."""
    label: str
    """What people read."""
    change: Callable[[TrainConfig], TrainConfig]
    """What it makes of the base configuration."""


def variant(name: str) -> Variant:
    """The variant of a name: one of `VARIANTS`, or `grpo_n<N>` for GRPO with N rollouts per question.

    Raises:
        ConfigError: there is no such variant.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    match = re.fullmatch(r"grpo_n([1-9]\d*)", name)
    if match is None:
        raise ConfigError(f"methods: expected some of {', '.join(VARIANTS)}, grpo_n10 (any number); got {name!r}")
    size = int(match.group(1))
    return Variant(
        name=name,
        label=f"GRPO, {size} rollouts per question",
        change=lambda base: replace(base, method=Method.GRPO, sampling=replace(base.sampling, group_size=size)),
    )


def label_of(name: str) -> str:
    """What people read for a method's name; the name itself where it is no variant."""
    try:
        return variant(name).label
    except ConfigError:
        return name


def _axpo(name: str, label: str, change: Callable[[TrainConfig], TrainConfig]) -> Variant:
    return Variant(name=name, label=label, change=lambda base: change(replace(base, method=Method.AXPO)))


VARIANTS: Final = {
    item.name: item
    for item in (
        Variant(name="grpo", label="GRPO", change=lambda base: replace(base, method=Method.GRPO)),
        _axpo("axpo", "AXPO", lambda base: base),
        _axpo(
            "axpo_random",
            "AXPO, random ranking",
            lambda base: replace(base, selection=replace(base.selection, ranking=Ranking.RANDOM)),
        ),
        _axpo(
            "axpo_scratch",
            "AXPO, resampled from scratch",
            lambda base: replace(base, selection=replace(base.selection, cut=Cut.QUESTION)),
        ),
        _axpo(
            "axpo_no_tool",
            "AXPO, no-tool rollouts resampled",
            lambda base: replace(base, selection=replace(base.selection, cut=Cut.NO_TOOL)),
        ),
        _axpo(
            "axpo_no_prefix_credit",
            "AXPO, no prefix credit",
            lambda base: replace(base, advantages=replace(base.advantages, prefix_credit=False)),
        ),
        _axpo(
            "axpo_prefix_credit_only",
            "AXPO, prefix credit only",
            lambda base: replace(base, advantages=replace(base.advantages, continuation_loss=False)),
        ),
        _axpo(
            "axpo_joint_groups",
            "AXPO, no separate groups",
            lambda base: replace(base, advantages=replace(base.advantages, separate_groups=False)),
        ),
    )
}
"""The variants by name: the two methods, and the ablations of algorithm.md."""
