"""Defines `make_lockers`, the environment of the team that is made where none is given, and members that solve it.

"Who rents the locker that the red sign names?": a scene of VisualZoom shows the locker's number to those who zoom, a
register tells to those who search who rents it, and nobody who does only one of the two can answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np

from axpo_envs.env import ToolEnv
from axpo_envs.examples import call_turn
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.scenes import COLOURS
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.visual_zoom import VisualZoom, ZoomExpert
from axpo_envs.suite.visual_zoom.questions import asked_colour
from axpo_envs.tools import tool
from axpo_envs.types import EpisodeState, Question

ENV_ID: Final = "axpo/Team-v0"
"""Name that snapshots carry."""

_ASKED: Final = "Who rents the locker that the {colour} sign names? Lockers have a colour and a number."
_INSTRUCTIONS: Final = (
    "Small things in the image can be read after zooming in. The answer is a first and a last name, written between "
    "answer tags: <answer>Ann Other</answer>"
)
_FIRST: Final = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gul", "Hana", "Ines", "Jon")
_LAST: Final = ("Abel", "Brook", "Cole", "Dyer", "Ekman", "Fox")
_HITS: Final = 3
_WORD: Final = re.compile(r"\w+")


@lru_cache(maxsize=1)
def _register() -> dict[tuple[str, str], str]:
    """Who rents which locker: a name of its own for each of sixty."""
    names = [f"{first} {last}" for first in _FIRST for last in _LAST]
    order = np.random.default_rng(7).permutation(len(names)).tolist()
    lockers = [(colour.name, digit) for colour in COLOURS for digit in "0123456789"]
    return {locker: names[place] for locker, place in zip(lockers, order, strict=True)}


@tool
def search(query: str) -> str:
    """Searches the register of lockers.

    Args:
        query: what to look for, in a few words.
    """
    words = set(_WORD.findall(query.casefold()))
    entries = [f"The {colour} locker {digit} is rented by {name}." for (colour, digit), name in _register().items()]
    ranked = sorted(entries, key=lambda entry: -len(words & set(_WORD.findall(entry.casefold()))))
    return "\n".join(ranked[:_HITS])


class LockerQuestions:
    """The questions of a VisualZoom, asked for who rents the locker.

    Args:
        signs: where scenes and their truth come from.
    """

    def __init__(self, signs: QuestionSource) -> None:
        self._signs = signs

    @property
    def fingerprint(self) -> str:
        """That of the signs, named for lockers."""
        return f"lockers:{self._signs.fingerprint}"

    @property
    def size(self) -> int | None:
        """As many as there are of signs."""
        return self._signs.size

    def question(self, index: int) -> Question:
        """The question of that number.

        Raises:
            IndexError: there is no such question.
        """
        about = self._signs.question(index)
        colour = asked_colour(about)
        return replace(
            about,
            prompt=(*about.images, _ASKED.format(colour=colour)),
            answer=_register()[colour, about.answer],
            hops=2,
            source=self.fingerprint,
        )


def make_lockers(**knobs: Any) -> ToolEnv:
    """The environment: `image_zoom_in` and `search`, an answer of first and last name.

    Args:
        knobs: those of VisualZoom, but for `characters`; favourites are none by default.

    Raises:
        EnvConfigError: a knob is unknown or unusable.
    """
    signs = VisualZoom(**{"guess_rate": 0.1, **knobs})
    return ToolEnv(
        ToolEnvSpec(
            env_id=ENV_ID,
            questions=LockerQuestions(signs.questions),
            tools=(*signs.tools, search),
            reward=ExactMatch(),
            instructions=_INSTRUCTIONS,
            max_turns=6,
            view_size=signs.view_size,
        )
    )


class LockerMember:
    """A scripted member of that team: it does what is its own to do as soon as it can.

    It zooms by the environment's truth, searches for the locker it was told of, and answers with the name found.

    Args:
        name: `looker_0`, `searcher_0` or `speaker_0`.
        knobs: those that the environment was made with.
    """

    def __init__(self, name: str, **knobs: Any) -> None:
        self._name = name
        self._signs = VisualZoom(**{"guess_rate": 0.1, **knobs})
        self._expert = ZoomExpert(self._signs)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """What it writes after an observation, or nothing."""
        match self._name:
            case "looker_0":
                return self._look(state)
            case "searcher_0":
                told = re.search(r"\[looker_0\] (\w+) (\d)", observation["text"])
                return call_turn("search", {"query": f"{told[1]} {told[2]}"}) if told else ""
            case _:
                found = re.search(r"rented by ([\w ]+)\.", observation["text"])
                return f"<answer>{found[1]}</answer>" if found else ""

    def _look(self, state: EpisodeState) -> str:
        about = self._signs.questions.question(int(state.question.id.rpartition("/")[2]))
        colour = asked_colour(about)
        seen = [call for turn in state.turns for call in turn.calls if call.call.name == "image_zoom_in"]
        if not seen:
            plain = EpisodeState(question=about, seed=0)
            return self._expert.act({}, plain)
        return "" if len(state.turns) > 1 else f"{colour} {about.answer}"
