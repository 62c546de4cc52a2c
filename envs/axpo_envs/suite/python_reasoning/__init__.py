"""PythonReasoning: the environment, its questions about figures, and the scripted agents that play it."""

from axpo_envs.suite.python_reasoning._drawing import Figure, draw_figure
from axpo_envs.suite.python_reasoning._problem import Problem
from axpo_envs.suite.python_reasoning.env import PythonReasoning
from axpo_envs.suite.python_reasoning.expert import BlindGuesser, RandomFloor, ReasoningExpert
from axpo_envs.suite.python_reasoning.families import FAMILIES
from axpo_envs.suite.python_reasoning.mathvision import MathVisionReward, load_mathvision
from axpo_envs.suite.python_reasoning.questions import FigureQuestions, FigureQuestionSettings
from axpo_envs.suite.python_reasoning.settings import PythonReasoningSettings
from axpo_envs.suite.python_reasoning.written_expert import CodingStyle, SumExpert

__all__ = [
    "FAMILIES",
    "BlindGuesser",
    "CodingStyle",
    "Figure",
    "FigureQuestionSettings",
    "FigureQuestions",
    "MathVisionReward",
    "Problem",
    "PythonReasoning",
    "PythonReasoningSettings",
    "RandomFloor",
    "ReasoningExpert",
    "SumExpert",
    "draw_figure",
    "load_mathvision",
]
