"""Defines `axpo/PythonReasoning-v0`: mathematical questions about a figure, with a Python interpreter to compute."""

from __future__ import annotations

from typing import Any, Final

from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.knobs import knobs_of, settings_from
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.rewards import Numeric, Reward
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.python_reasoning._problem import Problem
from axpo_envs.suite.python_reasoning.mathvision import MathVisionReward, load_mathvision
from axpo_envs.suite.python_reasoning.questions import FigureQuestions
from axpo_envs.suite.python_reasoning.settings import PythonReasoningSettings, QuestionsFrom
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.python import PythonTool
from axpo_envs.types import Question

ENV_ID: Final = "axpo/PythonReasoning-v0"
"""Gymnasium id."""

LAST_DIGIT: Final = 0.01
"""How far a number that is rounded to two decimals may lie from the answer."""

_INSTRUCTIONS: Final = """\
Answer the question about the figure. Read off it what you need, and compute with Python: calls may be made in up to \
{max_turns} turns. Write a call as
<tool_call>
{{"name": "python", "arguments": {{"code": "print(...)"}}}}
</tool_call>
{answer}: <answer>...</answer>"""
_ANSWERS: Final = {
    QuestionsFrom.FIGURES: "When you know the answer, write it as a number without unit between answer tags",
    QuestionsFrom.MATHVISION: "When you know the answer (of options: its letter), write it between answer tags",
}


class PythonReasoning(ToolEnv):
    """Read numbers off a figure, and compute with Python what is asked.

    Args:
        render_mode: as in Gymnasium.
        knobs: the fields of `PythonReasoningSettings`.

    Raises:
        EnvConfigError: a knob is unknown or unusable, rows of MathVision are, or no sandbox can be set up here.
        MissingExtraError: MathVision is asked for, and a package of the extra `math` (for Parquet files of `datasets`,
            too) is not installed.
    """

    def __init__(self, *, render_mode: str | None = None, **knobs: Any) -> None:
        settings = settings_from(PythonReasoningSettings, "PythonReasoning", knobs)
        self._settings = settings
        source = QuestionsFrom(settings.source)
        self._figures = FigureQuestions(settings.figures) if source is QuestionsFrom.FIGURES else None
        questions, reward = (self._figures, Numeric(tolerance=LAST_DIGIT)) if self._figures else _mathvision(settings)
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=questions,
            tools=(_python(settings),),
            reward=reward,
            instructions=_INSTRUCTIONS.format(max_turns=settings.max_turns, answer=_ANSWERS[source]),
            max_turns=settings.max_turns,
        )
        super().__init__(spec, render_mode=render_mode)

    @property
    def settings(self) -> PythonReasoningSettings:
        """The knobs."""
        return self._settings

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs as keyword arguments that make the same environment again."""
        return knobs_of(self._settings)

    def problem_of(self, question: Question) -> Problem:
        """The truth behind a question, for experts and diagnostics: what stands in its figure, and what follows.

        Raises:
            ValueError: the question is from an environment with other settings, or from MathVision.
        """
        if self._figures is None:
            raise ValueError("nothing is known of the figures of MathVision: expected source='figures'")
        return self._figures.problem_of(question)


def _mathvision(settings: PythonReasoningSettings) -> tuple[QuestionSource, Reward]:
    reward = MathVisionReward()
    return load_mathvision(settings.path or "", reward, split=settings.split), reward


def _python(settings: PythonReasoningSettings) -> Tool:
    if settings.python is None:
        return PythonTool(allow_unsandboxed=settings.allow_unsandboxed)
    tool: Tool = settings.python
    return tool
