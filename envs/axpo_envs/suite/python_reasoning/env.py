"""Defines `axpo/PythonReasoning-v0`: mathematical questions about a figure, with a Python interpreter to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.knobs import knobs_of, settings_from
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.rewards import Numeric, Reward
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.python_reasoning._problem import Problem
from axpo_envs.suite.python_reasoning.mathvision import MathVisionReward, load_mathvision
from axpo_envs.suite.python_reasoning.questions import FigureQuestions
from axpo_envs.suite.python_reasoning.settings import EXPRESSIONS, PythonReasoningSettings, QuestionsFrom
from axpo_envs.suite.python_reasoning.written import Sum, WrittenQuestions
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.python import PythonTool
from axpo_envs.tools.python_expressions import python_expressions
from axpo_envs.types import Question

ENV_ID: Final = "axpo/PythonReasoning-v0"
"""Gymnasium id."""

LAST_DIGIT: Final = 0.01
"""How far a number that is rounded to two decimals may lie from the answer."""

_INSTRUCTIONS: Final = """\
{task}, and compute with Python: calls may be made in up to \
{max_turns} turns. Write a call as
<tool_call>
{{"name": "python", "arguments": {{"code": "print(...)"}}}}
</tool_call>
{answer}: <answer>...</answer>"""
_FIGURE: Final = "Answer the question about the figure. Read off it what you need"
_TASKS: Final = {
    QuestionsFrom.FIGURES: _FIGURE,
    QuestionsFrom.MATHVISION: _FIGURE,
    QuestionsFrom.WRITTEN: "Answer the question",
}
_ANSWERS: Final = {
    QuestionsFrom.FIGURES: "When you know the answer, write it as a number without unit between answer tags",
    QuestionsFrom.MATHVISION: "When you know the answer (of options: its letter), write it between answer tags",
    QuestionsFrom.WRITTEN: "When you know the answer, write it between answer tags",
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
        questions, reward = _SOURCES[source](settings)
        self._questions = questions
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=questions,
            tools=(_python(settings),),
            reward=reward,
            instructions=_INSTRUCTIONS.format(
                task=_TASKS[source], max_turns=settings.max_turns, answer=_ANSWERS[source]
            ),
            max_turns=settings.max_turns,
        )
        super().__init__(settings.governance.over(spec), render_mode=render_mode)

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
        if not isinstance(self._questions, FigureQuestions):
            raise ValueError(
                f"nothing is known of figures: expected source='figures'; got {str(self._settings.source)!r}"
            )
        return self._questions.problem_of(question)

    def sum_of(self, question: Question) -> Sum:
        """The truth behind a written question.

        Raises:
            ValueError: the question is from an environment with other settings.
        """
        if not isinstance(self._questions, WrittenQuestions):
            raise ValueError(
                f"there are no written sums: expected source='written'; got {str(self._settings.source)!r}"
            )
        return self._questions.sum_of(question)


def _figures(settings: PythonReasoningSettings) -> tuple[QuestionSource, Reward]:
    return FigureQuestions(settings.figures), Numeric(tolerance=LAST_DIGIT)


def _written(settings: PythonReasoningSettings) -> tuple[QuestionSource, Reward]:
    return WrittenQuestions(settings.written), Numeric()


def _mathvision(settings: PythonReasoningSettings) -> tuple[QuestionSource, Reward]:
    reward = MathVisionReward()
    return load_mathvision(settings.path or "", reward, split=settings.split), reward


def _python(settings: PythonReasoningSettings) -> Tool:
    if settings.python is None:
        return PythonTool(allow_unsandboxed=settings.allow_unsandboxed)
    tool: Tool = python_expressions() if settings.python == EXPRESSIONS else settings.python
    return tool


_SOURCES: Final[Mapping[QuestionsFrom, Callable[[PythonReasoningSettings], tuple[QuestionSource, Reward]]]] = {
    QuestionsFrom.FIGURES: _figures,
    QuestionsFrom.MATHVISION: _mathvision,
    QuestionsFrom.WRITTEN: _written,
}
