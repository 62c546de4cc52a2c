"""Defines what stable-baselines3 is trained on: settings of VisualZoom, and `doors`, a task of text and two tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import gymnasium
import numpy as np

from axpo_envs import ToolEnv
from axpo_envs.adapters.sb3 import FixedSpaces, TextFeatures, ZoomGrid
from axpo_envs.suite.tool_task import ToolTask
from axpo_envs.suite.visual_zoom import VisualZoom
from axpo_envs.tools import ToolContext, tool

COLOURS: Final = ("red", "green", "blue", "yellow", "magenta", "cyan")
"""The words of VisualZoom's questions that tell them apart."""

_LETTERS: Final = "abcdef"
_DOORS: Final = 6
_ROWS: Final = {"train": 4000, "validation": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained on."""

    summary: str
    """In a few words."""
    make: Callable[[str], ToolEnv]
    """Split -> the environment."""
    answers: str
    """The answers to choose from."""
    steps: int
    """Steps of training."""
    image_size: int | None
    """Side of images in pixels, None for none."""
    words: tuple[str, ...] | None = None
    """Words that are told apart; None hashes all of them."""
    zoom: Mapping[str, Any] | None = None
    """Settings of the `ZoomGrid`; None takes all choices as they are by default."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the algorithm that differ from `_training`'s."""

    def wrapped(self, env: ToolEnv) -> FixedSpaces:
        """An environment of this task with fixed spaces."""
        text = TextFeatures() if self.words is None else TextFeatures(words=self.words)
        choices = None if self.zoom is None else [ZoomGrid(env, **self.zoom)]
        return FixedSpaces(env, answers=self.answers, choices=choices, image_size=self.image_size, text=text)


def _visual_zoom(knobs: Mapping[str, Any]) -> Callable[[str], ToolEnv]:
    return lambda split: VisualZoom(split=split, **knobs)


@tool
def read_note(context: ToolContext) -> str:
    """Reads the note, which names a door."""
    return f"door{context.question.extra['door']}"


@tool
def open_door(number: Literal[1, 2, 3, 4, 5, 6], context: ToolContext) -> str:
    """Opens a door, behind which a letter stands."""
    return str(context.question.extra["letters"][number - 1])


def _doors(split: str) -> ToolEnv:
    rng = np.random.default_rng(list(_ROWS).index(split))
    rows = []
    for number in range(_ROWS[split]):
        door = int(rng.integers(_DOORS))
        letters = "".join(rng.choice(list(_LETTERS), _DOORS))
        rows.append(
            {
                "id": number,
                "prompt": "Which letter stands behind the door that the note names?",
                "answer": letters[door],
                "door": door + 1,
                "letters": letters,
                "hops": 2,
            }
        )
    return ToolTask(questions=rows, tools=[read_note, open_door])


_EASIER: Final = {"image_size": 192, "view_size": 48, "signs": 1, "characters": "XO17", "guess_rate": 0.25}

TASKS: Final[Mapping[str, Task]] = {
    "visual-zoom-easier": Task(
        summary="VisualZoom with one sign, four characters that look different, and no favourites",
        make=_visual_zoom(_EASIER),
        answers="XO17",
        steps=150_000,
        image_size=48,
        words=COLOURS,
    ),
    "visual-zoom": Task(
        summary="VisualZoom as it is by default",
        make=_visual_zoom({}),
        answers="0123456789",
        steps=400_000,
        image_size=64,
        words=COLOURS,
    ),
    "doors": Task(
        summary="a ToolTask of two hops: read a note, open the door that it names, answer with the letter",
        make=_doors,
        answers=_LETTERS,
        steps=400_000,
        image_size=None,
        settings={"ent_coef": 0.005},
    ),
}
"""By name."""


def episodes_of(task: Task, split: str, number: int) -> list[gymnasium.Env[Any, Any]]:
    """Environments for so many episodes at a time, which share questions and caches."""
    env = task.make(split)
    return [task.wrapped(env.asking(env.questions)) for _ in range(number)]
