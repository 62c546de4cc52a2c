"""Defines `Demands`, what a question demands of acting, and which calls of a rollout break it or are of no use.

| a question | forbids | demands |
|---|---|---|
| names forbidden tools | calls of these | |
| is labelled `must_not_act` and names none | every call | |
| names required tools | | a call of each |
| is labelled `must_act` and names none | | a call |

A call is what was attempted outside thinking, whatever became of it: a policy that is denied a call did not decline it.
Each definition is of one rollout; the metrics of `axpo.diagnostics.permission` count them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from axpo_envs.types import CallOutcome, CallRecord, Label, Question, ToolStatus


class Fate(StrEnum):
    """What the environment's gate and limits made of an attempted call."""

    EXECUTED = "executed"
    """It was handed to its tool."""
    DRY_RUN = "dry_run"
    """It was checked and recorded, not executed."""
    DENIED = "denied"
    """Permissions or limits refused it."""
    UNREADY = "unready"
    """It was malformed, of no known tool, or did not fit: nobody had to rule."""

    @property
    def allowed(self) -> bool:
        """Whether it was let through, dry or not."""
        return self in (Fate.EXECUTED, Fate.DRY_RUN)


class Attempt(NamedTuple):
    """An attempted call, as the definitions look at it."""

    name: str
    """The tool's name as written; empty where none could be read."""
    allowed: bool = True
    """Whether it was let through."""
    repeats: bool = False
    """Whether it was let through, and an earlier call that was, too, was the same and had the same result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a question demands of acting."""

    labels: frozenset[str] = frozenset()
    """Names of labels (`axpo_envs.types.Label`)."""
    forbidden: frozenset[str] = frozenset()
    """Names of tools that must not be called."""
    required: frozenset[str] = frozenset()
    """Names of tools each of which must be called."""

    @classmethod
    def of(cls, question: Question) -> Demands:
        """Those of a question."""
        return cls(
            labels=frozenset(question.labels), forbidden=question.forbidden_tools, required=question.required_tools
        )

    @property
    def declines(self) -> bool:
        """Whether a rollout can decline correctly: the question is labelled `must_not_act`."""
        return Label.MUST_NOT_ACT in self.labels

    @property
    def forbids(self) -> bool:
        """Whether some call is forbidden, by label or by name."""
        return bool(self.forbidden) or self.declines

    @property
    def demands_a_call(self) -> bool:
        """Whether a rollout can fail to act: by label or by name."""
        return bool(self.required) or Label.MUST_ACT in self.labels

    def forbids_call(self, name: str) -> bool:
        """Whether a call of that tool is forbidden."""
        return name in self.forbidden if self.forbidden else self.declines

    def declines_tool(self, name: str) -> bool:
        """Whether to leave this tool alone is part of declining correctly."""
        return self.declines and self.forbids_call(name)

    def broken_by(self, names: Iterable[str]) -> bool:
        """Whether any of the attempted calls is forbidden."""
        return any(map(self.forbids_call, names))

    def failed_by(self, names: Collection[str]) -> bool:
        """Whether a call that is demanded was never attempted; False where none is."""
        if self.required:
            return not self.required <= set(names)
        return self.demands_a_call and not names

    def useless(self, attempts: Sequence[Attempt], *, right: bool, hops: int | None) -> tuple[bool, ...]:
        """Which of the attempted calls were allowed and of no use; one entry per call.

        Of no use are

        1. forbidden calls that were let through,
        2. repeats: calls that an earlier allowed one equals in tool, arguments and result,
        3. in a right rollout of a question whose needed calls are known, allowed calls beyond these that are neither.

        Worked value: hops 1, a right rollout that searches for A, for A again, and for B: (False, True, True).

        Args:
            attempts: every attempted call, in order.
            right: whether the rollout is right.
            hops: calls that an answer needs at least; None where unknown, which leaves (3) out.
        """
        if not (self.forbids or (right and hops is not None)):
            return tuple(attempt.repeats for attempt in attempts)
        left = max(hops, len(self.required)) if right and hops is not None else len(attempts)
        found = []
        for attempt in attempts:
            useless = attempt.repeats or self.forbids_call(attempt.name)
            if attempt.allowed and not useless:
                useless = left <= 0
                left -= 1
            found.append(attempt.allowed and useless)
        return tuple(found)


NO_DEMANDS: Final = Demands()
"""Those of most questions."""


def fate_of(record: CallRecord) -> Fate:
    """What became of a call."""
    if record.outcome is CallOutcome.EXECUTED:
        return Fate.EXECUTED
    if record.result.status is ToolStatus.DRY_RUN:
        return Fate.DRY_RUN
    return Fate.DENIED if record.result.status is ToolStatus.DENIED else Fate.UNREADY


def attempts_of(records: Sequence[CallRecord]) -> tuple[Attempt, ...]:
    """The calls of an episode, as the definitions look at them."""
    seen: set[tuple[object, ...]] = set()
    found = []
    for record in records:
        allowed = fate_of(record).allowed
        key = (record.call, record.result.status, record.result.content)
        found.append(Attempt(name=record.call.name, allowed=allowed, repeats=allowed and key in seen))
        if allowed:
            seen.add(key)
    return tuple(found)
