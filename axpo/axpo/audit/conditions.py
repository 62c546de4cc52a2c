"""Defines `Expression`, conditions on metrics (`dead_groups>0.5`) that fail a build, and `fell`, what got worse."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Final, TypeAlias

from axpo.audit.tool_tally import TOOL_METRICS
from axpo.diagnostics.estimates import Z
from axpo.diagnostics.metric import Better
from axpo.diagnostics.registry import names_of
from axpo.settings.config import ConfigError

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION: Final = re.compile(
    r"\s*(\w+)(?:\[\s*(\w+)\s*=([^\]]*)\])?(?:\.(value|low|high|n))?\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*"
)
_AND: Final = re.compile(r"\s+and\s+(?![^\[]*\])")
_OR: Final = re.compile(r"\s+or\s+(?![^\[]*\])")
"""Names within brackets may hold these words."""
KINDS: Final = ("environment", "tool", "hops", "steps")
"""What rollouts are told apart by."""
ANY: Final = "*"
"""Any part of a kind."""

Metrics: TypeAlias = Mapping[str, Mapping[str, Any] | None]
"""Metrics by name, as JSON holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of all rollouts, and of parts of them."""

    whole: Metrics
    """Of all rollouts."""
    parts: Mapping[str, Mapping[str, Metrics]] = field(default_factory=dict)
    """Per kind of `KINDS` and name of a part."""
    uncalled: Metrics = field(default_factory=dict)
    """Of a tool that nothing calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison of a metric with a number; several are joined by `and` and `or`, `and` first."""

    text: str
    """As it was written."""
    metric: str
    """The metric's name."""
    kind: str | None
    """The kind of part that it is of; None of all rollouts."""
    name: str
    """The part's name; `*` for any; empty without a kind."""
    field: str
    """`value`, `low`, `high` or `n`."""
    sign: str
    """The comparison."""
    bound: float
    """What it is compared with."""

    def holds(self, measured: Measured) -> bool:
        """Whether it is true; of a metric that is undefined only its `n` is compared, which is 0.

        Raises:
            ConfigError: there is no such part.
        """
        return any(self._is_true(metrics) for metrics in self._meant(measured))

    def _is_true(self, metrics: Metrics) -> bool:
        found = metrics.get(self.metric)
        # Nothing was counted where a metric is undefined; no other field of it can be compared.
        value = (0 if self.field == "n" else None) if found is None else found.get(self.field)
        return value is not None and _OPERATORS[self.sign](float(value), self.bound)

    def _meant(self, measured: Measured) -> Sequence[Metrics]:
        if self.kind is None:
            return (measured.whole,)
        parts = measured.parts.get(self.kind, {})
        if self.name == ANY:
            return tuple(parts.values())
        if self.name not in parts:
            known = ", ".join(parts) or "none, for no record tells"
            raise ConfigError(f"fail_if: expected one of the parts by {self.kind} ({known}); got {self.name!r}")
        return (parts[self.name],)


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
            text: such as `tool_attempt_rate<0.2 or dead_groups[environment=maps].low>=0.5`.
            known: the metrics by name.

        Raises:
            ConfigError: it cannot be read, or names no metric, or one that is not measured of such parts.
        """
        alternatives = (_AND.split(part) for part in _OR.split(text.strip()))
        return cls(
            text=text, alternatives=tuple(tuple(_condition(one, known) for one in part) for part in alternatives)
        )

    def holds(self, measured: Measured) -> bool:
        """Whether the expression is true of what was measured.

        Raises:
            ConfigError: it names a part that is not there.
        """
        # Every condition is looked at, so that a wrong name is an error whatever the others say.
        held = {one: one.holds(measured) for part in self.alternatives for one in part}
        return any(all(held[one] for one in part) for part in self.alternatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A metric that is worse than it was."""

    metric: str
    """Its name."""
    part: str
    """What it is of, such as `environment=maps`; empty for all rollouts."""
    before: float
    """Its value in the baseline."""
    after: float
    """Its value now."""
    is_certain: bool
    """Whether the 95 % intervals do not overlap."""


def fell(baseline: Measured, measured: Measured) -> tuple[Change, ...]:
    """The metrics that are worse than in the baseline, surely so first; of all rollouts, and of each part but periods.

    With many parts some interval lies apart from another by chance: those of parts are widened to what makes all
    comparisons of a metric together as sure as one (Bonferroni). A tool of the baseline that nothing calls any more is
    compared as such.
    """
    changes = [*_worse(baseline.whole, measured.whole, "", 1.0)]
    pairs = []
    for kind in ("environment", "tool", "hops"):
        now = measured.parts.get(kind, {})
        for name, before in baseline.parts.get(kind, {}).items():
            after = now.get(name, measured.uncalled if kind == "tool" else None)
            if after is not None:
                pairs.append((f"{kind}={name}", before, after))
    wider = NormalDist().inv_cdf(1 - 0.025 / max(1, len(pairs))) / Z
    for part, before, after in pairs:
        changes += _worse(before, after, part, wider)
    return tuple(sorted(changes, key=lambda change: not change.is_certain))


def _worse(baseline: Metrics, metrics: Metrics, part: str, wider: float) -> Iterator[Change]:
    higher = names_of(Better.HIGHER)
    for name in (*higher, *names_of(Better.LOWER)):
        before, after = baseline.get(name), metrics.get(name)
        if before is None or after is None:
            continue
        above, below = (before, after) if name in higher else (after, before)
        if below["value"] < above["value"]:
            yield Change(
                metric=name,
                part=part,
                before=before["value"],
                after=after["value"],
                is_certain=_lie_apart(below, above, wider),
            )


def _lie_apart(below: Mapping[str, Any], above: Mapping[str, Any], wider: float) -> bool:
    """Whether two intervals, each as many times wider, do not overlap."""
    if below["high"] is None or above["low"] is None:
        return False
    high = below["value"] + wider * (below["high"] - below["value"])
    low = above["value"] - wider * (above["value"] - above["low"])
    return bool(high < low)


def _condition(text: str, known: Mapping[str, Any]) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(
            "fail_if: expected METRIC<NUMBER (also <=, >, >=; METRIC.low, .high, .n; METRIC[environment=NAME]), "
            f"got {text!r}"
        )
    metric, kind, name, end, sign, bound = match.groups()
    if metric not in known:
        raise ConfigError(f"fail_if: expected one of the metrics {', '.join(known)}; got {metric!r}")
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"fail_if: expected parts by {', '.join(KINDS)}; got {kind!r}")
    if kind == "tool" and metric not in TOOL_METRICS:
        raise ConfigError(f"fail_if: expected one of {', '.join(TOOL_METRICS)} of a tool; got {metric!r}")
    return Condition(
        text=text.strip(),
        metric=metric,
        kind=kind,
        name=(name or "").strip(),
        field=end or "value",
        sign=sign,
        bound=float(bound),
    )
