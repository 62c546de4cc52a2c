"""Defines which questions of training are left out because they were always, or never, solved before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from axpo.records.solved import Solved, read_solved
from axpo.run.environments import Worlds
from axpo.settings.config import ConfigError, FilterConfig
from axpo_envs.questions.sources import QuestionSubset


def filtered(worlds: Worlds, config: FilterConfig) -> Worlds:
    """The environments, with the questions left out of training that teach nothing; evaluations stay what they are.

    Raises:
        ConfigError: a file cannot be read or names no question of training, the questions have no end, or none is left.
    """
    if config.always is None and config.never is None:
        return worlds
    source = worlds.training.questions
    if source.size is None:
        raise ConfigError(
            "filter: expected an environment with a finite number of questions; those of training have no end"
        )
    ids = [source.question(index).id for index in range(source.size)]
    always = _judged(config.always, config, ids, lambda each: each.right == each.rollouts)
    never = _judged(config.never, config, ids, lambda each: each.right == 0)
    kept = [index for index, name in enumerate(ids) if name not in always | never]
    if not kept:
        raise ConfigError(f"filter: all {source.size} questions of training were always or never solved; none is left")
    left_out = (
        f"left out of training were {len(always)} questions that were always solved, {len(never)} that never were"
    )
    return replace(
        worlds,
        training=worlds.training.asking(QuestionSubset(source, kept)),
        note=f"{worlds.note}; {left_out}" if worlds.note else left_out,
    )


def _judged(file: str | None, config: FilterConfig, ids: list[str], holds: Callable[[Solved], bool]) -> set[str]:
    """The questions of training of which a file says so, with enough tries."""
    if file is None:
        return set()
    asked = set(ids)
    found = [each for each in read_solved(Path(file)) if each.question in asked]
    if not found:
        raise ConfigError(f"filter: {file} names no question of training; expected `axpo eval --split train --solved`")
    return {each.question for each in found if each.rollouts >= config.rollouts and holds(each)}
