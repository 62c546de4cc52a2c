"""Where questions come from: sources of any kind, and a user's own data (a list, a file, a data set)."""

from axpo_envs.questions._task_questions import ImageReading, TaskQuestions, load_questions
from axpo_envs.questions.sources import ListQuestions, QuestionSource
from axpo_envs.questions.splits import Split, SplitQuestions

__all__ = [
    "ImageReading",
    "ListQuestions",
    "QuestionSource",
    "Split",
    "SplitQuestions",
    "TaskQuestions",
    "load_questions",
]
