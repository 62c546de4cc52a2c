"""Defines `make_worlds`, which makes an environment in two roles: for training, and for what is held out from it.

What is held out is a split that the environment knows (`test`, else `validation`, else one of their other names), or
questions that are set aside from those of training. Either way nothing that is asked in evaluations is trained on.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from axpo.algorithm.questions import contents, divide
from axpo.run._env_making import find_creator, import_by_name, make_env
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError
from axpo_envs.env import ToolEnv
from axpo_envs.errors import UnknownSplitError
from axpo_envs.questions.sources import QuestionSubset

__all__ = [
    "ALL",
    "HELD_OUT_SPLITS",
    "SET_ASIDE",
    "TRAIN",
    "NothingHeldOutError",
    "Worlds",
    "import_by_name",
    "make_asked",
    "make_env",
    "make_worlds",
    "parse_env_args",
    "with_split",
]

TRAIN: Final = "train"
"""The split of training where none is chosen."""

SET_ASIDE: Final = "held_out"
"""What questions are called that were set aside from those of training."""

ALL: Final = "all"
"""What the questions of an environment without splits are called."""

HELD_OUT_SPLITS: Final = ("test", "validation", "val", "valid", "dev", "eval", "evaluation", "testing")
"""Splits that are held out where none is chosen; the first that there is."""

_TRAINING: Final = "training"
_HELD_OUT: Final = "held out"

GIVEN: Final = "given"
"""What the names of environments begin with that a run was given."""

ENDLESS_HELD_OUT: Final = 2**16
"""Questions that are set aside from an endless source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """One environment in its two roles."""

    training: ToolEnv
    """Asks the questions of training."""
    held_out: ToolEnv
    """Asks those of evaluations."""
    split: str
    """What the questions of evaluations are called: a split of the environment, or `held_out` where some were set aside
    from those of training."""
    note: str = ""
    """What a person should know of how they were chosen; empty where a split was there and shares nothing."""


def envs_of(worlds: Worlds) -> dict[str, ToolEnv]:
    """The environments by name; one, if there is but one."""
    held_out = {} if worlds.held_out is worlds.training else {_HELD_OUT: worlds.held_out}
    return {_TRAINING: worlds.training, **held_out}


def with_envs(worlds: Worlds, envs: Mapping[str, ToolEnv]) -> Worlds:
    """The worlds with other environments in the place of theirs, by the names of `envs_of`; none changes nothing."""
    training = envs.get(_TRAINING, worlds.training)
    held_out = training if worlds.held_out is worlds.training else envs.get(_HELD_OUT, worlds.held_out)
    return replace(worlds, training=training, held_out=held_out)


def make_worlds(
    env_id: str,
    env_args: Sequence[str],
    *,
    split: str | None = None,
    prefer: Sequence[str] = HELD_OUT_SPLITS,
    needed: bool = True,
) -> Worlds:
    """Makes an environment from its arguments as NAME=VALUE, for training and for evaluations.

    Questions of training that ask the same as one of evaluations, word for word and image for image, are left out of
    training. Where the environment has no split to hold out, a tenth of its questions is set aside, chosen by a hash of
    what they ask.

    Args:
        env_id: a Gymnasium id; `module:id` imports the module first.
        env_args: arguments of its constructor; a `split` among them is that of training.
        split: the split of evaluations, `held_out` to set questions aside. That of training itself is taken as it is.
        prefer: splits that are tried in turn where none is chosen.
        needed: evaluations are made; without them, training has all its questions.

    Raises:
        ConfigError: as `parse_env_args` and `make_env`; or there is no such split, or nothing that can be held out.
    """
    if env_id.startswith(f"{GIVEN}:"):
        raise ConfigError(
            f"env: {env_id} is an environment that the run was given; give it again: axpo.resume(folder, env=...)"
        )
    arguments = parse_env_args(env_args)
    training = make_env(env_id, arguments)
    trained = str(arguments.get("split") or TRAIN)
    if not needed:
        return Worlds(training=training, held_out=training, split=trained)
    if split == trained:
        note = f"evaluations ask questions of the split {split!r}, which is trained on: nothing is held out"
        return Worlds(training=training, held_out=training, split=split, note=note)
    if split is not None and split != SET_ASIDE:
        return _apart(training, make_env(env_id, with_split(env_id, arguments, split)), split)
    others = () if split == SET_ASIDE else _find_splits(env_id, arguments, [name for name in prefer if name != trained])
    for name, env in others:
        try:
            return _apart(training, env, name)
        except NothingHeldOutError:
            continue
    return _set_aside(training)


def given_worlds(env: ToolEnv, *, needed: bool = True) -> Worlds:
    """An environment that was given, for training and for evaluations, whose questions are set aside from its own.

    Raises:
        ConfigError: it asks fewer than two different questions.
    """
    return _set_aside(env) if needed else Worlds(training=env, held_out=env, split=TRAIN)


def name_of_given(env: ToolEnv) -> str:
    """What a run's settings call an environment that was given: nothing can be made of it later."""
    return f"{GIVEN}:{env.spec.id if env.spec is not None else type(env).__name__}"


class NothingHeldOutError(ConfigError):
    """No question of evaluations is left that is not one of training, or the other way round."""


def make_asked(env_id: str, env_args: Sequence[str], split: str | None) -> tuple[ToolEnv, str]:
    """An environment for a policy whose training is not known, and what its questions are called.

    Where no split is chosen, neither by `split` nor by the arguments, it is the first of `HELD_OUT_SPLITS` that there
    is; an environment without any asks all its questions, called `all`.

    Raises:
        ConfigError: as `make_worlds`.
    """
    arguments = parse_env_args(env_args)
    chosen = split or arguments.get("split")
    if chosen is not None:
        return make_env(env_id, with_split(env_id, arguments, str(chosen))), str(chosen)
    for name, env in _find_splits(env_id, arguments, HELD_OUT_SPLITS):
        return env, name
    return make_env(env_id, arguments), ALL


def with_split(env_id: str, arguments: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The arguments that make the environment ask the questions of a split.

    Raises:
        ConfigError: there is no such environment, or its constructor knows no splits.
    """
    if not _takes_splits(env_id):
        raise ConfigError(
            f"split: {env_id} takes no argument 'split', so there is no {split!r}; {SET_ASIDE!r} sets questions aside"
        )
    return {**arguments, "split": split}


def _takes_splits(env_id: str) -> bool:
    parameters = inspect.signature(find_creator(env_id)[0]).parameters
    return "split" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _find_splits(env_id: str, arguments: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, ToolEnv]]:
    """Those of the splits that the environment knows, in that order.

    Raises:
        ConfigError: a split is there, but its questions are unusable.
    """
    if not _takes_splits(env_id):
        return
    known: tuple[str, ...] | None = None
    for name in names:
        spelled = name
        if known is not None:
            spelled = next((one for one in known if one.lower() == name), "")
        if not spelled:
            continue
        try:
            yield spelled, make_env(env_id, {**arguments, "split": spelled})
        except ConfigError as error:
            cause = error.__cause__
            if isinstance(cause, UnknownSplitError):
                known = cause.known
            elif find_creator(env_id)[0].__module__.startswith("axpo_envs.") or "split" not in str(cause):
                # Environments of others may say in words of their own that they do not know a split.
                raise


def _apart(training: ToolEnv, held_out: ToolEnv, split: str) -> Worlds:
    """The two environments, what both ask left out of training.

    Raises:
        NothingHeldOutError: they ask the same.
    """
    size = training.questions.size
    if training.questions.fingerprint == held_out.questions.fingerprint:
        raise NothingHeldOutError(f"split: {split!r} has the very questions of training, so that nothing is held out")
    if size is None or held_out.questions.size is None:
        return Worlds(training=training, held_out=held_out, split=split)
    asked = set(contents(held_out.questions))
    kept = [index for index, content in enumerate(contents(training.questions)) if content not in asked]
    if len(kept) == size:
        return Worlds(training=training, held_out=held_out, split=split)
    if not kept:
        raise NothingHeldOutError(f"split: every question of training is one of the split {split!r}, too")
    note = f"{size - len(kept)} of {size} questions of training are asked in the split {split!r}, too: left out"
    return Worlds(
        training=training.asking(QuestionSubset(training.questions, kept)), held_out=held_out, split=split, note=note
    )


def _set_aside(env: ToolEnv) -> Worlds:
    """An environment without a split to hold out, its questions divided.

    Raises:
        NothingHeldOutError: it asks fewer than two different questions.
    """
    source = env.questions
    if source.size is None:
        held, kept = (
            QuestionSubset(source, range(ENDLESS_HELD_OUT)),
            QuestionSubset(source, endless_from=ENDLESS_HELD_OUT),
        )
        note = f"there is no split to hold out: the first {ENDLESS_HELD_OUT} of endless questions are set aside"
    else:
        ours, theirs = divide(contents(source))
        if not ours:
            raise NothingHeldOutError(
                f"questions: none of {source.size} can be held out, as all ask the same; give rows of a split 'test' "
                f"or 'validation', or measure what is trained on by choosing {TRAIN!r} as the split of evaluations"
            )
        held, kept = QuestionSubset(source, theirs), QuestionSubset(source, ours)
        note = (
            f"there is no split to hold out: {len(theirs)} of {source.size} questions are set aside for evaluations, "
            "chosen by a hash of what they ask"
        )
    return Worlds(training=env.asking(kept), held_out=env.asking(held), split=SET_ASIDE, note=note)
