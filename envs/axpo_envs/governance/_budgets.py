"""Defines what calls come to, and `Ledger`, which counts the calls of a run for budgets that no episode can count.

A budget per episode is counted from the episode's own history, so that it is as exact as the history is. Those per
question and per run are counted as calls are let run, in whatever episode and branch: what an abandoned branch spent
was spent. A snapshot that is returned to brings nothing of it back.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeAlias

from axpo_envs.governance._arguments import is_number, values_at
from axpo_envs.governance._matching import Facts, selects
from axpo_envs.governance.policy import Budget, Per, Policy, Unit
from axpo_envs.images import ImageRef
from axpo_envs.types import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What calls come to."""

    calls: int = 0
    """How many they are."""
    cost: float = 0.0
    """What they cost."""
    bytes: int = 0
    """Bytes of arguments and results."""
    seconds: float = 0.0
    """Seconds of execution."""

    def of(self, unit: Unit) -> float:
        """One of them."""
        return float(getattr(self, unit.value))

    def plus(self, other: Amounts, sign: int = 1) -> Amounts:
        """The sum; with the sign -1 the difference."""
        return Amounts(
            calls=self.calls + sign * other.calls,
            cost=self.cost + sign * other.cost,
            bytes=self.bytes + sign * other.bytes,
            seconds=self.seconds + sign * other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A call that ran, and what it came to."""

    facts: Facts
    """The call, with the arguments that it ran with."""
    amounts: Amounts
    """What it came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A budget that a call does not fit."""

    number: int
    """Which, from 0."""
    spent: float
    """What was spent of it before."""
    known: float
    """What is known that the call comes to; infinity where its price cannot be told."""


Key: TypeAlias = tuple[int, str]
"""Number of a budget, and what it counts over: a question's id, or nothing."""


def known_amounts(policy: Policy, facts: Facts) -> Amounts:
    """What is known of a call before it runs."""
    written = len(json.dumps(facts.arguments, ensure_ascii=False).encode("utf-8", "replace"))
    return Amounts(calls=1, cost=cost_of(policy, facts), bytes=written)


def result_amounts(result: ToolResult) -> Amounts:
    """What is known of a call once it has run."""
    parts = (
        3 * part.width * part.height if isinstance(part, ImageRef) else len(part.encode()) for part in result.content
    )
    return Amounts(bytes=sum(parts), seconds=result.seconds)


def cost_of(policy: Policy, facts: Facts) -> float:
    """What a call costs; infinity where its price cannot be told."""
    cost = next((cost for name, cost in policy.costs.items() if fnmatchcase(facts.tool, name)), None)
    if cost is None:
        return 0.0
    if not cost.argument:
        return cost.base
    values = values_at(facts.arguments, cost.argument)
    if not values or not all(map(is_number, values)):
        return math.inf
    return cost.base + cost.factor * sum(abs(float(value)) for value in values)


def exceeded_by_history(
    policy: Policy, facts: Facts, history: Sequence[Spent], *, exempt: Collection[int] = ()
) -> Exceeded | None:
    """The first budget per episode that a call does not fit behind the calls that ran before it.

    Args:
        policy: whose budgets.
        facts: the call.
        history: the calls before it.
        exempt: numbers of budgets that it need not fit.
    """
    known = known_amounts(policy, facts)
    for number, budget in enumerate(policy.budgets):
        if budget.per is Per.EPISODE and number not in exempt and selects(budget, facts):
            before = [call.amounts.of(budget.unit) for call in history if selects(budget, call.facts)]
            if not _fits(budget, sum(before), known):
                return Exceeded(number=number, spent=sum(before), known=known.of(budget.unit))
    return None


class Ledger:
    """Counts what the calls of a run came to. Threads may share it; processes count apart."""

    def __init__(self) -> None:
        self._spent: dict[Key, Amounts] = {}
        self._lock = threading.Lock()

    def take(self, policy: Policy, facts: Facts, question: str, *, exempt: Collection[int] = ()) -> Exceeded | None:
        """Counts what is known of a call, or names the first budget that it does not fit; then nothing is counted.

        Args:
            policy: whose budgets.
            facts: the call.
            question: what identifies its question.
            exempt: numbers of budgets that it need not fit; it counts in them all the same.
        """
        known = known_amounts(policy, facts)
        keys = self._keys(policy, facts, question)
        with self._lock:
            for key in keys:
                if key[0] in exempt:
                    continue
                budget = policy.budgets[key[0]]
                spent = self._spent.get(key, Amounts()).of(budget.unit)
                if not _fits(budget, spent, known):
                    return Exceeded(number=key[0], spent=spent, known=known.of(budget.unit))
            self._add(keys, _finite(known), 1)
        return None

    def add(self, policy: Policy, facts: Facts, question: str, result: ToolResult | None) -> None:
        """Counts what a taken call came to beyond that; without a result it is given back, for it did not run."""
        keys = self._keys(policy, facts, question)
        with self._lock:
            if result is None:
                self._add(keys, _finite(known_amounts(policy, facts)), -1)
            else:
                self._add(keys, result_amounts(result), 1)

    def _add(self, keys: Iterable[Key], amounts: Amounts, sign: int) -> None:
        for key in keys:
            self._spent[key] = self._spent.get(key, Amounts()).plus(amounts, sign)

    @staticmethod
    def _keys(policy: Policy, facts: Facts, question: str) -> list[Key]:
        return [
            (number, question if budget.per is Per.QUESTION else "")
            for number, budget in enumerate(policy.budgets)
            if budget.per is not Per.EPISODE and selects(budget, facts)
        ]


def spent_on(policy: Policy, facts: Facts, result: ToolResult) -> Spent:
    """A call that ran, and what it came to."""
    return Spent(facts=facts, amounts=_finite(known_amounts(policy, facts)).plus(result_amounts(result)))


def _finite(known: Amounts) -> Amounts:
    """What is counted of a call that was allowed although its price cannot be told: all but the price."""
    return known if math.isfinite(known.cost) else replace(known, cost=0.0)


def _fits(budget: Budget, spent: float, known: Amounts) -> bool:
    if budget.unit is Unit.SECONDS:
        return spent < budget.limit
    if budget.unit is Unit.BYTES and spent >= budget.limit:
        return False
    total = spent + known.of(budget.unit)
    # Three times 0.1 is a little more than 0.3.
    return total <= budget.limit or math.isclose(total, budget.limit, rel_tol=1e-12)
