"""Defines what may be changed about a run that is resumed, and which settings two configurations do not share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import checked

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

CHANGEABLE: Final = (
    "steps",
    "log.checkpoint_every",
    "log.keep_checkpoints",
    "log.rollouts_every",
    "log.rollouts_per_step",
    "log.tensorboard",
    "log.trackers",
    "log.stop_on_collapse",
    "log.eval_every",
    "log.best_by",
    "log.patience",
    "permissions_fingerprint",
    "audit_log",
    "sampler",
    "serving.weights",
    "serving.folder",
    "serving.model",
    "serving.key_variable",
    "serving.timeout_s",
    "serving.attempts",
    "serving.concurrency",
    "serving.options",
    "policy.device",
    "policy.gradient_checkpointing",
    "policy.packing",
    "optim.micro_batch_tokens",
    "ranks.strategy",
    "ranks.cpu_offload",
    "ranks.timeout_s",
    "ray.address",
    "ray.rollouts.workers",
    "ray.rollouts.num_cpus",
    "ray.rollouts.num_gpus",
    "ray.rollouts.resources",
    "ray.environments.workers",
    "ray.environments.num_cpus",
    "ray.environments.num_gpus",
    "ray.environments.resources",
    "ray.calls",
    "ray.lockstep",
    "ray.attempts",
    "ray.start_s",
    "ray.timeout_s",
)
"""Settings that may change: how long a run is, what it keeps, where it is computed and sampled, in which portions."""


def differences(before: DataclassInstance, after: DataclassInstance) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, by dotted name: the value before and the value after."""
    return dict(_differences(asdict(before), asdict(after), ""))


def changed(config: TrainConfig, changes: Mapping[str, Any], *, done: int) -> TrainConfig:
    """The configuration of a run with some of its settings changed.

    Args:
        config: the run's.
        changes: new values by dotted name, such as `{"steps": 120}`.
        done: steps that the run has finished.

    Raises:
        ConfigError: a setting is unknown, may not change or has an unusable value, or fewer steps are asked for than
            are done.
    """
    for name in changes:
        if name not in CHANGEABLE:
            raise ConfigError(
                f"{name}: a run keeps what it was started with; --resume may change {', '.join(CHANGEABLE)}. For "
                "anything else start a new run, from a checkpoint of this one if you like (--model)"
            )
    for name, value in changes.items():
        config = _with(config, name, value)
    config = checked(config)
    if config.steps < done:
        raise ConfigError(f"steps: expected at least the {done} that are done; got {config.steps}")
    return config


def _with(config: C, name: str, value: Any) -> C:
    first, _, rest = name.partition(".")
    # The names are those of `CHANGEABLE`, whatever the type checker can see.
    changes: dict[str, Any] = {first: _with(getattr(config, first), rest, value) if rest else value}
    return replace(config, **changes)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], section: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in after.items():
        if isinstance(value, Mapping):
            found += _differences(before[name], value, f"{section}{name}.")
        elif before[name] != value:
            found.append((f"{section}{name}", (before[name], value)))
    return found
