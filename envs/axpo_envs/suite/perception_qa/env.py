"""Defines `axpo/PerceptionQA-v0`: questions about large scenes and maps that their reduced view does not answer.

The policy sees a picture of `image_size` pixels reduced to `view_size`. Small marks, letters and dots are about one
pixel of the view across whatever the two sizes are; boards are eight, and carry a pattern of marks of equal weight.
The tools show regions of the original (`image_zoom_in`) and measure it (`measure`).
"""

from __future__ import annotations

from typing import Any, Final

from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.knobs import knobs_of, settings_from
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.perception_qa._truth import Topic, Truth
from axpo_envs.suite.perception_qa.questions import PerceptionQuestions
from axpo_envs.suite.perception_qa.settings import PerceptionQASettings
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.tools.measure import Measure
from axpo_envs.types import Question

ENV_ID: Final = "axpo/PerceptionQA-v0"
"""Gymnasium id."""

_INSTRUCTIONS: Final = """\
You see a reduced copy of a large picture: large things can be found in it, small ones neither told nor counted. \
To see a region enlarged, with the detail of the original, call image_zoom_in with a box around it. To learn a \
distance, a colour or a size, call measure with one point, two points or a box; on maps it tells kilometres, too. \
Calls may be made in up to {max_turns} turns, several in each. Write a call as
<tool_call>
{{"name": "image_zoom_in", "arguments": {{"label": "...", "bbox_2d": [x1, y1, x2, y2]}}}}
</tool_call>
<tool_call>
{{"name": "measure", "arguments": {{"points": [[x1, y1], [x2, y2]]}}}}
</tool_call>
When you know the answer, write it alone, in the words of the question where it offers some, a number as digits, \
between answer tags: <answer>...</answer>"""


class PerceptionQA(ToolEnv):
    """Tell, count, compare, locate and read what is too small in the view, by zooming in and measuring.

    Args:
        render_mode: as in Gymnasium.
        knobs: the fields of `PerceptionQASettings`.

    Raises:
        EnvConfigError: a knob is unknown or unusable.
        MissingExtraError: maps are asked of, and a package of the extra `data` is not installed.
    """

    def __init__(self, *, render_mode: str | None = None, **knobs: Any) -> None:
        settings = settings_from(PerceptionQASettings, "PerceptionQA", knobs)
        self._settings = settings
        self._asked = PerceptionQuestions(settings.questions)
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=self._asked,
            tools=(ImageZoomIn(coords=settings.coords), Measure(coords=settings.coords)),
            reward=ExactMatch(),
            instructions=_INSTRUCTIONS.format(max_turns=settings.max_turns),
            max_turns=settings.max_turns,
            view_size=settings.view_size,
        )
        super().__init__(settings.governance.over(spec), render_mode=render_mode)

    @property
    def settings(self) -> PerceptionQASettings:
        """The knobs."""
        return self._settings

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs as keyword arguments that make the same environment again."""
        return knobs_of(self._settings)

    @property
    def view_size(self) -> int:
        """Side of the view and of every crop in pixels."""
        return self._settings.view_size

    def truth_of(self, question: Question) -> Truth:
        """The truth behind a question, for experts and diagnostics: what must be seen, and where.

        Raises:
            ValueError: the question is from an environment with other settings.
        """
        return self._asked.truth_of(question)

    def further_truths(self, question: Question) -> tuple[Truth, ...]:
        """What else the picture of a question answers: many more questions about the boards of a scene, none of a map.

        Raises:
            ValueError: the question is from an environment with other settings.
        """
        return self._asked.further_truths(question)

    def names(self, topic: Topic) -> tuple[str, ...]:
        """What the maps of this split may have written on them: towns' names, or airports' codes."""
        return self._asked.names(airports=topic is Topic.CODE)
