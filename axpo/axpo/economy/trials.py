"""Defines `Trials`, what evaluations of several models found on the questions that all of them asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from axpo.records.tried import Tried
from axpo.settings.config import ConfigError

logger = logging.getLogger(__name__)

ALL = "all"
"""The category of every question where none is told."""
_CATEGORIES = ("family", "hops")
"""What tells categories where nothing is chosen; the first that every question has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Models by name, each with the same questions in the same order."""

    models: Mapping[str, tuple[Tried, ...]]
    """What each model did."""
    left_out: int
    """Questions that some model was not asked, or lost to faults."""

    @property
    def questions(self) -> tuple[str, ...]:
        """The ids of the questions."""
        return tuple(tried.question for tried in next(iter(self.models.values())))

    def categories(self, kind: str | None) -> tuple[str, ...]:
        """The category of every question.

        Args:
            kind: what tells it: `hops`, or a column; None takes `family`, else `hops`, else one for all.

        Raises:
            ConfigError: some question does not say it.
        """
        tried = next(iter(self.models.values()))
        known = [name for name in _CATEGORIES if all(name in each.kinds for each in tried)]
        kind = kind or next(iter(known), None)
        if kind is None:
            return (ALL,) * len(tried)
        silent = next((each for each in tried if kind not in each.kinds), None)
        if silent is not None:
            raise ConfigError(f"category: question {silent.question!r} has no {kind!r}, only {sorted(silent.kinds)}")
        return tuple(each.kinds[kind] for each in tried)


def read_trials(files: Mapping[str, Path]) -> Trials:
    """Reads what `axpo eval --json` wrote of several models.

    Args:
        files: by the models' names, at least two.

    Raises:
        ConfigError: a file is none of its kind, two asked different environments or splits, or share no question.
    """
    if len(files) < 2:
        raise ConfigError(f"evaluations: expected two or more of different names; got {', '.join(files)}")
    records = {name: _read(path) for name, path in files.items()}
    _check_same_questions({name: asked for name, (asked, _) in records.items()})
    models = {name: tried for name, (_, tried) in records.items()}
    everywhere = set.intersection(*(set(tried) for tried in models.values()))
    if not everywhere:
        raise ConfigError(f"evaluations: {', '.join(files)} have no question in common")
    left_out = len(set.union(*(set(tried) for tried in models.values()))) - len(everywhere)
    if left_out:
        logger.warning("%d questions are left out: not every model has them", left_out)
    order = [question for question in next(iter(models.values())) if question in everywhere]
    return Trials(
        models={name: tuple(tried[question] for question in order) for name, tried in models.items()},
        left_out=left_out,
    )


def _read(path: Path) -> tuple[tuple[Any, ...], dict[str, Tried]]:
    """What a file's evaluation asked, and what it found by question."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        tried = TypeAdapter(tuple[Tried, ...]).validate_python(record["tried"])
        settings = record["settings"]
        asked = settings["env"], record["split"], tuple(settings["env_args"])
    except (OSError, ValueError, ValidationError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{path}: expected a file that `axpo eval --json` of this version wrote; {problem}") from None
    found: dict[str, Tried] = {}
    for each in tried:
        lengths = {len(each.right), len(each.written), len(each.read), len(each.reread)}
        if lengths == {0} or len(lengths) > 1:
            raise ConfigError(f"{path}: question {each.question!r}: expected as many of everything as rollouts")
        if found.setdefault(each.question, each) is not each:
            raise ConfigError(f"{path}: question {each.question!r} stands there twice")
    return asked, found


def _check_same_questions(asked: Mapping[str, tuple[Any, ...]]) -> None:
    (first, expected), *others = asked.items()
    for name, got in others:
        if got[:2] != expected[:2]:
            raise ConfigError(
                f"evaluations: {first} asked {expected[0]}, split {expected[1]}; {name} asked {got[0]}, split {got[1]}"
            )
        if got[2] != expected[2]:
            logger.warning("%s and %s asked with other arguments: %s and %s", first, name, expected[2], got[2])


def names_of(files: Sequence[Path]) -> dict[str, Path]:
    """Files by the names without their endings.

    Raises:
        ConfigError: two have one name.
    """
    named = {path.stem: path for path in files}
    if len(named) < len(files):
        raise ConfigError(
            f"evaluations: expected files of different names; got {', '.join(path.name for path in files)}"
        )
    return named
