"""Defines `Expression`, conditions on metrics (`dead_groups>0.5`) that fail a build, and `fell`, what got worse."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from axpo.diagnostics.metric import Better
from axpo.diagnostics.registry import names_of
from axpo.settings.config import ConfigError

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION: Final = re.compile(r"\s*(\w+)(?:\.(value|low|high|n))?\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison of a metric with a number; several are joined by `and` and `or`, `and` first."""

    text: str
    """As it was written."""
    metric: str
    """The metric's name."""
    part: str
    """`value`, `low`, `high` or `n`."""
    sign: str
    """The comparison."""
    bound: float
    """What it is compared with."""

    def holds(self, metrics: Mapping[str, Mapping[str, Any] | None]) -> bool:
        """Whether it is true; never of a metric that is undefined."""
        found = metrics.get(self.metric)
        value = None if found is None else found.get(self.part)
        return value is not None and _OPERATORS[self.sign](float(value), self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Conditions joined by `and`, and these joined by `or`."""

    text: str
    """As it was written."""
    alternatives: tuple[tuple[Condition, ...], ...]
    """It holds where all conditions of some alternative hold."""

    @classmethod
    def read(cls, text: str, known: Mapping[str, Any]) -> Expression:
        """Reads an expression.

        Args:
            text: such as `tool_attempt_rate<0.2 or dead_groups.low>=0.5`.
            known: the metrics by name.

        Raises:
            ConfigError: it cannot be read, or names no metric.
        """
        alternatives = (re.split(r"\s+and\s+", part) for part in re.split(r"\s+or\s+", text.strip()))
        return cls(
            text=text, alternatives=tuple(tuple(_condition(one, known) for one in part) for part in alternatives)
        )

    def holds(self, metrics: Mapping[str, Mapping[str, Any] | None]) -> bool:
        """Whether the expression is true of these metrics."""
        return any(all(one.holds(metrics) for one in part) for part in self.alternatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A metric that is worse than it was."""

    metric: str
    """Its name."""
    before: float
    """Its value in the baseline."""
    after: float
    """Its value now."""
    is_certain: bool
    """Whether the 95 % intervals do not overlap."""


def fell(
    baseline: Mapping[str, Mapping[str, Any] | None], metrics: Mapping[str, Mapping[str, Any] | None]
) -> tuple[Change, ...]:
    """The metrics that are worse than in the baseline, surely so first."""
    changes = []
    higher = names_of(Better.HIGHER)
    for name in (*higher, *names_of(Better.LOWER)):
        before, after = baseline.get(name), metrics.get(name)
        if before is None or after is None:
            continue
        sign = 1 if name in higher else -1
        if sign * (after["value"] - before["value"]) < 0:
            ends = (after["high"], before["low"]) if sign > 0 else (before["high"], after["low"])
            certain = None not in ends and ends[0] < ends[1]
            changes.append(Change(metric=name, before=before["value"], after=after["value"], is_certain=certain))
    return tuple(sorted(changes, key=lambda change: not change.is_certain))


def _condition(text: str, known: Mapping[str, Any]) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(f"fail_if: expected METRIC<NUMBER (also <=, >, >=; METRIC.low, .high, .n), got {text!r}")
    if match[1] not in known:
        raise ConfigError(f"fail_if: expected one of the metrics {', '.join(known)}; got {match[1]!r}")
    return Condition(text=text.strip(), metric=match[1], part=match[2] or "value", sign=match[3], bound=float(match[4]))
