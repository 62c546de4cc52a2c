"""Defines how the environment that a configuration names is made: for training, and for what is held out from it.

What is held out is a split that the environment knows (`test`, else `validation`, else one of their other names), or
questions that are set aside from those of training. Either way nothing that is asked in evaluations is trained on.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gymnasium
from gymnasium.envs.registration import load_env_creator

from axpo.config import ConfigError
from axpo.questions import contents, divide
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError, UnknownSplitError
from axpo_envs.extras import MissingExtraError
from axpo_envs.questions import QuestionSubset

TRAIN: Final = "train"
"""The split of training where none is chosen."""

SET_ASIDE: Final = "held_out"
"""What questions are called that were set aside from those of training."""

ALL: Final = "all"
"""What the questions of an environment without splits are called."""

HELD_OUT_SPLITS: Final = ("test", "validation", "val", "valid", "dev", "eval", "evaluation", "testing")
"""Splits that are held out where none is chosen; the first that there is."""

ENDLESS_HELD_OUT: Final = 2**16
"""Questions that are set aside from an endless source."""

_PYTHON_WORDS: Final = {"True": "true", "False": "false", "None": "null"}


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
    parameters = inspect.signature(_creator(env_id)[0]).parameters
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
            elif _creator(env_id)[0].__module__.startswith("axpo_envs.") or "split" not in str(cause):
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


def parse_env_args(arguments: Sequence[str], *, setting: str = "env_args") -> dict[str, Any]:
    """Keyword arguments from NAME=VALUE, where VALUE is JSON or a bare word.

    Worked value: `("guess_rate=0.6", "split=test")` gives `{"guess_rate": 0.6, "split": "test"}`.

    Args:
        arguments: the arguments.
        setting: what messages call them.

    Raises:
        ConfigError: an argument is not of that form, or named twice.
    """
    parsed: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{setting}: expected NAME=VALUE; got {argument!r}")
        if name in parsed:
            raise ConfigError(f"{setting}: {name} is given twice")
        parsed[name] = _value(name, text)
    return parsed


def make_env(env_id: str, arguments: Mapping[str, Any]) -> ToolEnv:
    """Makes an environment without Gymnasium's wrappers.

    Args:
        env_id: a Gymnasium id; `module:id` and `folder/module.py:id` import the module first, see `import_by_name`.
        arguments: keyword arguments of its constructor.

    Raises:
        ConfigError: there is no such environment, it is no `ToolEnv`, or the arguments do not suit it.
    """
    creator, defaults = _creator(env_id)
    try:
        inspect.signature(creator).bind(**{**defaults, **arguments})
    except TypeError as error:
        raise ConfigError(f"env_args: {env_id}: {error}; it takes {', '.join(_parameters(creator))}") from error
    try:
        name = env_id.rpartition(":")[2]
        env = gymnasium.make(name, disable_env_checker=True, **arguments).unwrapped
    except MissingExtraError:
        raise
    except (EnvConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"env_args: {env_id}: {error}") from error
    except ImportError as error:
        raise ConfigError(f"env: {env_id} needs a package that is not installed: {error}") from error
    if not isinstance(env, ToolEnv):
        raise ConfigError(f"env: expected a ToolEnv; {env_id} is a {type(env).__name__}")
    return env


def import_by_name(module: str) -> None:
    """Imports a module by its name or by the path of its file.

    Modules of the working folder are found by name, too, as they are by `python -m`; installed ones come first. A
    module that is given as a file finds its neighbours.

    Raises:
        ConfigError: there is no such file, or a module of its name is imported from elsewhere.
        ImportError: there is no such module, or it fails to import another.
    """
    if not module.endswith(".py"):
        _find_modules_in(Path.cwd())
        importlib.import_module(module)
        return
    file = Path(module).expanduser().resolve()
    if not file.is_file():
        raise ConfigError(f"env: expected a module's file; there is none at {file}")
    _find_modules_in(file.parent)
    found = importlib.import_module(file.stem)
    if Path(found.__file__ or "").resolve() != file:
        raise ConfigError(f"env: {file} cannot be imported: {found.__file__ or file.stem} has the same name")


def _find_modules_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _creator(env_id: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What makes the environment, and the keyword arguments it was registered with."""
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_by_name(module)
        spec = gymnasium.spec(name)
        if spec.entry_point is None:
            raise ConfigError(f"env: {env_id} is registered without an entry point")
        entry = spec.entry_point
        return load_env_creator(entry) if isinstance(entry, str) else entry, dict(spec.kwargs)
    except gymnasium.error.Error as error:
        raise ConfigError(f"env: {error}; `axpo envs` lists those that are known") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"env: {env_id} cannot be loaded: {error}") from error


def _parameters(creator: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(creator).parameters if name not in ("self", "render_mode")]


def _value(name: str, text: str) -> Any:
    if text in _PYTHON_WORDS:
        raise ConfigError(f"env_args: {name}: expected {_PYTHON_WORDS[text]!r} (JSON); got {text!r}")
    try:
        return json.loads(text)
    except ValueError as error:
        if text[:1] in tuple('{["'):
            raise ConfigError(f"env_args: {name}: expected JSON; got {text!r} ({error})") from error
        return text
