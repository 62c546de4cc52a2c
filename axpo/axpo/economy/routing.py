"""Defines `route`: which model each category of questions goes to, and what that achieves on other questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axpo.algorithm.seeds import derive_seed
from axpo.diagnostics.estimates import Estimate
from axpo.economy.measures import Array, Measure, estimate_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a category goes."""

    category: str
    """The category."""
    model: str
    """The cheapest model that reaches the target; where none does, the one with the highest Pass@1."""
    pass1: Estimate
    """Its Pass@1 on the category."""
    cost: Estimate
    """What it spends per rollout there."""
    reaches: bool
    """Whether its Pass@1 reaches the target."""
    surely: bool
    """Whether the lower end of its interval does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """A routing table, and what routing achieves."""

    cost: str
    """What is to be spared."""
    target: float
    """The Pass@1 that is to be reached."""
    routes: tuple[Route, ...]
    """A route per category."""
    pass1: Estimate | None
    """Pass@1 of routing, the routes chosen on one half of the questions and measured on the other, both ways."""
    spent: Estimate | None
    """What that spends per rollout, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What routes are chosen by."""

    models: Mapping[str, Mapping[str, Measure]]
    """The measures of every model."""
    cost: str
    """What is to be spared: `tokens`, `seconds` or `price`."""
    target: float
    """The Pass@1 that is to be reached."""

    def model(self, asked: npt.NDArray[np.bool_]) -> str:
        """The cheapest model that reaches the target on these questions, else the one that is right most often."""
        found = {name: (self._on(name, "pass1", asked), self._on(name, self.cost, asked)) for name in self.models}
        able = [name for name, (right, _) in found.items() if right >= self.target]
        if able:
            return min(able, key=lambda name: (found[name][1], -found[name][0]))
        return max(found, key=lambda name: (found[name][0], -found[name][1]))

    def _on(self, model: str, measure: str, asked: npt.NDArray[np.bool_]) -> float:
        return float(self.models[model][measure].over(asked[None].astype(float))[0])


def route(choice: Choice, questions: Sequence[str], categories: Sequence[str], weights: Array) -> Routing:
    """Chooses a model for every category.

    Args:
        choice: what routes are chosen by.
        questions: the ids of the questions; a hash of each says to which half it belongs.
        categories: the category of each.
        weights: the bootstrap's samples of questions.
    """
    places = {category: np.array([each == category for each in categories]) for category in dict.fromkeys(categories)}
    routes = tuple(_route(choice, category, asked, weights) for category, asked in places.items())
    pass1, spent = _crosswise(choice, questions, places)
    return Routing(
        cost=choice.cost,
        target=choice.target,
        routes=routes,
        pass1=estimate_of(pass1.value, pass1.over(weights), n=pass1.counted),
        spent=estimate_of(spent.value, spent.over(weights), n=spent.counted),
    )


def _route(choice: Choice, category: str, asked: npt.NDArray[np.bool_], weights: Array) -> Route:
    model = choice.model(asked)
    pass1, cost = (_within(choice.models[model][name], asked, weights) for name in ("pass1", choice.cost))
    return Route(
        category=category,
        model=model,
        pass1=pass1,
        cost=cost,
        reaches=pass1.value >= choice.target,
        surely=pass1.low is not None and pass1.low >= choice.target,
    )


def _within(measure: Measure, asked: npt.NDArray[np.bool_], weights: Array) -> Estimate:
    part = Measure(parts=measure.parts * asked, wholes=measure.wholes * asked)
    found = estimate_of(part.value, part.over(weights), n=part.counted)
    assert found is not None, "a category has questions, and a question rollouts"
    return found


def _crosswise(
    choice: Choice, questions: Sequence[str], places: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[Measure, Measure]:
    """Pass@1 and cost per question of the model that the other half of its category chooses."""
    hashes = np.array([derive_seed("half", question) for question in questions])
    right, whole, spent, rollouts = (np.zeros(len(questions)) for _ in range(4))
    for asked in places.values():
        order = np.flatnonzero(asked)[np.argsort(hashes[asked])]
        for own, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            if not len(other):
                continue
            choosing = np.zeros(len(questions), dtype=bool)
            choosing[other] = True
            measures = choice.models[choice.model(choosing)]
            right[own], whole[own] = measures["pass1"].parts[own], measures["pass1"].wholes[own]
            spent[own], rollouts[own] = measures[choice.cost].parts[own], measures[choice.cost].wholes[own]
    return Measure(parts=right, wholes=whole), Measure(parts=spent, wholes=rollouts)
