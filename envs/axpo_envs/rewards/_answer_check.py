"""Defines `ChecksAnswers`, what a reward has that can tell unusable reference answers before anything runs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from axpo_envs.types import Question


@runtime_checkable
class ChecksAnswers(Protocol):
    """A reward that needs reference answers of a certain form."""

    def problem(self, question: Question) -> str | None:
        """What is wrong with a question's reference answer; None where nothing is.

        Args:
            question: the question; its images may be missing.
        """
        ...
