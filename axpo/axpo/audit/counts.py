"""Defines `Counts`, everything that grows while rollouts stream by; how far it may grow is bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from axpo.audit.fields import UnreadableError
from axpo.audit.record import Call, Rollout
from axpo.audit.sample import Sample
from axpo.audit.tally import QuestionKey, Tally
from axpo.audit.tool_tally import ToolTally, Use
from axpo.diagnostics.demands import NO_DEMANDS

MOST_PLACES: Final = 20
"""Places of unreadable records, and examples of a kind of failure, that are kept."""
UNREADABLE_NAME: Final = "(unreadable)"
OTHER_NAMES: Final = "(other names)"
"""Under what calls are counted whose name is none, or one more than can be kept: policies invent names."""
_MOST_TOOLS: Final = 500
_LONGEST_NAME: Final = 80


@dataclass(slots=True)
class Counts:
    """What was counted so far.

    Args:
        threshold: a rollout with a reward below it is wrong.
    """

    threshold: float
    whole: Tally = field(init=False)
    tools: dict[str, ToolTally] = field(default_factory=dict)
    examples: dict[str, Sample] = field(default_factory=lambda: defaultdict(lambda: Sample(MOST_PLACES)))
    problems: list[tuple[str, str]] = field(default_factory=list)
    unreadable: int = 0

    def __post_init__(self) -> None:
        self.whole = Tally(self.threshold)

    def refuse(self, place: str, error: UnreadableError) -> None:
        """Counts a record that is none."""
        self.unreadable += 1
        if len(self.problems) < MOST_PLACES:
            self.problems.append((place, str(error)))

    def offer(self, tools: Iterable[str]) -> None:
        """Tools that may be called: they are told of even if nothing calls them."""
        for name in tools:
            if len(self.tools) < _MOST_TOOLS:
                self.tools.setdefault(name[:_LONGEST_NAME], ToolTally())

    def add(self, number: int, place: str, rollout: Rollout) -> None:
        """Counts one rollout.

        Args:
            number: its record's place in the order of reading.
            place: the same for people.
            rollout: what it did.
        """
        useless = rollout.useless(self.threshold) if rollout.calls else ()
        key = self.whole.add(rollout, sum(useless), number)
        right = rollout.reward is not None and rollout.reward >= self.threshold
        if rollout.calls:
            self._add_calls(rollout, useless, key, right=None if rollout.reward is None else right)
        for kind in _failures(rollout, right=right):
            self.examples[kind].offer(number, place)

    def _add_calls(self, rollout: Rollout, useless: Sequence[bool], key: QuestionKey, *, right: bool | None) -> None:
        by_tool: dict[str, list[Use]] = {}
        for call, known, attempt, none in zip(rollout.calls, rollout.known, rollout.attempts, useless, strict=True):
            by_tool.setdefault(self._name(call), []).append(Use(call, known, attempt.allowed, none))
        for name, calls in by_tool.items():
            self.tools[name].add(key, calls, right=right)

    def _name(self, call: Call) -> str:
        name = call.name[:_LONGEST_NAME] or UNREADABLE_NAME
        if name not in self.tools:
            name = name if len(self.tools) < _MOST_TOOLS else OTHER_NAMES
            self.tools.setdefault(name, ToolTally())
        return name


def _failures(rollout: Rollout, *, right: bool) -> Iterator[str]:
    if rollout.mentions and not rollout.used_tool:
        yield "mention_without_call"
    if not all(rollout.known):
        yield "malformed_call"
    if rollout.demands is not NO_DEMANDS:
        names = [call.name for call in rollout.calls]
        if rollout.demands.broken_by(names):
            yield "forbidden_call"
        if rollout.demands.failed_by(names):
            yield "failed_to_act"
    if rollout.reward is None or right:
        return
    if rollout.used_tool and rollout.hops is not None and len(rollout.calls) < rollout.hops:
        yield "premature_stop"
    yield "wrong_with_tool" if rollout.used_tool else "wrong_without_tool"
