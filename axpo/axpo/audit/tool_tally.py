"""Defines `ToolTally`, which counts the calls of one tool, question by question, and what its counts say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from axpo.audit.record import Call
from axpo.audit.tally import Estimates, QuestionKey
from axpo.diagnostics.estimates import Estimate, estimate_ratio

OUTCOMES: Final = ("ran", "failed", "malformed", "untold")
"""What becomes of a call."""


class ToolUse:
    """What was counted of a tool at one question of one step."""

    __slots__ = (*OUTCOMES, "right", "rollouts", "scored", "succeeded", "told")

    def __init__(self) -> None:
        self.ran = self.failed = self.malformed = self.untold = 0
        self.rollouts = self.scored = self.right = self.told = self.succeeded = 0

    @property
    def calls(self) -> int:
        """All calls."""
        return self.ran + self.failed + self.malformed + self.untold


_Counted: TypeAlias = Callable[[ToolUse], tuple[float, int]]
_SHARES: Final[Mapping[str, _Counted]] = {
    "tool_call_valid_rate": lambda use: (use.calls - use.malformed, use.calls),
    "tool_success_rate": lambda use: (use.succeeded, use.told),
    "tool_pass1": lambda use: (use.right, use.scored),
    "all_wrong_tool_subgroups": lambda use: (float(use.right == 0), 1) if use.scored else (0.0, 0),
}
"""What is counted of a question, and out of how many."""
TOOL_METRICS: Final = ("tool_attempt_rate", *_SHARES)
"""What is measured of a single tool: of all rollouts those that call it, and the rest of what calls it."""


class ToolTally:
    """Counts of one tool's calls by question."""

    def __init__(self) -> None:
        self._uses: dict[QuestionKey, ToolUse] = {}

    def add(self, key: QuestionKey, calls: Iterable[tuple[Call, bool]], *, right: bool | None) -> None:
        """Counts the calls that one rollout makes of the tool.

        Args:
            key: its question (`Tally.add`).
            calls: the calls, each with whether it can be read and was offered.
            right: whether the rollout is right; None where it was not scored.
        """
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = ToolUse()
        use.rollouts += 1
        use.scored += right is not None
        use.right += bool(right)
        for call, known in calls:
            outcome = outcome_of(call, known=known)
            setattr(use, outcome, getattr(use, outcome) + 1)
            use.told += call.succeeded is not None
            use.succeeded += bool(call.succeeded)

    @property
    def calls(self) -> int:
        """All calls."""
        return sum(use.calls for use in self._uses.values())

    @property
    def rollouts(self) -> int:
        """Rollouts that call it."""
        return sum(use.rollouts for use in self._uses.values())

    def outcomes(self) -> dict[str, int]:
        """What became of its calls."""
        return {outcome: sum(getattr(use, outcome) for use in self._uses.values()) for outcome in OUTCOMES}

    def attempts(self, asked: Mapping[QuestionKey, int]) -> Estimate | None:
        """The share of rollouts that call it.

        Args:
            asked: questions, and how many rollouts each has.
        """
        used = (self._uses.get(key) for key in asked)
        return estimate_ratio([0.0 if use is None else float(use.rollouts) for use in used], [*asked.values()])

    def estimates(self, asked: Mapping[QuestionKey, int]) -> Estimates:
        """`TOOL_METRICS` with 95 % intervals over questions; None where nothing was observed.

        Args:
            asked: all questions, and how many rollouts each has.
        """
        found: Estimates = {"tool_attempt_rate": self.attempts(asked)}
        for name, counted in _SHARES.items():
            pairs = [counted(use) for use in self._uses.values()]
            found[name] = estimate_ratio([float(part) for part, _ in pairs], [all_ for _, all_ in pairs])
        return found


def outcome_of(call: Call, *, known: bool) -> str:
    """What became of a call: `malformed`, `ran`, `failed`, or `untold` where the record does not say."""
    if not known:
        return "malformed"
    if call.succeeded is None:
        return "untold"
    return "ran" if call.succeeded else "failed"
