"""Defines the scripted agents of PerceptionQA: the expert that zooms and measures, and those that guess."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from axpo_envs.imaging.coordinates import Coords, PixelBox, Size, extent, pixel_box
from axpo_envs.imaging.showing import shown_size
from axpo_envs.suite.perception_qa._board_questions import DIRECTIONS, MOST_COUNTED
from axpo_envs.suite.perception_qa._boards import CHARACTERS, MARK_COLOURS, MARK_SHAPES
from axpo_envs.suite.perception_qa._map_questions import BEARINGS, FEWEST_TOWNS, MOST_TOWNS, ROUNDED_KM
from axpo_envs.suite.perception_qa._truth import Look, Topic, Truth
from axpo_envs.suite.perception_qa.env import PerceptionQA
from axpo_envs.suite.perception_qa.questions import PerceptionQuestions
from axpo_envs.types import CallRecord, EpisodeState, Question

_AT_ONCE: Final = 4
_MARGIN: Final = 0.02
_COLOUR: Final = re.compile(r"colour: (\w+),")
_KILOMETRES: Final = re.compile(r"([\d.]+) km$")


def answer_turn(answer: str) -> str:
    """The turn that answers."""
    return f"<think>I can answer</think><answer>{answer}</answer>"


class PerceptionExpert:
    """Zooms to every part that must be seen, measures what is measured, and answers if all of it was shown legibly.

    It looks at the environment's truth to know where to look. Colours and distances it answers as the tool measured
    them; the rest as it is, once crops have shown it large enough. What it has not seen it guesses.

    Args:
        env: the environment whose questions it is asked.
        studied: how many training questions it knows the answers of, to guess after.
    """

    def __init__(self, env: PerceptionQA, *, studied: int = 1000) -> None:
        self._env = env
        self._guesser = FrequentGuesser(env, studied=studied)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Makes up to four calls in a turn, then answers."""
        del observation  # the state holds it, and more
        question = state.question
        truth = self._env.truth_of(question)
        calls = [call for turn in state.turns for call in turn.calls if call.succeeded]
        boxes = tuple(self._boxes(question, calls))
        missing = [look for look in truth.looks if not self._seen(look, boxes)]
        told = next((str(call.result.content[0]) for call in calls if call.call.name == "measure"), None)
        measures = bool(truth.measured) and told is None
        if (missing or measures) and len(state.turns) < self._env.settings.max_turns:
            turns = [self._zoom(question, look) for look in missing[:_AT_ONCE]]
            if measures and len(turns) < _AT_ONCE:
                turns.append(self._measure(question, truth.measured))
            return "<think>I must look closely</think>" + "\n".join(turns)
        if missing or measures:
            return answer_turn(self._guesser.guess(truth))
        return answer_turn(_read_off(truth, told))

    def _seen(self, look: Look, boxes: Sequence[PixelBox]) -> bool:
        return any(look.shown_by(box, self._env.view_size) for box in boxes)

    def _boxes(self, question: Question, calls: Sequence[CallRecord]) -> Iterator[PixelBox]:
        """What the crops of the question's picture show."""
        original, shown = self._sizes(question)
        for call in calls:
            if call.call.name == "image_zoom_in":
                arguments = self._env.tools[0].validate(json.loads(call.call.arguments))
                if arguments["img_idx"] == 0:
                    coords = Coords(self._env.settings.coords)
                    yield pixel_box(arguments["bbox_2d"], coords, original=original, shown=shown)

    def _zoom(self, question: Question, look: Look) -> str:
        (width, height), box = question.images[0].size, look.box
        rim = _MARGIN * max(box.width, box.height)
        corners = ((box.left - rim, box.top - rim), (box.right + rim, box.bottom + rim))
        inside = tuple((min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))) for x, y in corners)
        numbers = [number for point in inside for number in self._written(question, point)]
        return _call("image_zoom_in", {"bbox_2d": numbers})

    def _measure(self, question: Question, points: Sequence[tuple[float, float]]) -> str:
        return _call("measure", {"points": [self._written(question, point) for point in points]})

    def _written(self, question: Question, point: tuple[float, float]) -> list[float]:
        original, shown = self._sizes(question)
        coords = Coords(self._env.settings.coords)
        largest = extent(coords, original=original, shown=shown)
        digits = 5 if coords is Coords.NORM1 else 2
        pairs = zip(point, largest, original, strict=True)
        return [round(place * most / side, digits) for place, most, side in pairs]

    def _sizes(self, question: Question) -> tuple[Size, Size]:
        original = question.images[0].size
        return original, shown_size(original, self._env.view_size)


class FrequentGuesser:
    """Always answers what is most frequent for the form of question: the share that guessing reaches.

    Where a question names its candidates, it takes the position that is right most often.

    Args:
        env: the environment whose questions it is asked.
        studied: how many training questions it counts, the first ones.
    """

    def __init__(self, env: PerceptionQA, *, studied: int = 1000) -> None:
        self._env = env
        self._studied = studied

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Guesses."""
        del observation  # whatever it is
        return answer_turn(self.guess(self._env.truth_of(state.question)))

    def guess(self, truth: Truth) -> str:
        """The most frequent answer to such a question."""
        likely = self._likely[truth.topic]
        return truth.options[int(likely)] if truth.options else likely

    @cached_property
    def _likely(self) -> dict[Topic, str]:
        training = PerceptionQuestions(_training(self._env))
        counts: dict[Topic, Counter[str]] = {topic: Counter() for topic in self._env.settings.topics}
        for index in range(self._studied):
            truth = training.truth(index)
            counts[truth.topic][answer_class(truth)] += 1
        return {topic: min(counted, key=lambda answer: (-counted[answer], answer)) for topic, counted in counts.items()}


class RandomFloor:
    """Answers anything that can be answered to the form of question, all equally often.

    Args:
        env: the environment whose questions it is asked.
        seed: seeds its choices.
    """

    def __init__(self, env: PerceptionQA, *, seed: int = 0) -> None:
        self._env = env
        self._seed = seed

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers at random; a function of its seed and the episode's state."""
        del observation  # whatever it is
        truth = self._env.truth_of(state.question)
        key = repr((self._seed, state.question.id, state.seed))
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))
        answers = truth.options or ANSWERS.get(truth.topic) or self._env.names(truth.topic)
        return answer_turn(answers[int(rng.integers(len(answers)))])


ANSWERS: Final[dict[Topic, tuple[str, ...]]] = {
    Topic.COLOUR: tuple(MARK_COLOURS),
    Topic.SHAPE: MARK_SHAPES,
    Topic.MARKS: tuple(str(count) for count in range(1, MOST_COUNTED + 1)),
    Topic.DIRECTION: DIRECTIONS,
    Topic.CHARACTER: tuple(CHARACTERS),
    Topic.TOWNS: tuple(str(count) for count in range(FEWEST_TOWNS, MOST_TOWNS + 1)),
    Topic.BEARING: BEARINGS,
    Topic.DISTANCE: tuple(str(kilometres) for kilometres in range(10, 501, ROUNDED_KM)),
}
"""What can be answered, where it is no candidate of the question and no name."""


def answer_class(truth: Truth) -> str:
    """The answer, or its position among the candidates where the question names some."""
    return str(truth.options.index(truth.answer)) if truth.options else truth.answer


def _read_off(truth: Truth, told: str | None) -> str:
    """The answer, where the tool told it as the tool told it."""
    if told is None:
        return truth.answer
    if truth.topic is Topic.COLOUR:
        found = _COLOUR.search(told)
        return found[1] if found else ""
    found = _KILOMETRES.search(told)
    return str(round(float(found[1]) / ROUNDED_KM) * ROUNDED_KM) if found else ""


def _training(env: PerceptionQA) -> Any:
    return type(env.settings)(**{**env.knobs, "split": "train"}).questions


def _call(name: str, arguments: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
