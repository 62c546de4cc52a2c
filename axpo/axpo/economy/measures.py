"""Defines what a model achieves and costs, as ratios of sums over questions, and resamples questions for intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from axpo.algorithm.seeds import derive_seed
from axpo.diagnostics.estimates import Estimate, pass_at_k
from axpo.economy.prices import Price
from axpo.records.tried import Tried

Array: TypeAlias = npt.NDArray[np.float64]

COSTS: Final = ("tokens", "seconds", "price")
"""What may be spent; each is told per rollout and per right answer."""
_ENDS: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measure:
    """A ratio of two sums over questions."""

    parts: Array
    """Per question, what is counted, shape (questions,)."""
    wholes: Array
    """Per question, out of how much."""

    def over(self, weights: Array) -> Array:
        """The ratio under every row of weights, shape (rows, questions); NaN where nothing is counted."""
        wholes = weights @ self.wholes
        ratio: Array = np.full(len(weights), np.nan)
        np.divide(weights @ self.parts, wholes, out=ratio, where=wholes > 0)
        return ratio

    @property
    def value(self) -> float | None:
        """The ratio over all questions; None where nothing is counted."""
        whole = float(self.wholes.sum())
        return float(self.parts.sum()) / whole if whole > 0 else None

    @property
    def counted(self) -> int:
        """Questions that count."""
        return int((self.wholes > 0).sum())


def measures_of(tried: Sequence[Tried], price: Price | None) -> dict[str, Measure]:
    """Every measure of a model.

    | measure | is |
    |---|---|
    | `pass1`, `pass4` | Pass@k, mean over questions; `pass4` where there are four rollouts |
    | `tokens`, `seconds`, `price` | spent per rollout: tokens written, wall-clock time, price |
    | `right_per_1000_tokens`, `right_per_second`, `right_per_price` | right rollouts / what was spent on all |

    Args:
        tried: what it did.
        price: what it costs; None leaves prices out.
    """
    rollouts = np.array([len(each.right) for each in tried], dtype=float)
    right = np.array([sum(each.right) for each in tried], dtype=float)
    spent = {
        "tokens": np.array([sum(each.written) for each in tried], dtype=float),
        "seconds": np.array([each.seconds for each in tried], dtype=float),
    }
    if price is not None:
        spent["price"] = np.array([_price(each, price) for each in tried])
    measures = {f"pass{k}": _pass(tried, k) for k in (1, 4)}
    measures |= {name: Measure(parts=amount, wholes=rollouts) for name, amount in spent.items()}
    measures["right_per_1000_tokens"] = Measure(parts=1000 * right, wholes=spent["tokens"])
    measures["right_per_second"] = Measure(parts=right, wholes=spent["seconds"])
    if price is not None:
        measures["right_per_price"] = Measure(parts=right, wholes=spent["price"])
    return measures


def resampled_questions(clusters: Sequence[str], *, resamples: int, seed: int) -> Array:
    """How often each question stands in each bootstrap sample, shape (resamples, questions).

    Args:
        clusters: per question, what it is drawn with: its own id, or that of several that are not independent.
        resamples: how many samples.
        seed: seeds them.
    """
    generator = np.random.default_rng(derive_seed(seed, "economy"))
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    count = len(places)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights: Array = drawn[:, [places[cluster] for cluster in clusters]].astype(float)
    return weights


def estimate_of(value: float | None, resampled: Array, *, n: int) -> Estimate | None:
    """A value with the percentile interval of its bootstrap; None where there is no value.

    Args:
        value: over all questions.
        resampled: over each bootstrap sample; NaN where it has none.
        n: questions that count.
    """
    if value is None:
        return None
    known = resampled[np.isfinite(resampled)]
    if n < 2 or not len(known):
        return Estimate(value=value, n=n, low=None, high=None)
    low, high = np.percentile(known, _ENDS)
    return Estimate(value=value, n=n, low=float(low), high=float(high))


def _pass(tried: Sequence[Tried], k: int) -> Measure:
    enough = [len(each.right) >= k for each in tried]
    values = [
        pass_at_k(len(each.right), sum(each.right), k) if there else 0.0
        for each, there in zip(tried, enough, strict=True)
    ]
    return Measure(parts=np.array(values, dtype=float), wholes=np.array(enough, dtype=float))


def _price(tried: Tried, price: Price) -> float:
    return price.of(read=sum(tried.read), reread=sum(tried.reread), written=sum(tried.written), seconds=tried.seconds)
