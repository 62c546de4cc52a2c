"""Defines `figures`, findings as JSON holds them, and `measured_of`, what conditions look at in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo.audit.audit import AuditSettings, Findings
from axpo.audit.conditions import Measured, Metrics
from axpo.audit.tally import Estimates
from axpo.audit.verdict import verdict
from axpo.diagnostics.estimates import Estimate

_PARTS: Final = {"environment": "by_environment", "tool": "by_tool", "hops": "by_hops", "steps": "over_time"}
"""Where what is told apart by a kind stands."""


def figures(findings: Findings, settings: AuditSettings) -> dict[str, Any]:
    """Everything that was found; metrics by name, None where nothing was observed."""
    return {
        "files": dict(findings.files),
        "rollouts": findings.rollouts,
        "questions": findings.questions,
        "unscored": findings.unscored,
        "unreadable": findings.unreadable,
        "problems": [{"place": place, "reason": reason} for place, reason in findings.problems],
        "verdict": list(verdict(findings)),
        "metrics": _values(findings.metrics),
        "by_environment": _of_each(findings.by_environment),
        "by_tool": {
            name: {"calls": tool.calls, "rollouts": tool.rollouts, **_values(tool.metrics)}
            for name, tool in findings.by_tool.items()
        },
        "uncalled": _values(findings.uncalled),
        "by_hops": _of_each(findings.by_hops),
        "over_time": _of_each(findings.over_time),
        "environments_over_time": {name: _of_each(found) for name, found in findings.environments_over_time.items()},
        "call_outcomes": {name: dict(found) for name, found in findings.call_outcomes.items()},
        "tools_over_time": _of_each(findings.tools_over_time),
        "failures": dict(findings.failures),
        "tool_users_per_question": {str(users): count for users, count in findings.tool_users.items()},
        "examples": {kind: list(places) for kind, places in findings.examples.items()},
        "settings": {
            "success_threshold": settings.success_threshold,
            "tools": list(settings.tools),
            "split_by": settings.split_by,
        },
    }


def measured_of(record: Mapping[str, Any]) -> Measured:
    """What was measured, of a record that `figures` made; `first` and `last` are periods of steps, too.

    Raises:
        ValueError: it is none.
    """
    parts = {kind: _parts(record.get(key, {}), key) for kind, key in _PARTS.items()}
    periods = list(parts["steps"].values())
    ends = {"first": periods[0], "last": periods[-1]} if periods else {}
    return Measured(
        whole=_metrics(record.get("metrics"), "metrics"),
        parts={**parts, "steps": {**ends, **parts["steps"]}},
        uncalled=_metrics(record.get("uncalled", {}), "uncalled"),
    )


def _parts(found: Any, where: str) -> dict[str, Metrics]:
    if not isinstance(found, Mapping):
        raise ValueError(f"{where}: expected metrics by part; got {type(found).__name__}")
    return {name: _metrics(metrics, f"{where}.{name}") for name, metrics in found.items()}


def _metrics(found: Any, where: str) -> Metrics:
    """The metrics among what stands there; counts are none."""
    if not isinstance(found, Mapping):
        raise ValueError(f"{where}: expected metrics by name; got {type(found).__name__}")
    metrics = {name: each for name, each in found.items() if each is None or isinstance(each, Mapping)}
    for name, each in metrics.items():
        if each is not None and not all(_is_end(each.get(part), part) for part in ("value", "low", "high")):
            raise ValueError(f"{where}.{name}: expected numbers as value, low and high; got {each!r:.100}")
    return metrics


def _is_end(value: Any, part: str) -> bool:
    return isinstance(value, int | float) or (value is None and part != "value")


def _of_each(found: Mapping[str, Mapping[str, Estimate | None]]) -> dict[str, Any]:
    return {name: _values(estimates) for name, estimates in found.items()}


def _values(estimates: Estimates | Mapping[str, Estimate | None]) -> dict[str, Any]:
    return {name: None if found is None else found.as_dict() for name, found in estimates.items()}
