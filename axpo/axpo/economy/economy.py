"""Defines `economy`, which says what several models achieve for what they cost, and `Economy`, the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import Field

from axpo.diagnostics.estimates import Estimate
from axpo.economy.measures import COSTS, Measure, estimate_of, measures_of, resampled_questions
from axpo.economy.pairs import Pair, compare_pair, front
from axpo.economy.prices import Price
from axpo.economy.routing import Choice, Routing, route
from axpo.economy.trials import Trials
from axpo.settings.config import ConfigError
from axpo.settings.values import CountOrNone, Name, NonNegative, Probability


@dataclass(frozen=True, slots=True, kw_only=True)
class EconomySettings:
    """How models are compared."""

    target: Probability = 0.8
    """The Pass@1 that each category's model is to reach."""
    cost: Literal["tokens", "seconds", "price"] | None = None
    """What is to be spared; by default the price where there are prices, else tokens."""
    category: Name | None = None
    """What tells categories of questions: `hops`, or a column of their rows; by default `family`, else `hops`."""
    margin: NonNegative = 0.02
    """How much lower a model's Pass@1 may be to count as as good."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap samples of the questions."""
    seed: CountOrNone = 0
    """Seeds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Economy:
    """What models achieve for what they cost."""

    models: Mapping[str, Mapping[str, Estimate | None]]
    """Every measure of every model."""
    fronts: Mapping[str, tuple[str, ...]]
    """Per cost, the models that no other outdoes, cheapest first."""
    pairs: tuple[Pair, ...]
    """Every two models, the cheaper one first."""
    routing: Routing
    """Where each category of questions goes."""
    questions: int
    """Questions that all models were asked."""
    left_out: int
    """Questions that not every model has."""

    def as_record(self) -> dict[str, Any]:
        """The form in which JSON files hold it."""
        return {
            "questions": self.questions,
            "left_out": self.left_out,
            "models": {name: {"metrics": _metrics(found)} for name, found in self.models.items()},
            "fronts": {cost: list(names) for cost, names in self.fronts.items()},
            "pairs": [
                {
                    "first": pair.first,
                    "second": pair.second,
                    "verdict": pair.verdict.value,
                    "metrics": {
                        **{f"{name}_difference": value for name, value in _metrics(pair.differences).items()},
                        **{f"{name}_ratio": value for name, value in _metrics(pair.ratios).items()},
                    },
                }
                for pair in self.pairs
            ],
            "routing": {
                "cost": self.routing.cost,
                "target": self.routing.target,
                "metrics": _metrics({"pass1": self.routing.pass1, self.routing.cost: self.routing.spent}),
                "routes": [
                    {
                        "category": found.category,
                        "model": found.model,
                        "reaches": found.reaches,
                        "surely": found.surely,
                        "metrics": _metrics({"pass1": found.pass1, self.routing.cost: found.cost}),
                    }
                    for found in self.routing.routes
                ],
            },
        }


def economy(trials: Trials, prices: Mapping[str, Price], settings: EconomySettings) -> Economy:
    """Compares models on the questions that all of them were asked.

    Every interval is a bootstrap over questions, resampled for all models at once, so that differences are paired.

    Args:
        trials: what the models did.
        prices: by the models' names; for all of them, or none.
        settings: how they are compared.

    Raises:
        ConfigError: prices lack a model, the price is to be spared and unknown, or a question says no category.
    """
    cost = _cost(trials, prices, settings)
    categories = trials.categories(settings.category)
    measures = {name: measures_of(tried, prices.get(name)) for name, tried in trials.models.items()}
    weights = resampled_questions(trials.questions, resamples=settings.resamples, seed=settings.seed)
    spent = {name: found[cost].value or 0.0 for name, found in measures.items()}
    cheapest_first = sorted(measures, key=lambda name: spent[name])
    return Economy(
        models={
            name: {
                label: estimate_of(found.value, found.over(weights), n=found.counted) for label, found in own.items()
            }
            for name, own in measures.items()
        },
        fronts={each: front(measures, each) for each in _costs(measures)},
        pairs=tuple(
            compare_pair(names, measures, weights, margin=settings.margin) for names in combinations(cheapest_first, 2)
        ),
        routing=route(
            Choice(models=measures, cost=cost, target=settings.target), trials.questions, categories, weights
        ),
        questions=len(trials.questions),
        left_out=trials.left_out,
    )


def _cost(trials: Trials, prices: Mapping[str, Price], settings: EconomySettings) -> str:
    missing = [name for name in trials.models if name not in prices]
    if prices and missing:
        raise ConfigError(f"prices: expected one for every model; {', '.join(missing)} not among {', '.join(prices)}")
    if settings.cost == "price" and not prices:
        raise ConfigError("cost: the price is to be spared, so it takes --prices")
    return settings.cost or ("price" if prices else "tokens")


def _costs(measures: Mapping[str, Mapping[str, Measure]]) -> Sequence[str]:
    return [cost for cost in COSTS if all(cost in own for own in measures.values())]


def _metrics(found: Mapping[str, Estimate | None]) -> dict[str, Any]:
    undefined = {"value": None, "n": 0, "low": None, "high": None}
    return {name: undefined if estimate is None else estimate.as_dict() for name, estimate in found.items()}
