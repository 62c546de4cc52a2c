"""Defines `DeskGate`, which denies what a question forbids."""

from __future__ import annotations

from dataclasses import dataclass

from axpo_envs.gate import CallRequest, Ruling, Verdict
from axpo_envs.types import Label, Question

UNTOLD = "there is no result"
"""What a policy reads of a denied call where denials are hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskGate:
    """Denies calls of a question's forbidden tools, and every call where it forbids all of them.

    It rules by the question alone, so that equal requests have equal rulings in every branch.
    """

    told: bool
    """Whether the policy reads why."""

    def __call__(self, request: CallRequest) -> Ruling:
        """What becomes of a call."""
        question = request.state.question
        if not is_forbidden(question, request.tool.name):
            return Ruling(verdict=Verdict.ALLOW)
        why = f"the desk does not permit calls of {request.tool.name} here" if self.told else UNTOLD
        return Ruling(verdict=Verdict.DENY, reason=why)


def is_forbidden(question: Question, tool: str) -> bool:
    """Whether a question forbids calls of a tool."""
    if question.forbidden_tools:
        return tool in question.forbidden_tools
    return Label.MUST_NOT_ACT in question.labels
