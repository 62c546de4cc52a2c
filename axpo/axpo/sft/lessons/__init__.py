"""Defines where demonstrations come from: one lesson per file, made by the name that a stage gives."""

from __future__ import annotations

from axpo.settings.config import ConfigError
from axpo.settings.sft import LessonName, SftConfig, StageConfig
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons._locate_and_read import LocateAndRead
from axpo.sft.lessons._recorded import Recorded
from axpo.sft.lessons._trajectories import Trajectories
from axpo.sft.sources import load_demonstrations
from axpo_envs.env import ToolEnv
from axpo_envs.suite.visual_zoom.env import VisualZoom


def make_lesson(stage: StageConfig, config: SftConfig, env: ToolEnv | None, *, seed: int) -> Lesson:
    """The lesson of a stage.

    Args:
        stage: names the lesson.
        config: the run's settings.
        env: the environment; None shows demonstrations as their source says.
        seed: decides what is drawn.

    Raises:
        ConfigError: the environment has no scripted expert for it, or there are no demonstrations.
        EnvConfigError: records of demonstrations are unusable.
    """
    if stage.lesson is LessonName.DEMONSTRATIONS:
        return Recorded(load_demonstrations(config.demonstrations, env, seed=seed), env, seed=seed)
    if not isinstance(env, VisualZoom):
        raise ConfigError(f"env: lessons are known for axpo/VisualZoom-v0; got {config.env}")
    match stage.lesson:
        case LessonName.LOCATE_AND_READ:
            return LocateAndRead(env, seed=seed, questions=config.questions_in_memory, uses=stage.question_uses)
        case LessonName.TRAJECTORIES:
            return Trajectories(
                env,
                stage.trajectories,
                seed=seed,
                questions=config.questions_in_memory,
                uses=stage.question_uses,
            )
