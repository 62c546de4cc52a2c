"""Defines what sets two models apart on the same questions, and which models nothing else outdoes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from axpo.diagnostics.estimates import Estimate
from axpo.economy.measures import Array, Measure, estimate_of


class Verdict(StrEnum):
    """Whether the cheaper of two models can take the other's place."""

    AS_GOOD = "as good"
    """Surely at most the margin worse."""
    WORSE = "worse"
    """Surely more than the margin worse."""
    OPEN = "undecided"
    """The questions do not tell."""


VERDICTS: Final = {
    Verdict.AS_GOOD: "is as good as",
    Verdict.WORSE: "is worse than",
    Verdict.OPEN: "may or may not be as good as",
}
"""What people read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two models on the same questions."""

    first: str
    """The one that might do."""
    second: str
    """The one that it is held against."""
    differences: Mapping[str, Estimate | None]
    """First minus second, by measure, questions resampled for both at once."""
    ratios: Mapping[str, Estimate | None]
    """First divided by second, of what is spent."""
    verdict: Verdict
    """Of `pass1`."""


def compare_pair(
    names: tuple[str, str], models: Mapping[str, Mapping[str, Measure]], weights: Array, *, margin: float
) -> Pair:
    """What sets two models apart.

    Args:
        names: the first and the second.
        models: the measures of every model.
        weights: the bootstrap's samples of questions, the same for both.
        margin: how much lower the first's Pass@1 may be.
    """
    one, other = (models[name] for name in names)
    shared = [name for name in one if name in other]
    differences = {name: _difference(one[name], other[name], weights) for name in shared}
    return Pair(
        first=names[0],
        second=names[1],
        differences=differences,
        ratios={name: _ratio(one[name], other[name], weights) for name in shared if not name.startswith("pass")},
        verdict=_verdict(differences["pass1"], margin),
    )


def front(models: Mapping[str, Mapping[str, Measure]], cost: str) -> tuple[str, ...]:
    """The models that no other outdoes, cheapest first: none is as right at a lower cost, or more right at the same.

    Worked value: at costs 1, 2 and 3, models with 0.5, 0.4 and 0.6 right leave the first and the third.

    Args:
        models: the measures of every model.
        cost: what is spent per rollout; models without it are left out.
    """
    places = {
        name: (spent.value, right)
        for name, measures in models.items()
        if (spent := measures.get(cost)) is not None
        and spent.value is not None
        and (right := measures["pass1"].value) is not None
    }
    kept = [name for name, place in places.items() if not any(_outdoes(other, place) for other in places.values())]
    return tuple(sorted(kept, key=lambda name: places[name]))


def _outdoes(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def _difference(one: Measure, other: Measure, weights: Array) -> Estimate | None:
    if one.value is None or other.value is None:
        return None
    resampled = one.over(weights) - other.over(weights)
    return estimate_of(one.value - other.value, resampled, n=min(one.counted, other.counted))


def _ratio(one: Measure, other: Measure, weights: Array) -> Estimate | None:
    if one.value is None or not other.value:
        return None
    below = other.over(weights)
    resampled = np.divide(one.over(weights), below, out=np.full(len(weights), np.nan), where=below > 0)
    return estimate_of(one.value / other.value, resampled, n=min(one.counted, other.counted))


def _verdict(difference: Estimate | None, margin: float) -> Verdict:
    if difference is None or difference.low is None or difference.high is None:
        return Verdict.OPEN
    if difference.low >= -margin:
        return Verdict.AS_GOOD
    return Verdict.WORSE if difference.high < -margin else Verdict.OPEN
