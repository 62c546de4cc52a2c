"""Defines `evaluate_checkpoint`: finds a checkpoint, or a server, and its environment, and evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from axpo.checkpoint import newest_checkpoint
from axpo.config import ConfigError, SamplingConfig, TrainConfig
from axpo.config_file import checked, read_toml
from axpo.environments import make_env, parse_env_args, with_split
from axpo.eval_config import EvalConfig
from axpo.evaluation import Evaluation, EvaluationPlan, evaluate
from axpo.runlog import CHECKPOINTS, CONFIG
from axpo.trainer import load_settings
from axpo.validation import check_model
from axpo_agents.policy import TokenPolicy
from axpo_agents.transformers_policy import load_policy


def locate_checkpoint(config: EvalConfig, *, warn: Callable[[str], None]) -> EvalConfig:
    """The same evaluation with its checkpoint found and its environment known.

    A run's folder stands for its newest whole checkpoint. A run's checkpoint brings its environment along; arguments
    that are given are added to those it was trained with, or replace them.

    Args:
        config: what is to be evaluated.
        warn: told about damaged checkpoints that were passed over.

    Raises:
        ConfigError: a value is unusable, the run has no checkpoint, or no environment is known.
        CheckpointError: every checkpoint of the run is damaged.
    """
    config = checked(config)
    if config.is_remote != (config.tokenizer is not None):
        wanted = "the checkpoint that the server runs" if config.is_remote else "none without a server's address"
        raise ConfigError(f"tokenizer: expected {wanted}; got {config.tokenizer}")
    if config.is_remote:
        if config.env is None:
            raise ConfigError("env: a server knows no environment, so it takes --env to say where its policy acts")
        return config
    folder = Path(config.checkpoint).expanduser()
    if (folder / CHECKPOINTS).is_dir():
        newest = newest_checkpoint(folder / CHECKPOINTS, warn=warn)
        if newest is None:
            raise ConfigError(f"checkpoint: the run {folder} has no checkpoint yet")
        folder = newest.folder
        config = replace(config, checkpoint=str(folder))
    check_model(config.checkpoint, config.policy)
    if config.env is not None:
        return config
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"env: {config.checkpoint} is no run's checkpoint, so it takes --env to say where it acts")
    run = read_toml(folder / CONFIG, TrainConfig)
    given = parse_env_args(config.env_args)
    kept = tuple(argument for argument in run.env_args if argument.partition("=")[0] not in given)
    return replace(config, env=run.env, env_args=kept + config.env_args)


def evaluate_checkpoint(config: EvalConfig, *, progress: Callable[[float], None] | None = None) -> Evaluation:
    """Evaluates what `locate_checkpoint` has found.

    Args:
        config: what to evaluate, and how; its environment is known.
        progress: told the finished share (0 to 1) now and then.

    Raises:
        ConfigError: a value is unusable.
        PolicyError: the checkpoint cannot be loaded, or the server cannot do what is needed.
        InfrastructureFault: the server stayed unreachable.
    """
    if config.env is None:
        raise ConfigError("env: expected an environment; got none")
    arguments = parse_env_args(config.env_args)
    if "split" not in arguments:
        arguments = with_split(config.env, arguments, config.split)
    env = make_env(config.env, arguments)
    sampling = SamplingConfig(
        questions=config.at_a_time,
        group_size=config.samples,
        temperature=config.temperature,
        max_turn_tokens=config.max_turn_tokens,
        max_episode_tokens=config.max_episode_tokens,
    )
    plan = EvaluationPlan(
        questions=config.questions, sampling=sampling, seed=config.seed, success_threshold=config.success_threshold
    )
    with _opened(config) as policy:
        return evaluate(policy, env, plan, progress=progress)


@contextmanager
def _opened(config: EvalConfig) -> Iterator[TokenPolicy]:
    if config.tokenizer is None:
        yield load_policy(config.checkpoint, load_settings(config.policy, seed=config.seed))
        return
    from axpo_agents.remote_policy import RemoteSettings, load_remote_policy
    from axpo_envs.web import EnvironmentKey

    key = None if config.key_variable is None else EnvironmentKey(config.key_variable)
    # Rewards do not read log-probabilities, so any server that returns token ids will do.
    settings = RemoteSettings(url=config.checkpoint, key=key, raw_logprobs=True)
    with load_remote_policy(config.tokenizer, settings) as policy:
        yield policy
