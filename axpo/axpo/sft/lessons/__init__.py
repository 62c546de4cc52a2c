"""Where demonstrations come from: one lesson a file, registered with its environment, made by a stage's name for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from axpo.settings.config import ConfigError
from axpo.settings.sft import DEMONSTRATIONS, SftConfig, StageConfig
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons import _desk, _multi_hop_search, _python_reasoning, _visual_zoom
from axpo.sft.lessons._recorded import Recorded
from axpo.sft.sources import load_demonstrations
from axpo_envs.env import ToolEnv

__all__ = ["LessonMaker", "make_lesson", "register_lessons"]


class LessonMaker(Protocol):
    """Makes a lesson of one environment."""

    def __call__(self, env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
        """The lesson of a stage; the seed decides what is drawn."""
        ...


_LESSONS: Final[dict[type[ToolEnv], Mapping[str, LessonMaker]]] = {}


def register_lessons(env: type[ToolEnv], lessons: Mapping[str, LessonMaker]) -> None:
    """Makes the lessons of an environment known by their names, in place of those it had."""
    _LESSONS[env] = dict(lessons)


def make_lesson(stage: StageConfig, config: SftConfig, env: ToolEnv | None, *, seed: int) -> Lesson:
    """The lesson of a stage.

    Args:
        stage: names the lesson.
        config: the run's settings.
        env: the environment; None shows demonstrations as their source says.
        seed: decides what is drawn.

    Raises:
        ConfigError: the environment has no lesson of that name, or there are no demonstrations.
        EnvConfigError: records of demonstrations are unusable.
    """
    if stage.lesson == DEMONSTRATIONS:
        return Recorded(load_demonstrations(config.demonstrations, env, seed=seed), env, seed=seed)
    known = next((lessons for kind, lessons in _LESSONS.items() if isinstance(env, kind)), None)
    if env is None or known is None:
        taught = ", ".join(kind.__name__ for kind in _LESSONS)
        raise ConfigError(f"env: lessons are known for {taught}; got {config.env}")
    if stage.lesson not in known:
        names = ", ".join((*known, DEMONSTRATIONS))
        raise ConfigError(f"stages.lesson: expected one of {names} in {config.env}; got {stage.lesson!r}")
    return known[stage.lesson](env, stage, config, seed=seed)


register_lessons(_visual_zoom.ENV, _visual_zoom.LESSONS)
register_lessons(_multi_hop_search.ENV, _multi_hop_search.LESSONS)
register_lessons(_desk.ENV, _desk.LESSONS)
register_lessons(_python_reasoning.ENV, _python_reasoning.LESSONS)
