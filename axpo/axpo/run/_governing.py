"""Defines `governed` and `governed_worlds`, environments under the permissions and the audit log that settings name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from axpo.run.environments import Worlds
from axpo.settings.config import ConfigError, TrainConfig
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import Governance, Per, Phase, Policy, read_policy

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


def permitted(config: TrainConfig) -> TrainConfig:
    """The same configuration with the fingerprint of its permissions, which must be the one that it names, if any.

    Raises:
        ConfigError: the policy is unusable, or another one.
    """
    if config.permissions is None:
        if config.permissions_fingerprint is not None:
            raise ConfigError(
                f"permissions_fingerprint: expected none without permissions; got {config.permissions_fingerprint}"
            )
        return config
    found = policy_of(config.permissions, config.permissions_fingerprint, otherwise="--policy-fingerprint {found}")
    return replace(config, permissions_fingerprint=found.fingerprint)


def with_own_policy(asked: TrainConfig, base: TrainConfig) -> TrainConfig:
    """Settings without the fingerprint of the policy that they are based on, where they name another policy."""
    if asked.permissions == base.permissions or asked.permissions_fingerprint != base.permissions_fingerprint:
        return asked
    return replace(asked, permissions_fingerprint=None)


def policy_of(path: str, fingerprint: str | None, *, otherwise: str) -> Policy:
    """The policy of a file.

    Args:
        path: the file.
        fingerprint: what it must have; None for any.
        otherwise: what lets another policy hold; `{found}` stands for its fingerprint.

    Raises:
        ConfigError: the policy is unusable, or another one.
    """
    try:
        policy = read_policy(path)
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error
    if fingerprint in (None, policy.fingerprint):
        return policy
    raise ConfigError(
        f"permissions: {path} is not the policy that these settings were made with: expected the fingerprint "
        f"{fingerprint}, got {policy.fingerprint}. Restore the file, or accept the policy as it is now with "
        f"{otherwise.format(found=policy.fingerprint)}"
    )


def governed_worlds(worlds: Worlds, config: TrainConfig) -> Worlds:
    """The environments of a run under its permissions: one in training, one in evaluations.

    Raises:
        ConfigError: the policy or the log is unusable, the policy is another one than the settings name by its
            fingerprint, or the log lies in the run's folder.
    """
    if config.audit_log is not None and Path(config.out).absolute() in (
        Path(config.audit_log).absolute(),
        *Path(config.audit_log).absolute().parents,
    ):
        raise ConfigError(f"audit_log: expected a folder outside of the run at {config.out}; got {config.audit_log}")
    policy = None
    if config.permissions is not None:
        # It is read again, by every process, maybe on another machine: it must be the policy that was checked.
        accepted = config.permissions_fingerprint
        policy = policy_of(config.permissions, accepted, otherwise="--policy-fingerprint {found}")
    training = Governance(policy=policy, phase=Phase.TRAINING, audit_log=config.audit_log, run=Path(config.out).name)
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
