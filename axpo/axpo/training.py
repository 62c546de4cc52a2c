"""Defines the public `train` and `resume`: runs that are shown while they go on, and reported at their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from axpo.distributed.joining import is_first_process
from axpo.report._report import write_report
from axpo.run import trainer
from axpo.run.callbacks import Callback
from axpo.run.display import Display
from axpo.run.trainer import Given, RunResult
from axpo.settings.config import ConfigError, TrainConfig
from axpo.terminal.display import open_display
from axpo.terminal.unfailing import UnfailingDisplay
from axpo_envs.env import ToolEnv

__all__ = ["resume", "train"]

_DEFAULTS = TrainConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Objects:
    env: gymnasium.Env[Any, Any] | None
    policy: Any
    model: Any = None
    tokenizer: Any = None

    def given(self) -> Given:
        """Checked, for the trainer."""
        if self.policy is not None and self.model is not None:
            raise ConfigError("policy: expected a policy or a model; got both")
        env = None if self.env is None else self.env.unwrapped
        if env is not None and not isinstance(env, ToolEnv):
            raise ConfigError(f"env: expected a ToolEnv, wrapped or not; got {type(env).__name__}")
        return Given(env=env, model=self.model if self.policy is None else self.policy, tokenizer=self.tokenizer)


def train(  # noqa: PLR0913  (objects beside names)
    config: TrainConfig = _DEFAULTS,
    *,
    env: gymnasium.Env[Any, Any] | None = None,
    policy: Any = None,
    model: Any = None,
    tokenizer: Any = None,
    display: Display | None = None,
    callbacks: Sequence[Callback] = (),
) -> RunResult:
    """Trains a policy from the beginning, and writes a report.

    Args:
        config: everything that decides the results.
        env: an environment in place of `config.env`; what is held out is set aside from its questions. A run that
            began so is resumed with `axpo.resume(folder, env=...)`: no environment can be made of its name.
        policy: where training starts, in place of `config.model`. It stays as it is; the run writes a copy to its
            folder `start`, and goes on from there when it is resumed.
        model: the same, as a model of the Transformers library.
        tokenizer: the model's tokenizer, or its processor if it sees images.
        display: shows the run; by default live on a terminal, plain lines elsewhere.
        callbacks: called after steps, evaluations and checkpoints.

    Raises:
        ConfigError: a setting is unusable; nothing was done yet.
        PolicyError: the model cannot be loaded, or cannot do what the environment needs.
        Interrupted: SIGINT, SIGTERM or SIGHUP arrived; a checkpoint was written, `resume` goes on from it.
        DivergenceError: loss, weights or logits are not finite; the checkpoints before are intact.
        CheckpointError, RunLogError: the disk is full or the folder cannot be written; what was written is intact.
    """
    given = _Objects(env=env, policy=policy, model=model, tokenizer=tokenizer).given()
    return _reported(trainer.train(config, given=given, display=_shown(display), callbacks=callbacks))


def resume(
    folder: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    env: gymnasium.Env[Any, Any] | None = None,
    display: Display | None = None,
    callbacks: Sequence[Callback] = (),
) -> RunResult:
    """Continues a run from its newest whole checkpoint, or from the beginning if it had none; raises as `train` does.

    Records of steps after that checkpoint are dropped, and the steps repeated.

    Args:
        folder: the run's folder.
        changes: new values of settings by dotted name, such as `{"steps": 120}`, which makes a finished run longer;
            see `axpo.run._resumption.CHANGEABLE`. They are written into the run's settings and recorded.
        env: the environment, where the run began with one that was given.
        display: shows the run; by default live on a terminal, plain lines elsewhere.
        callbacks: are told of every step, evaluation and checkpoint.
    """
    given = _Objects(env=env, policy=None).given()
    return _reported(trainer.resume(folder, changes=changes, given=given, display=_shown(display), callbacks=callbacks))


def _shown(display: Display | None) -> Display:
    return UnfailingDisplay(display or open_display())


def _reported(result: RunResult) -> RunResult:
    if is_first_process():
        write_report(result.folder)
    return result
