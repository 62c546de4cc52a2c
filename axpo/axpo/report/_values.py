"""Defines `Value`, a measured value with its interval, and how values are told."""

from __future__ import annotations

from dataclasses import dataclass

from axpo.diagnostics.estimates import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A measured value; its interval where there is one."""

    value: float
    """The value."""
    low: float | None
    """Lower end of its interval."""
    high: float | None
    """Upper end of its interval."""
    n: int | None
    """How many things were counted; None where that says nothing of the value."""


def value_of(estimate: Estimate | None) -> Value | None:
    """An estimate as charts and tables take it; None where nothing was observed."""
    if estimate is None:
        return None
    return Value(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)


def told(value: Value | None, *, share: bool) -> str:
    """A value in words, with its interval and what was counted.

    Worked value: 0.381 of 120 with an interval from 0.3 to 0.47 gives `38.1 % (30.0 to 47.0 %), n 120`.
    """
    if value is None:
        return "undefined"
    scale, digits, unit = (100, ".1f", " %") if share else (1, ".3g", "")
    text = f"{scale * value.value:{digits}}{unit}"
    if value.low is not None and value.high is not None:
        text += f" ({scale * value.low:{digits}} to {scale * value.high:{digits}}{unit})"
    return text if value.n is None else f"{text}, n {value.n:,}"


def tick_text(value: float, *, share: bool) -> str:
    """A value in few characters, as it stands at an axis."""
    if share:
        return f"{100 * value:.0f} %"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"
