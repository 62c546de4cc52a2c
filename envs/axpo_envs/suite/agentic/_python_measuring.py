"""Defines `PythonMeasurer`, the expert of PerceptionQA's questions where Python takes the place of `measure`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from axpo_envs.examples import call_turn
from axpo_envs.imaging.colour_names import colour_name
from axpo_envs.parsing import parse_turn
from axpo_envs.suite.perception_qa import PerceptionExpert, PerceptionQA, Truth
from axpo_envs.types import CallRecord, EpisodeState

_LEVELS: Final = re.compile(r"\((\d+), (\d+), (\d+)\)")


class PythonMeasurer:
    """Zooms as PerceptionQA's expert does; colours it reads off Python's image, distances it computes there.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: PerceptionQA) -> None:
        self._env = env
        self._expert = PerceptionExpert(env)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Makes up to four calls in a turn, then answers."""
        turns = tuple(replace(turn, calls=tuple(map(_as_measure, turn.calls))) for turn in state.turns)
        written = self._expert.act(observation, replace(state, turns=turns))
        for call in parse_turn(written).calls:
            if call.call.name == "measure":
                python = call_turn("python", {"code": _code(self._env.truth_of(state.question))})
                return written[: call.span.start] + python + written[call.span.stop :]
        return written


def _code(truth: Truth) -> str:
    """What measures in Python: a pixel of the first image, or a distance by the scale of the map."""
    if len(truth.measured) == 1:
        ((x, y),) = truth.measured
        return f"_pil_images[0].getpixel(({int(x)}, {int(y)}))"
    return f"import math\nprint(round(math.dist(*{truth.measured!r}) * {truth.km_per_pixel!r}, 1), 'km')"


def _as_measure(record: CallRecord) -> CallRecord:
    """A call of Python as one of `measure` that told the same."""
    if record.call.name != "python" or not record.succeeded:
        return record
    text = "".join(part for part in record.result.content if isinstance(part, str)).strip()
    if (levels := _LEVELS.fullmatch(text)) is not None:
        red, green, blue = map(int, levels.groups())
        text = f"colour: {colour_name((red, green, blue))}, RGB {text}"
    return replace(record, call=replace(record.call, name="measure"), result=replace(record.result, content=(text,)))
