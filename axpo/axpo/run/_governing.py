"""Defines `governed` and `governed_worlds`, environments under the permissions and the audit log that settings name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from axpo.run.environments import Worlds
from axpo.settings.config import ConfigError, TrainConfig
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import Governance, Per, Phase, read_policy

NONE: Final = "none"
"""Names no permissions, where some are inherited."""


def governed(env: ToolEnv, governance: Governance) -> ToolEnv:
    """The environment under a policy and a log; the same one where there is neither.

    Raises:
        ConfigError: the policy or the log is unusable.
    """
    if governance.policy is None and governance.audit_log is None:
        return env
    try:
        return env.governed(governance)
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error


def governed_worlds(worlds: Worlds, config: TrainConfig) -> Worlds:
    """The environments of a run under its permissions: one in training, one in evaluations.

    Raises:
        ConfigError: the policy or the log is unusable, or the log lies in the run's folder.
    """
    if config.audit_log is not None and Path(config.out).absolute() in (
        Path(config.audit_log).absolute(),
        *Path(config.audit_log).absolute().parents,
    ):
        raise ConfigError(f"audit_log: expected a folder outside of the run at {config.out}; got {config.audit_log}")
    training = Governance(
        policy=config.permissions, phase=Phase.TRAINING, audit_log=config.audit_log, run=Path(config.out).name
    )
    evaluation = replace(training, phase=Phase.EVALUATION)
    return replace(worlds, training=governed(worlds.training, training), held_out=governed(worlds.held_out, evaluation))


def check_counting(config: TrainConfig, *, processes: str) -> None:
    """Refuses budgets that several processes would count apart.

    Args:
        config: the settings of a run whose calls are made in several processes.
        processes: what they are, for the message.

    Raises:
        ConfigError: a budget of the permissions counts over a question or the run.
    """
    if config.permissions is None:
        return
    shared = [budget for budget in read_policy(config.permissions).budgets if budget.per is not Per.EPISODE]
    if shared:
        per = " and ".join(sorted({budget.per for budget in shared}))
        raise ConfigError(
            f"permissions: {config.permissions}: expected budgets per episode where calls are made by {processes}, "
            f"which count apart; got budgets per {per}"
        )


def located_file(path: str | None) -> str | None:
    """The path as an absolute one, so that it means the same in any working folder."""
    return path if path in (None, NONE) else str(Path(str(path)).expanduser().absolute())
