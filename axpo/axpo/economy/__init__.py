"""What models achieve for what they cost: accuracy per rollout, token, second and price, told by evaluations."""

from axpo.economy.economy import Economy, EconomySettings, economy
from axpo.economy.evaluations import (
    ComparingSettings,
    EvaluationComparison,
    Part,
    Won,
    compare_evaluations,
)
from axpo.economy.measures import Measure, measures_of
from axpo.economy.pairs import VERDICTS, Pair, Verdict, compare_pair, front
from axpo.economy.prices import Price, read_prices
from axpo.economy.routing import Choice, Route, Routing, route
from axpo.economy.trials import Trials, names_of, read_trials
from axpo.records.tried import Tried

__all__ = [
    "VERDICTS",
    "Choice",
    "ComparingSettings",
    "Economy",
    "EconomySettings",
    "EvaluationComparison",
    "Measure",
    "Pair",
    "Part",
    "Price",
    "Route",
    "Routing",
    "Trials",
    "Tried",
    "Verdict",
    "Won",
    "compare_evaluations",
    "compare_pair",
    "economy",
    "front",
    "measures_of",
    "names_of",
    "read_prices",
    "read_trials",
    "route",
]
