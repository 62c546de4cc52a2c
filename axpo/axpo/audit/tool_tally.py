"""Defines `ToolTally`, which counts the calls of one tool, question by question, and what its counts say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from axpo.audit.record import Call
from axpo.audit.tally import Estimates, QuestionKey
from axpo.diagnostics.demands import Demands
from axpo.diagnostics.estimates import Estimate, estimate_ratio

OUTCOMES: Final = ("ran", "failed", "malformed", "untold")
"""What becomes of a call."""


class ToolUse:
    """What was counted of a tool at one question of one step."""

    __slots__ = (*OUTCOMES, "allowed", "right", "rollouts", "scored", "succeeded", "told", "useless")

    def __init__(self) -> None:
        self.ran = self.failed = self.malformed = self.untold = 0
        self.rollouts = self.scored = self.right = self.told = self.succeeded = self.allowed = self.useless = 0

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
    "over_acting": lambda use: (use.useless, use.allowed),
}
"""What is counted of a question, and out of how many."""
_BOUNDS: Final = ("declined_correctly", "failed_to_act", "forbidden_attempt")
TOOL_METRICS: Final = ("tool_attempt_rate", *_SHARES, *_BOUNDS)
"""What is measured of a single tool: of all rollouts those that call it, of what calls it the rest, and of the
questions that forbid or require it whether it is called."""


class Use(NamedTuple):
    """One call of a rollout."""

    call: Call
    """The call."""
    known: bool
    """Whether it can be read and was offered."""
    allowed: bool
    """Whether it was let through."""
    useless: bool
    """Whether it was let through and of no use."""


class ToolTally:
    """Counts of one tool's calls by question."""

    def __init__(self) -> None:
        self._uses: dict[QuestionKey, ToolUse] = {}

    def add(self, key: QuestionKey, calls: Iterable[Use], *, right: bool | None) -> None:
        """Counts the calls that one rollout makes of the tool.

        Args:
            key: its question (`Tally.add`).
            calls: the calls.
            right: whether the rollout is right; None where it was not scored.
        """
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = ToolUse()
        use.rollouts += 1
        use.scored += right is not None
        use.right += bool(right)
        for call, known, allowed, useless in calls:
            outcome = outcome_of(call, known=known)
            use.allowed += allowed
            use.useless += useless
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

    def estimates(
        self, name: str, asked: Mapping[QuestionKey, int], demands: Mapping[QuestionKey, tuple[Demands, int]]
    ) -> Estimates:
        """`TOOL_METRICS` with 95 % intervals over questions; None where nothing was observed.

        Args:
            name: the tool's name.
            asked: all questions, and how many rollouts each has.
            demands: those that demand something of acting (`Tally.demands`).
        """
        found: Estimates = {"tool_attempt_rate": self.attempts(asked)}
        for metric, counted in _SHARES.items():
            pairs = [counted(use) for use in self._uses.values()]
            found[metric] = estimate_ratio([float(part) for part, _ in pairs], [all_ for _, all_ in pairs])
        return {**found, **self._bounds(name, demands)}

    def _bounds(self, name: str, demands: Mapping[QuestionKey, tuple[Demands, int]]) -> Estimates:
        counts: dict[str, list[tuple[int, int]]] = {metric: [] for metric in _BOUNDS}
        for key, (demanded, rollouts) in demands.items():
            use = self._uses.get(key)
            made = 0 if use is None else use.rollouts
            if demanded.declines_tool(name):
                counts["declined_correctly"].append((rollouts - made, rollouts))
            if name in demanded.required:
                counts["failed_to_act"].append((rollouts - made, rollouts))
            if demanded.forbids_call(name):
                counts["forbidden_attempt"].append((made, rollouts))
        return {
            metric: estimate_ratio([float(part) for part, _ in pairs], [whole for _, whole in pairs])
            for metric, pairs in counts.items()
        }


def outcome_of(call: Call, *, known: bool) -> str:
    """What became of a call: `malformed`, `ran`, `failed`, or `untold` where the record does not say."""
    if not known:
        return "malformed"
    if call.succeeded is None:
        return "untold"
    return "ran" if call.succeeded else "failed"
