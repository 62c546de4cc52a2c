"""Defines `evaluate_checkpoint`: finds a checkpoint, or a server, and its environment, and evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axpo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
from axpo.records._folder import CHECKPOINTS, CONFIG, is_checkpoint, is_run, is_sft_run
from axpo.records._reading import read_steps
from axpo.run._checkpoint import checkpoint_folders, newest_checkpoint, read_checkpoint
from axpo.run._env_making import located_env
from axpo.run._governing import NONE, governed, located_file, policy_of
from axpo.run.environments import SET_ASIDE, TRAIN, make_asked, make_worlds
from axpo.run.policy_loading import load_settings
from axpo.run.validation import check_model
from axpo.settings._arguments import parse_env_args
from axpo.settings._engine import prompt_settings
from axpo.settings._evaluation import EvalConfig
from axpo.settings.config import ConfigError, SamplingConfig, TrainConfig
from axpo.settings.config_file import checked, read_toml
from axpo.settings.sft import RECORDED, SftConfig
from axpo.sft._run import STAGE
from axpo_agents.policy import Sampler
from axpo_agents.transformers_policy import load_policy
from axpo_envs.env import ToolEnv
from axpo_envs.governance import Governance, Phase


def locate_checkpoint(config: EvalConfig, *, warn: Callable[[str], None]) -> EvalConfig:
    """The same evaluation with its checkpoint found, its environment known and its limits decided.

    A run's folder stands for its newest whole checkpoint, that of a supervised run for its last stage. A run's
    checkpoint brings environment, limits, temperature, threshold and options of its chat template along; arguments of
    the environment, and options, that are given are added to those it was trained with, or replace them.

    Args:
        config: what is to be evaluated.
        warn: told about damaged checkpoints that were passed over.

    Raises:
        ConfigError: a value is unusable, the run has no checkpoint, or no environment is known.
        CheckpointError: every checkpoint of the run is damaged.
        RunLogError: the run's records are damaged.
    """
    config = checked(config)
    config = replace(config, permissions=located_file(config.permissions), audit_log=located_file(config.audit_log))
    if config.env is not None:
        config = replace(config, env=located_env(config.env))
    if config.is_remote != (config.tokenizer is not None):
        wanted = "the checkpoint that the server runs" if config.is_remote else "none without a server's address"
        raise ConfigError(f"tokenizer: expected {wanted}; got {config.tokenizer}")
    if config.tokenizer is not None:
        if config.env is None:
            raise ConfigError("env: a server knows no environment, so it takes --env to say where its policy acts")
        return _decided(config, _run_of(Path(config.tokenizer).expanduser()))
    folder, run = _newest(Path(config.checkpoint).expanduser(), warn)
    if folder.is_dir():
        config = replace(config, checkpoint=str(folder))
    check_model(config.checkpoint, config.policy)
    config = _decided(config, run)
    return config if config.env is not None else _at_home(config, run)


def checkpoints_of(run: Path) -> tuple[str, ...]:
    """The folders of the checkpoints that a training run has kept, oldest first.

    Raises:
        ConfigError: the folder is that of no training run, or holds no checkpoint.
    """
    folders = checkpoint_folders(run / CHECKPOINTS)
    if not folders:
        raise ConfigError(f"checkpoint: expected the folder of a training run with checkpoints; got {run}")
    return tuple(map(str, folders))


def _at_home(config: EvalConfig, run: TrainConfig | SftConfig | None) -> EvalConfig:
    """The evaluation in the environment of the checkpoint's own run."""
    if run is None:
        raise ConfigError(f"env: {config.checkpoint} is no run's checkpoint, so it takes --env to say where it acts")
    if run.env == RECORDED:
        raise ConfigError(f"env: {config.checkpoint} was taught without an environment, so it takes --env")
    given = parse_env_args(config.env_args)
    # The run's own split is that of its training; one that is given here is what to ask.
    chosen = run.log.eval_split if isinstance(run, TrainConfig) else None
    split = config.split or given.pop("split", None) or chosen
    added = tuple(argument for argument in config.env_args if _named(argument) in given)
    permissions = config.permissions
    if permissions is None and isinstance(run, TrainConfig) and run.permissions is not None:
        permissions = run.permissions
        policy_of(permissions, run.permissions_fingerprint, otherwise=f"--policy {permissions}")
    return replace(config, env=run.env, env_args=_merged(run.env_args, added), split=split, permissions=permissions)


def _named(argument: str) -> str:
    """The name of an argument NAME=VALUE."""
    return argument.partition("=")[0]


def _merged(own: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Arguments NAME=VALUE of a run, with those that are given added, or in place of them."""
    replaced = set(map(_named, given))
    return (*(argument for argument in own if _named(argument) not in replaced), *given)


def _newest(folder: Path, warn: Callable[[str], None]) -> tuple[Path, TrainConfig | SftConfig | None]:
    """The checkpoint that a folder stands for, and the settings of its run; None where there are none."""
    if (folder / CHECKPOINTS).is_dir() or is_run(folder):
        read_steps(folder)
        newest = newest_checkpoint(folder / CHECKPOINTS, warn=warn)
        if newest is None:
            raise ConfigError(f"checkpoint: the run {folder} has no checkpoint yet")
        folder = newest.folder
    elif is_sft_run(folder):
        stages = sorted(folder.glob(f"{STAGE}*"), key=lambda path: (len(path.name), path.name))
        if not stages:
            raise ConfigError(f"checkpoint: the supervised run {folder} has finished no stage yet")
        return stages[-1], read_toml(folder / CONFIG, SftConfig)
    if is_checkpoint(folder):
        read_checkpoint(folder)
    return folder, _run_of(folder)


def _decided(config: EvalConfig, run: TrainConfig | SftConfig | None) -> EvalConfig:
    """The evaluation with what was left open taken from a run, or from the defaults of runs."""
    train = run if isinstance(run, TrainConfig) else TrainConfig()
    limits = run if isinstance(run, SftConfig) else train.sampling
    defaults: dict[str, Any] = {
        "temperature": train.sampling.temperature,
        "top_p": train.sampling.top_p,
        "top_k": train.sampling.top_k,
        "max_turn_tokens": limits.max_turn_tokens,
        "max_episode_tokens": limits.max_episode_tokens,
        "success_threshold": train.success_threshold,
    }
    open_ones = {name: value for name, value in defaults.items() if getattr(config, name) is None}
    own = train.policy if run is None else run.policy
    options = _merged(own.template_options, config.policy.template_options)
    told = own.tell_images or config.policy.tell_images
    policy = replace(config.policy, template_options=options, tell_images=told)
    return replace(config, **open_ones, policy=policy)


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
    with open_checkpoint(config) as opened:
        return evaluate(opened.policy, opened.env, opened.plan, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCheckpoint:
    """A policy with its environment, ready to be asked."""

    policy: Sampler
    """The policy, loaded or connected to."""
    env: ToolEnv
    """Asks the questions."""
    plan: EvaluationPlan
    """How many, how often, and how answers are sampled."""


@contextmanager
def open_checkpoint(config: EvalConfig) -> Iterator[OpenedCheckpoint]:
    """Loads, or connects to, what `locate_checkpoint` has found, and makes its environment.

    Args:
        config: what is asked, and how; its environment is known.

    Raises:
        ConfigError: a value is unusable.
        PolicyError: the checkpoint cannot be loaded, or the server cannot do what is needed.
        InfrastructureFault: the server stayed unreachable.
    """
    if config.env is None:
        raise ConfigError("env: expected an environment; got none")
    env, split = _asked(config, config.env)
    env = governed(env, _governance(config))
    threshold = config.success_threshold
    plan = EvaluationPlan(
        questions=config.questions,
        sampling=_sampling(config),
        seed=config.seed,
        success_threshold=TrainConfig().success_threshold if threshold is None else threshold,
        split=split,
    )
    with open_policy(config) as policy:
        yield OpenedCheckpoint(policy=policy, env=env, plan=plan)


_OPEN: Final = ("temperature", "top_p", "top_k", "max_turn_tokens", "max_episode_tokens")
"""Settings of sampling that may be left open."""


def _sampling(config: EvalConfig) -> SamplingConfig:
    given = {name: value for name in _OPEN if (value := getattr(config, name)) is not None}
    return SamplingConfig(questions=config.at_a_time, group_size=config.samples, **given)


def _governance(config: EvalConfig) -> Governance:
    return Governance(
        policy=None if config.permissions in (None, NONE) else config.permissions,
        phase=Phase.EVALUATION,
        audit_log=config.audit_log,
        run=None if config.audit_log is None else f"evaluation of {config.checkpoint}",
    )


def _asked(config: EvalConfig, env: str) -> tuple[ToolEnv, str]:
    """What is asked: of a run's own environment, nothing that it was trained on."""
    run = None if config.is_remote else _run_of(Path(config.checkpoint).expanduser())
    if run is None or run.env != env:
        return make_asked(env, config.env_args, config.split)
    worlds = make_worlds(env, config.env_args, split=config.split)
    evaluated = run.eval_questions if isinstance(run, SftConfig) else run.log.eval_questions
    if worlds.split == SET_ASIDE and not evaluated:
        raise ConfigError(
            f"split: {config.checkpoint} was trained without evaluations, on every question there is; choose "
            f"{TRAIN!r} to measure those"
        )
    return worlds.held_out, worlds.split


def _run_of(checkpoint: Path) -> TrainConfig | SftConfig | None:
    """The settings of the run that wrote a checkpoint; None where none did."""
    if is_checkpoint(checkpoint):
        return read_toml(checkpoint / CONFIG, TrainConfig)
    if checkpoint.is_dir() and is_sft_run(checkpoint.parent):
        return read_toml(checkpoint.parent / CONFIG, SftConfig)
    return None


@contextmanager
def open_policy(config: EvalConfig) -> Iterator[Sampler]:
    """Loads, or connects to, what `locate_checkpoint` has found.

    Args:
        config: which policy, and how it is loaded.

    Raises:
        PolicyError: the checkpoint cannot be loaded, or the server cannot do what is needed.
        InfrastructureFault: the server stayed unreachable.
    """
    if config.tokenizer is None:
        yield load_policy(config.checkpoint, load_settings(config.policy, seed=config.seed))
        return
    from axpo_agents.remote import RemoteSettings, load_remote_policy
    from axpo_envs.plumbing.web import EnvironmentKey

    key = None if config.key_variable is None else EnvironmentKey(config.key_variable)
    # Rewards do not read log-probabilities, so any server that returns token ids will do.
    settings = RemoteSettings(url=config.checkpoint, key=key, raw_logprobs=True)
    with load_remote_policy(config.tokenizer, settings, prompt_settings(config.policy)) as policy:
        yield policy
