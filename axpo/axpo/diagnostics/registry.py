"""Defines which measures there are: those of this package, and those that users register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from axpo.diagnostics.acting import ACTING
from axpo.diagnostics.metric import Better, Metric, Shown
from axpo.diagnostics.permission import PERMISSION
from axpo.diagnostics.recovery import RECOVERY
from axpo.diagnostics.success import HEADLINES, SUCCESS

_METRICS: Final[dict[str, Metric]] = {}


def register_metric(metric: Metric) -> None:
    """Makes a measure known by its name: it is counted at every step and evaluation, and shown where it says.

    Raises:
        ValueError: there is another one of that name.
    """
    if _METRICS.setdefault(metric.name, metric) is not metric:
        raise ValueError(f"expected one metric of the name {metric.name!r}; there is another one")


def metrics() -> tuple[Metric, ...]:
    """Every measure, in the order of records."""
    return tuple(_METRICS.values())


def metric_named(name: str) -> Metric:
    """The measure of a name; one that says nothing but its name where there is none."""
    return _METRICS.get(name) or Metric(name=name, label=name.replace("_", " "), meaning="")


def shown_in(place: Shown, observed: Callable[[str], bool] = lambda _: True) -> dict[str, str]:
    """The labels of the measures that are shown somewhere, by name.

    Args:
        place: where.
        observed: whether a measure has a value there; optional ones are left out without.
    """
    return {metric.name: metric.label for metric in measures_of(place, observed)}


def measures_of(place: Shown, observed: Callable[[str], bool] = lambda _: True) -> tuple[Metric, ...]:
    """The same measures themselves."""
    return tuple(
        metric
        for metric in _METRICS.values()
        if place in metric.shown and (not metric.optional or observed(metric.name))
    )


def names_of(better: Better) -> tuple[str, ...]:
    """The names of the measures that are better this way."""
    return tuple(metric.name for metric in _METRICS.values() if metric.better is better)


for _metric in (*HEADLINES, *ACTING, *PERMISSION, *SUCCESS, *RECOVERY):
    register_metric(_metric)
