"""Defines `train` and `resume`: how a run begins, and how it goes on from its newest checkpoint.

Nothing that a step does depends on more than the weights, the optimizer's state, what is replayed and the step's
number: every random number follows from (seed, step, purpose), and the policy's caches are dropped between steps. A run
that was killed and resumed from its newest checkpoint therefore repeats, bit for bit on a CPU, what it would have done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axpo.cluster.opening import opened_cluster
from axpo.distributed.joining import joined
from axpo.distributed.ranks import Ranks
from axpo.records._folder import CHECKPOINTS, CONFIG, RunLogError, is_checkpoint, is_sft_run
from axpo.records.run_log import RunLog
from axpo.run._beginning import Loaded, RunParts, here
from axpo.run._checkpoint import Checkpoint, Progress, newest_checkpoint
from axpo.run._following import RunRecords, followed, opened
from axpo.run._governing import governed_worlds
from axpo.run._question_filter import filtered
from axpo.run._resumption import changed, differences
from axpo.run._room import check_first_questions
from axpo.run._run_result import RunResult
from axpo.run._samplers import opened_sampler
from axpo.run._starting_model import START, written
from axpo.run._tracking import tracked
from axpo.run._training_run import Audience, TrainingRun
from axpo.run.callbacks import Callback
from axpo.run.display import SILENT, Display
from axpo.run.environments import Worlds, envs_of, given_worlds, make_worlds, name_of_given, with_envs
from axpo.run.policy_loading import load_settings
from axpo.run.validation import check_new_folder, check_ranks, resolved
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import left_out, read_toml, to_toml
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.env import ToolEnv

__all__ = ["Given", "RunResult", "load_settings", "resume", "run_settings", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a run starts with in place of what its settings name."""

    env: ToolEnv | None = None
    """The environment; what is held out is set aside from its questions."""
    model: Any = None
    """Where training starts: a policy, or a model of the Transformers library. It stays as it is; the run writes a copy
    to its folder `start`, and goes on from there when it is resumed."""
    tokenizer: Any = None
    """The model's tokenizer, or its processor if it sees images; not needed with a policy."""


NOTHING: Final = Given()
"""Everything is named by the settings."""


def train(
    config: TrainConfig, *, given: Given = NOTHING, display: Display = SILENT, callbacks: Sequence[Callback] = ()
) -> RunResult:
    """Trains a policy from the beginning; nothing is shown, and no report written, but by display and callbacks.

    Args:
        config: everything that decides the results.
        given: objects in place of what the settings name.
        display: shows the run; on several processes that of the first one.
        callbacks: called after steps, evaluations and checkpoints; likewise.

    Raises:
        ConfigError: a setting is unusable; nothing was done yet.
        PeerError: another process of the run failed, or has gone.
        PolicyError: the model cannot be loaded, or cannot do what the environment needs.
        Interrupted: SIGINT, SIGTERM or SIGHUP arrived; a checkpoint was written, `resume` goes on from it.
        DivergenceError: loss, weights or logits are not finite; the checkpoints before are intact.
        CheckpointError, RunLogError: the disk is full or the folder cannot be written; what was written is intact.
    """
    if given.env is not None:
        config = replace(config, env=name_of_given(given.env), env_args=())
    with joined(config.policy.device, timeout_s=config.ranks.timeout_s) as ranks:
        audience = Audience(display, callbacks) if ranks.is_first else Audience(SILENT)
        if given.model is None:
            return _train(config, given.env, audience, ranks)
        if ranks.count > 1:
            raise ConfigError("model: expected a folder or an id on several processes; got a model in memory")
        with written(given.model, given.tokenizer, beside=Path(config.out).absolute().parent) as start:
            return _train(replace(config, model=str(start)), given.env, audience, ranks, start=start)


def _train(
    config: TrainConfig, env: ToolEnv | None, audience: Audience, ranks: Ranks, *, start: Path | None = None
) -> RunResult:
    """Trains from `config.model`; a model that was in memory is moved from `start` into the run's folder."""
    folder = Path(config.out)

    def prepared() -> tuple[TrainConfig, Worlds, TransformersPolicy]:
        settled = resolved(config)
        check_ranks(settled, ranks)
        if ranks.is_first:
            check_new_folder(folder)
        worlds = _worlds_of(settled, env)
        policy = load_policy(settled.model, load_settings(here(settled, ranks).policy, seed=settled.seed))
        check_first_questions(settled, worlds, policy)
        policy.forget()
        return settled, worlds, policy

    config, worlds, policy = ranks.each(prepared)
    folder = Path(config.out)
    if start is not None:
        config = replace(config, model=str(folder.absolute() / START))
    if start is not None and config.ray.address is not None and config.ray.rollouts.workers:
        raise ConfigError("model: expected a folder or an id, which workers of Ray can load; got a model in memory")
    with (
        opened_cluster(
            config, load_settings(config.policy, seed=config.seed), policy, envs_of(worlds), ranks
        ) as cluster,
        opened_sampler(config, policy, cluster, ranks) as sampler,
        opened(ranks, lambda: RunLog.create(folder, to_toml(config), tensorboard=config.log.tensorboard)) as log,
    ):
        if start is not None:
            start.rename(folder / START)
        worlds = with_envs(worlds, cluster.envs)
        parts = RunParts.of(Loaded(config=config, worlds=worlds, policy=policy, sampler=sampler, ranks=ranks))
        return _run(parts, followed(ranks, log, folder), audience, Progress())


def _run(parts: RunParts, log: RunRecords, audience: Audience, progress: Progress) -> RunResult:
    """Makes the steps that are left, with the trackers among those who are told."""
    with ExitStack() as until_done:
        trackers: tuple[Callback, ...] = ()
        if parts.ranks.is_first:
            trackers = until_done.enter_context(tracked(parts.config, log.folder, audience.display.note))
        told = Audience(audience.display, (*audience.callbacks, *trackers))
        return TrainingRun(parts, log, told, progress).run()


def resume(
    folder: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    given: Given = NOTHING,
    display: Display = SILENT,
    callbacks: Sequence[Callback] = (),
) -> RunResult:
    """Continues a run from its newest whole checkpoint, or from the beginning if it had none; raises as `train` does.

    Records of steps after that checkpoint are dropped, and the steps repeated.

    Args:
        folder: the run's folder.
        changes: new values of settings by dotted name, such as `{"steps": 120}`, which makes a finished run longer;
            see `axpo.run._resumption.CHANGEABLE`. They are written into the run's settings and recorded.
        given: the environment, where the run began with one that was given.
        display: shows the run.
        callbacks: are told of every step, evaluation and checkpoint.
    """
    before, changes = run_settings(folder), changes or {}
    timeout_s = float(changes.get("ranks.timeout_s", before.ranks.timeout_s))
    with joined(changes.get("policy.device", before.policy.device), timeout_s=timeout_s) as ranks:
        audience = Audience(display, callbacks) if ranks.is_first else Audience(SILENT)
        with opened(ranks, lambda: RunLog.open(folder, tensorboard=before.log.tensorboard)) as log:
            return _resume(_Resumption(before=before, changes=changes, env=given.env), log, audience, ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resumption:
    """What a resumed run is made of."""

    before: TrainConfig
    """Its settings, as they were."""
    changes: Mapping[str, Any]
    """New values of some of them."""
    env: ToolEnv | None
    """The environment, if one was given."""


def _resume(what: _Resumption, log: RunLog | None, audience: Audience, ranks: Ranks) -> RunResult:
    """Goes on from the newest whole checkpoint; the log is open on the first process."""
    before, folder = what.before, Path(what.before.out)
    config, checkpoint = ranks.first(lambda: _found(what, log, audience.display))
    progress = Progress() if checkpoint is None else checkpoint.progress

    def loaded() -> tuple[Worlds, TransformersPolicy]:
        check_ranks(config, ranks)
        worlds = _worlds_of(config, what.env)
        # Saving merges LoRA adapters into the weights they adapt; apart from them they are with the optimizer's state.
        model = config.model if checkpoint is None or config.policy.lora_rank else str(checkpoint.folder)
        return worlds, load_policy(model, load_settings(here(config, ranks).policy, seed=config.seed))

    worlds, policy = ranks.each(loaded)

    def shortened() -> None:
        if log is not None:
            log.truncate_after(progress.step)
            lacking = {name: (None, default) for name, default in left_out(log.folder / CONFIG, TrainConfig).items()}
            if lacking:
                audience.display.note(_older(lacking))
            if different := lacking | differences(before, config):
                log.change_config(to_toml(config), _change(progress.step, different))

    with (
        opened_cluster(
            config, load_settings(config.policy, seed=config.seed), policy, envs_of(worlds), ranks
        ) as cluster,
        opened_sampler(config, policy, cluster, ranks) as sampler,
    ):
        ranks.first(shortened)
        worlds = with_envs(worlds, cluster.envs)
        given = Loaded(config=config, worlds=worlds, policy=policy, sampler=sampler, ranks=ranks)
        parts = RunParts.of(given, checkpoint)
        return _run(parts, followed(ranks, log, folder), audience, progress)


def _found(what: _Resumption, log: RunLog | None, display: Display) -> tuple[TrainConfig, Checkpoint | None]:
    """The settings to go on with, and the checkpoint to go on from."""
    assert log is not None
    folder = log.folder
    checkpoint = newest_checkpoint(folder / CHECKPOINTS, warn=display.note, sealed=log.sealed_checkpoints())
    step = 0 if checkpoint is None else checkpoint.progress.step
    if (log.last_step or 0) < step:
        raise RunLogError(f"the run {folder} has a checkpoint of step {step}, but records of {log.last_step} steps")
    return resolved(changed(what.before, what.changes, done=log.last_step or 0)), checkpoint


def run_settings(folder: Path) -> TrainConfig:
    """The settings of a run, with `out`, and a model that began in memory, where they are now.

    Raises:
        ConfigError: the folder is that of no training run; the message says of what else, if that can be told.
    """
    if is_checkpoint(folder):
        raise ConfigError(f"resume: {folder} is a checkpoint; its run is {folder.absolute().parent.parent}")
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"resume: {folder} is not a run folder: it has no {CONFIG}")
    if is_sft_run(folder):
        raise ConfigError(f"resume: {folder} is a supervised run, which the same `axpo sft` command goes on with")
    config = replace(read_toml(folder / CONFIG, TrainConfig), out=str(folder.absolute()))
    start = folder.absolute() / START
    return replace(config, model=str(start)) if start.is_dir() else config


def _change(step: int, different: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {"step": step, "settings": {name: {"before": b, "after": a} for name, (b, a) in different.items()}}


def _older(lacking: Collection[str]) -> str:
    sections = ", ".join(dict.fromkeys(name.partition(".")[0] for name in lacking))
    return (
        f"the settings of this run are of another version of axpo, which did not have {len(lacking)} of this one's "
        f"({sections}): they have their defaults from now on, see changes.jsonl"
    )


def _worlds_of(config: TrainConfig, env: ToolEnv | None) -> Worlds:
    split, needed = config.log.eval_split, config.log.eval_questions > 0
    if env is None:
        worlds = make_worlds(config.env, config.env_args, split=split, needed=needed)
    else:
        worlds = given_worlds(env, needed=needed)
    return filtered(governed_worlds(worlds, config), config.filter)
