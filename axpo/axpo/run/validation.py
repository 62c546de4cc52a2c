"""Defines the checks that a configuration passes before any work."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from axpo.algorithm._eight_bit import EIGHT_BIT
from axpo.algorithm.methods import configured, method_named
from axpo.algorithm.selection import prefix_budget
from axpo.cluster.opening import check_cluster
from axpo.diagnostics.metrics import PASS_KS, TERM, rate_names
from axpo.distributed.ranks import Ranks
from axpo.records._checked_json import DamagedFileError
from axpo.records._folder import foreign_files
from axpo.records._manifest import MANIFEST, check_manifest
from axpo.run._governing import check_counting, located_file, permitted
from axpo.run._samplers import check_sampler, check_sharing
from axpo.run.locating import located, with_filter
from axpo.run.trackers import make_tracker
from axpo.settings._arguments import parse_env_args
from axpo.settings._serving import LEARNER, samples_elsewhere
from axpo.settings.config import Algorithm, ConfigError, LogConfig, LossConfig, TrainConfig
from axpo.settings.config_file import checked
from axpo.settings.model import ModelConfig
from axpo_agents.errors import PolicyError
from axpo_agents.formats.gguf_files import gguf_file, names_gguf
from axpo_agents.tiny import tiny_named
from axpo_envs.plumbing.extras import require_extra, requiring

with requiring("train", "training"):
    import torch

TINY_LR: Final = 1e-4
"""Learning rate of the tiny models where none is given."""
LR: Final = 1e-6
"""Learning rate of other models where none is given."""
IMPORTANCE: Final = 2.0
"""Bound of importance weights where none is given, and what samples is not what learns."""
_TINY_WIDTH: Final = 256
"""Models whose text layers are at most this wide count as tiny."""


def resolved(config: TrainConfig) -> TrainConfig:
    """The same configuration, checked, with everything that was left open decided.

    Raises:
        ConfigError: a value is unusable, values contradict each other, or device, model or packages are missing.
    """
    config = with_filter(located(checked(config)))
    config = replace(config, permissions=located_file(config.permissions), audit_log=located_file(config.audit_log))
    config = permitted(config)
    config = configured(config)
    parse_env_args(config.env_args)
    parse_env_args(config.policy.template_options, setting="policy.template_options")
    _check_lengths(config)
    _check_selection(config)
    _check_entropy(config.loss)
    _check_best(config.log)
    _check_trackers(config.log)
    check_model(config.model, config.policy)
    check_sampler(config)
    if config.ray.address is not None and config.ray.environments.workers:
        check_counting(config, processes="workers of a Ray cluster")
    check_cluster(config)
    config = _with_importance(config)
    if config.optim.algorithm is Algorithm.ADAMW_8BIT:
        require_extra(EIGHT_BIT, "optim.algorithm adamw_8bit")
    if config.optim.lr is not None:
        return config
    return replace(config, optim=replace(config.optim, lr=TINY_LR if _is_tiny(config.model) else LR))


def _with_importance(config: TrainConfig) -> TrainConfig:
    """Whether importance weights are needed decided, where that was left open."""
    if config.loss.max_importance is not None:
        return config
    apart = config.sampler != LEARNER or config.max_staleness > 0
    return replace(config, loss=replace(config.loss, max_importance=IMPORTANCE if apart else 0.0))


def check_model(model: str, settings: ModelConfig) -> None:
    """Checks what can be known of a model before it is loaded.

    Raises:
        ConfigError: the device does not exist, a package is missing, or the model's folder or file is none, or is
            damaged.
    """
    check_device(settings.device)
    if settings.lora_rank:
        require_extra("lora", "policy.lora_rank")
    if names_gguf(model):
        _check_gguf(model)
        return
    folder = Path(model).expanduser()
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model: expected a checkpoint folder; {folder} has no config.json")
        if (folder / MANIFEST).is_file():
            _check_whole(folder)
    elif model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ConfigError(f"model: there is no folder {folder}")


def _check_gguf(model: str) -> None:
    try:
        gguf_file(model)
    except PolicyError as error:
        raise ConfigError(f"model: {error}") from error


def _check_whole(folder: Path) -> None:
    try:
        check_manifest(folder)
    except DamagedFileError as error:
        raise ConfigError(f"model: {error}") from error


def check_device(device: str) -> None:
    """Checks that a torch device exists.

    Raises:
        ConfigError: it does not; the message says what there is.
    """
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    available += ["mps"] if torch.backends.mps.is_available() else []
    names = {*available, *(name.partition(":")[0] for name in available)}
    if device not in names:
        raise ConfigError(f"policy.device: expected one of {', '.join(available)}; got {device!r}")


def check_ranks(config: TrainConfig, ranks: Ranks) -> None:
    """Checks what only several processes, or only one, can do.

    Raises:
        ConfigError: settings that do not go together.
    """
    given = config.ranks
    if given.cpu_offload and given.strategy != "fsdp":
        raise ConfigError(f"ranks.cpu_offload: expected ranks.strategy fsdp beside it; got {given.strategy}")
    if ranks.count == 1:
        return
    check_sharing(config, learners=ranks.count)
    if not samples_elsewhere(config):
        # Otherwise the first process makes all calls.
        check_counting(config, processes=f"{ranks.count} processes")
    if given.strategy == "fsdp" and config.optim.algorithm is Algorithm.ADAFACTOR:
        raise ConfigError(
            "optim.algorithm: expected adamw or sgd with ranks.strategy fsdp; got adafactor, whose sums run over whole "
            "weights"
        )
    if given.strategy != "fsdp" and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise ConfigError(
            f"ranks.strategy: `accelerate launch` was asked for FSDP; expected --ranks.strategy fsdp, got "
            f"{given.strategy}"
        )


def check_new_folder(folder: Path) -> None:
    """Checks that a run can be started in a folder.

    Raises:
        ConfigError: it holds something already, or cannot be made.
    """
    if (folder / "config.toml").is_file():
        raise ConfigError(
            f"out: {folder} holds a run already: continue it with `axpo train --resume {folder}`, or choose another "
            "folder"
        )
    parent = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not parent.is_dir():
        raise ConfigError(f"out: {parent} is a file; expected a folder")
    if parent == folder and any(not name.startswith(".") for name in foreign_files(folder)):
        raise ConfigError(f"out: expected a new or empty folder; {folder} holds files")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"out: cannot make {folder}: {parent} is not writable")


def _check_lengths(config: TrainConfig) -> None:
    turn, episode = config.sampling.max_turn_tokens, config.sampling.max_episode_tokens
    if turn > episode:
        raise ConfigError(
            f"sampling.max_turn_tokens: expected at most sampling.max_episode_tokens ({episode}); got {turn}"
        )


def _check_entropy(loss: LossConfig) -> None:
    if loss.entropy_floor and not loss.entropy:
        raise ConfigError(
            f"loss.entropy: expected a weight above 0 beside loss.entropy_floor ({loss.entropy_floor}); got 0.0, with "
            "which the floor holds nothing"
        )


def _check_best(log: LogConfig) -> None:
    """Checks that what a run's best checkpoint is chosen by will be measured."""
    if log.patience and (log.best_by is None or not log.eval_every):
        raise ConfigError(
            "log.patience: expected log.best_by and log.eval_every beside it, by which a run can end early"
        )
    if log.best_by is None:
        return
    if not log.eval_questions:
        raise ConfigError("log.best_by: expected log.eval_questions above 0; without evaluations there is no best one")
    passes = [f"pass{k}" for k in PASS_KS if k <= log.eval_samples]
    known = [*passes, *rate_names()]
    if log.best_by not in known and not log.best_by.startswith(TERM):
        raise ConfigError(
            f"log.best_by: expected one of {', '.join(known)}, or {TERM}NAME for a term of the reward; "
            f"got {log.best_by!r}"
        )


def _check_trackers(log: LogConfig) -> None:
    """Checks that every tracker is there, and named once."""
    for name in log.trackers:
        if log.trackers.count(name) > 1:
            raise ConfigError(f"log.trackers: expected every tracker once; got {' '.join(log.trackers)}")
        make_tracker(name)


def _check_selection(config: TrainConfig) -> None:
    selection = config.selection
    rollouts = config.sampling.questions * config.sampling.group_size
    selects = method_named(config.method).select is not None
    if selects and selection.budget > 0 and prefix_budget(selection, rollouts) == 0:
        raise ConfigError(
            f"selection.budget: {selection.budget} of {rollouts} rollouts is less than one prefix with "
            f"{selection.continuations} continuations, so no prefix would ever be selected; expected at least "
            f"{_rounded_up(Fraction(selection.continuations, rollouts))}, or --method grpo"
        )


def _rounded_up(value: Fraction) -> str:
    """A decimal of at most six places that is not below the value."""
    return f"{Decimal(math.ceil(value * 10**6)) / 10**6:f}"


def _is_tiny(model: str) -> bool:
    if tiny_named(model) is not None:
        return True
    path = Path(model).expanduser() / "config.json"
    if not path.is_file():
        return False
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"model: {path} is no JSON: {error}") from error
    return int(config.get("text_config", config).get("hidden_size", _TINY_WIDTH + 1)) <= _TINY_WIDTH
