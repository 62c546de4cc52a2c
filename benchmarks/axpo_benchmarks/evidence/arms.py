"""Defines `Arm`, a row of the tables: a training method, or one with a thing changed, and the order of arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from axpo.algorithm.methods import method_named
from axpo.settings.config import Aggregation, ConfigError, TrainConfig

START: Final = "start"
"""The arm that trains nothing: what every other one begins with."""
THEN: Final = "_then_"
"""Stands in the name of an arm between the one that it comes after and its own: `grpo_then_axpo`."""


def _as_it_is(config: TrainConfig) -> TrainConfig:
    return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is trained in a cell."""

    name: str
    """How it is asked for."""
    label: str
    """What people read."""
    method: str
    """The training method."""
    change: Callable[[TrainConfig], TrainConfig] = _as_it_is
    """What differs from the family's settings beside the method."""
    longer_than: str | None = None
    """Another arm's name: this one is that arm's run of the same seed, gone on with until it has spent as many
    rollouts, tokens and processor seconds as `as_much_as` did, and evaluated where it has spent as many of each."""
    as_much_as: str = "axpo"
    """The arm whose rollouts, tokens and time that are."""
    after: str | None = None
    """Another arm's name: training begins, anew, from the policy that that arm's run of the same seed ended with."""


def _minibatches(config: TrainConfig) -> TrainConfig:
    return replace(config, optim=replace(config.optim, minibatches=4))


def _sequence_mean(config: TrainConfig) -> TrainConfig:
    return replace(config, loss=replace(config.loss, aggregation=Aggregation.SEQUENCE_MEAN))


def _full_kl(config: TrainConfig) -> TrainConfig:
    return replace(config, loss=replace(config.loss, skip_zero_advantage=False))


_OWN: Final = {
    arm.name: arm
    for arm in (
        Arm(name=START, label="start", method="grpo"),
        Arm(name="grpo_longer", label="GRPO, for longer", method="grpo", longer_than="grpo"),
        Arm(name="axpo_longer", label="AXPO, for longer", method="axpo", longer_than="axpo", as_much_as="axpo_idle"),
        Arm(name="grpo_mb4", label="GRPO, 4 mini-batches", method="grpo", change=_minibatches),
        Arm(name="axpo_mb4", label="AXPO, 4 mini-batches", method="axpo", change=_minibatches),
        Arm(name="axpo_sequence_mean", label="AXPO, mean over stretches", method="axpo", change=_sequence_mean),
        Arm(name="grpo_full_kl", label="GRPO, KL of dead groups too", method="grpo", change=_full_kl),
        Arm(name="axpo_full_kl", label="AXPO, KL of dead groups too", method="axpo", change=_full_kl),
    )
}

TIERS: Final = (
    (START,),
    ("grpo", "axpo"),
    ("grpo_longer", "grpo_n10", "grpo_n16"),
    ("axpo_mb4", "grpo_mb4"),
    (
        "axpo_no_prefix_credit",
        "axpo_random",
        "axpo_joint_groups",
        "axpo_scratch",
        "axpo_no_tool",
        "axpo_prefix_credit_only",
    ),
    ("axpo_strata", "axpo_contrast", "axpo_forced", "axpo_idle", "axpo_graded", "axpo_value", "axpo_either"),
    ("axpo_longer",),
    ("tool_penalty", "tool_bonus", "cispo", "arpo", "rltf", "dapo", "gspo", "dr_grpo", "pixel_reasoner"),
    ("axpo_sequence_mean", "axpo_full_kl", "grpo_full_kl"),
)
"""What runs first stands first; the arms of a tier take turns, seed by seed."""


def arm_named(name: str) -> Arm:
    """The arm of a name: one of this room's own, a training method as it is, or one of these after another.

    Raises:
        ConfigError: there is none, or it comes after one that trains nothing or ends where others did.
    """
    if name in _OWN:
        return _OWN[name]
    if THEN in name:
        return _after(*name.split(THEN, 1))
    try:
        method = method_named(name)
    except ConfigError as error:
        raise ConfigError(f"methods: expected {', '.join(_OWN)}, or a method ({error}); got {name!r}") from error
    return Arm(name=method.name, label=method.label, method=name)


def _after(first: str, second: str) -> Arm:
    before, then = arm_named(first), arm_named(second)
    for arm in (before, then):
        if arm.name == START or arm.longer_than or arm.after:
            raise ConfigError(f"methods: expected two arms that train for the steps asked for; got {arm.name!r}")
    return replace(then, name=f"{first}{THEN}{second}", label=f"{before.label}, then {then.label}", after=first)


def tiers_of(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The arms that are asked for, by tier; all where none is, and those without a tier last, as they were named."""
    if not names:
        return TIERS
    known = {name for tier in TIERS for name in tier}
    tiers = [tuple(name for name in tier if name in names) for tier in TIERS]
    rest = tuple(dict.fromkeys(name for name in names if name not in known))
    return tuple(tier for tier in (*tiers, rest) if tier)
