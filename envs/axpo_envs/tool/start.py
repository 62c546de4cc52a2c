"""Defines `Start`: what the state of an episode starts with is a value, or a function of the question.

By default it is the column of `Question.extra` that has the tool's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axpo_envs.types import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a tool's episodes start."""

    given: Any = None
    """A value, the same for every question; a picklable function of the question that makes one; or None for the
    question's column."""
    column: str
    """The name of the column."""

    @property
    def is_fixed(self) -> bool:
        """Whether every question starts with the same value."""
        return self.given is not None and not callable(self.given)

    def of(self, question: Question) -> Any:
        """The value for a question; None where it has no such column."""
        if self.given is None:
            return question.extra.get(self.column)
        return self.given(question) if callable(self.given) else self.given

    @property
    def described(self) -> str:
        """What identifies it, for fingerprints: a function's name, the column's; empty for a fixed value."""
        if self.given is None:
            return f"column {self.column}"
        if not callable(self.given):
            return ""
        named = self.given if hasattr(self.given, "__qualname__") else type(self.given)
        return f"{named.__module__}:{named.__qualname__}"
