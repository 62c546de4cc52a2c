"""Defines `compare_evaluations`: what sets models apart that were evaluated on the same benchmarks.

Every interval is a percentile bootstrap that draws clusters of questions, the same for all models, so that differences
are paired. Questions that some model has no rollouts of are left out, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
from pydantic import Field

from axpo.diagnostics.estimates import Estimate
from axpo.economy._protocols import NOT_COMPARED, differences, protocols, shared
from axpo.economy.measures import Array, Measure, estimate_of, measures_of, resampled_questions
from axpo.economy.pairs import Pair, Verdict, compare_pair
from axpo.economy.prices import Price
from axpo.evaluation.evaluate import as_metric
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import AskedQuestion, EvaluatedRollout
from axpo.records.tried import Tried
from axpo.settings.config import ConfigError
from axpo.settings.values import CountOrNone, NonNegative

Rollouts: TypeAlias = Mapping[str, Sequence[EvaluatedRollout]]
"""The rollouts of a model by question."""

MOST_VALUES: Final = 40
"""A column with more values than this tells no categories."""
FEWEST: Final = 10
"""Clusters of questions below which a bootstrap would claim more than it knows: neither intervals nor a verdict."""
_TOKENS: Final = frozenset(("tokens", "right_per_1000_tokens", "price", "right_per_price"))
_SPENT: Final = ("tokens", "seconds", "price")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparingSettings:
    """How evaluations are compared."""

    margin: NonNegative = 0.02
    """How much lower a model's Pass@1 may be to count as as good."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap samples of the clusters of questions."""
    seed: CountOrNone = 0
    """Seeds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A benchmark under an arm, and what models did."""

    benchmark: str
    """The benchmark."""
    arm: str
    """Which tools there were: `tools`, `no_tools`, `unseen_tools`."""
    questions: tuple[AskedQuestion, ...]
    """What was asked."""
    rollouts: Mapping[str, Rollouts]
    """By the models' names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """The questions of a part that one of two models answers rightly more often than the other."""

    first: tuple[str, ...]
    """Ids of those that the first does; the clearest first."""
    second: tuple[str, ...]
    """Ids of those that the second does."""
    equal: int
    """How many set neither apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What models did on the same questions: a benchmark under an arm, or a category of it."""

    benchmark: str
    """The benchmark."""
    arm: str
    """Which tools there were: `tools`, `no_tools`, `unseen_tools`."""
    kind: str | None
    """The column that tells the category; None for the whole benchmark."""
    value: str | None
    """The category."""
    questions: int
    """Questions that all models have rollouts of."""
    left_out: int
    """Questions that some model has none of."""
    models: Mapping[str, Mapping[str, Estimate | None]]
    """Every measure of every model."""
    pairs: tuple[Pair, ...]
    """The first model against each other one."""
    won: tuple[Won, ...]
    """Of each of these pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationComparison:
    """What sets models apart."""

    parts: tuple[Part, ...]
    """Whole benchmarks, each followed by its categories."""
    notes: tuple[str, ...]
    """What keeps parts of the evaluations from being compared, and how their protocols differ."""

    def as_record(self) -> dict[str, Any]:
        """The form in which JSON files hold it."""
        return {"notes": list(self.notes), "parts": [_record(part) for part in self.parts]}


def compare_evaluations(
    folders: Mapping[str, EvaluationFolder], prices: Mapping[str, Price], settings: ComparingSettings
) -> EvaluationComparison:
    """Compares evaluations of several models, the first with each of the others.

    Args:
        folders: by the models' names, two or more.
        prices: by the models' names; for all of them, or none.
        settings: how they are compared.

    Raises:
        ConfigError: there are fewer than two, one is no evaluation, prices lack a model, or nothing can be compared.
        DamagedFileError: a file was changed.
    """
    if len(folders) < 2:
        raise ConfigError(f"evaluations: expected two or more; got {', '.join(folders) or 'none'}")
    lacking = [name for name in folders if name not in prices]
    if prices and lacking:
        raise ConfigError(f"prices: expected one for every model; {', '.join(lacking)} not among {', '.join(prices)}")
    asked = {name: folder.provenance() for name, folder in folders.items()}
    notes = [*protocols(asked)]
    parts: list[Part] = []
    for benchmark, arm in shared(asked):
        apart = tuple(differences(asked, benchmark, arm))
        notes += apart
        if not any(one.startswith(NOT_COMPARED) for one in apart):
            parts += parts_of(_asked(folders, benchmark, arm), prices, settings)
    if not parts:
        told = "; ".join(notes) or "they share no benchmark with the same tools"
        raise ConfigError(f"evaluations: nothing in {', '.join(folders)} can be compared: {told}")
    return EvaluationComparison(parts=tuple(parts), notes=tuple(dict.fromkeys(notes)))


def parts_of(asked: Asked, prices: Mapping[str, Price], settings: ComparingSettings) -> Iterator[Part]:
    """The whole, then its categories by every column that divides the questions; nothing where none is shared."""
    common = [one for one in asked.questions if all(one.id in own for own in asked.rollouts.values())]
    if common:
        yield _part(asked, common, prices, settings)
    for kind, categories in _categories(common).items():
        for value, members in categories.items():
            yield replace(_part(asked, members, prices, settings), kind=kind, value=value, left_out=0)


def _categories(questions: Sequence[AskedQuestion]) -> dict[str, dict[str, list[AskedQuestion]]]:
    """Questions by the columns that divide them into few parts, each division once."""
    most = min(MOST_VALUES, len({question.cluster for question in questions}) // 2)
    found: dict[str, dict[str, list[AskedQuestion]]] = {}
    divisions: set[frozenset[frozenset[str]]] = set()
    for kind in sorted({name for question in questions for name in question.kinds}):
        values = sorted({question.kinds[kind] for question in questions if kind in question.kinds})
        parts = {value: [one for one in questions if one.kinds.get(kind) == value] for value in values}
        division = frozenset(frozenset(one.id for one in members) for members in parts.values())
        if 2 <= len(parts) <= most and division not in divisions:
            found[kind] = parts
            divisions.add(division)
    return found


def _part(
    asked: Asked, questions: Sequence[AskedQuestion], prices: Mapping[str, Price], settings: ComparingSettings
) -> Part:
    clusters = [question.cluster for question in questions]
    weights = resampled_questions(clusters, resamples=settings.resamples, seed=settings.seed)
    if len(set(clusters)) < FEWEST:
        weights = np.full((1, len(questions)), np.nan)
    made = {name: [own[one.id] for one in questions] for name, own in asked.rollouts.items()}
    tried = {name: [_tried(one) for one in own] for name, own in made.items()}
    measures = {name: _measures(tried[name], own, prices.get(name)) for name, own in made.items()}
    first, *others = measures
    return Part(
        benchmark=asked.benchmark,
        arm=asked.arm,
        kind=None,
        value=None,
        questions=len(questions),
        left_out=len(asked.questions) - len(questions),
        models={
            name: {label: estimate_of(one.value, one.over(weights), n=one.counted) for label, one in own.items()}
            for name, own in measures.items()
        },
        pairs=tuple(compare_pair((first, other), measures, weights, margin=settings.margin) for other in others),
        won=tuple(_won(tried[first], tried[other]) for other in others),
    )


def _measures(
    tried: Sequence[Tried], rollouts: Sequence[Sequence[EvaluatedRollout]], price: Price | None
) -> dict[str, Measure]:
    """Those of the economy, acting, the mean score, and what is spent per right answer."""
    known = measures_of(tried, price)
    if any(one.written is None or one.read is None or one.reread is None for own in rollouts for one in own):
        known = {name: one for name, one in known.items() if name not in _TOKENS}
    made = np.array([len(own) for own in rollouts], dtype=float)
    right = np.array([sum(one.right) for one in tried], dtype=float)
    return {
        "pass1": known.pop("pass1"),
        "pass4": known.pop("pass4"),
        "score": Measure(parts=_sums([[one.judged.score for one in own] for own in rollouts]), wholes=made),
        "tool_attempt_rate": Measure(parts=_sums([[one.used_tool for one in own] for own in rollouts]), wholes=made),
        **known,
        **{f"{name}_per_right": Measure(parts=known[name].parts, wholes=right) for name in _SPENT if name in known},
    }


def _sums(values: Sequence[Sequence[float]]) -> Array:
    return np.array([sum(own) for own in values], dtype=float)


def _asked(folders: Mapping[str, EvaluationFolder], benchmark: str, arm: str) -> Asked:
    return Asked(
        benchmark=benchmark,
        arm=arm,
        questions=next(iter(folders.values())).questions(benchmark),
        rollouts={name: _by_question(folder.rollouts(benchmark, arm)) for name, folder in folders.items()},
    )


def _tried(rollouts: Sequence[EvaluatedRollout]) -> Tried:
    return Tried(
        question=rollouts[0].question,
        kinds={},
        right=tuple(one.judged.right for one in rollouts),
        written=tuple(one.written or 0 for one in rollouts),
        read=tuple(one.read or 0 for one in rollouts),
        reread=tuple(one.reread or 0 for one in rollouts),
        seconds=sum(one.seconds for one in rollouts),
    )


def _won(first: Sequence[Tried], second: Sequence[Tried]) -> Won:
    """Worked value: right 3 of 4 and 1 of 2 times, the first model has won the question by .25."""
    leads = {
        one.question: sum(one.right) / len(one.right) - sum(other.right) / len(other.right)
        for one, other in zip(first, second, strict=True)
    }
    ranked = sorted(leads, key=lambda question: (-abs(leads[question]), question))
    return Won(
        first=tuple(question for question in ranked if leads[question] > 0),
        second=tuple(question for question in ranked if leads[question] < 0),
        equal=sum(lead == 0 for lead in leads.values()),
    )


def _by_question(rollouts: Sequence[EvaluatedRollout]) -> Rollouts:
    found: dict[str, list[EvaluatedRollout]] = {}
    for rollout in rollouts:
        found.setdefault(rollout.question, []).append(rollout)
    return found


def _record(part: Part) -> dict[str, Any]:
    return {
        "benchmark": part.benchmark,
        "arm": part.arm,
        "kind": part.kind,
        "value": part.value,
        "questions": part.questions,
        "left_out": part.left_out,
        "models": {
            name: {"metrics": {label: as_metric(one) for label, one in own.items()}}
            for name, own in part.models.items()
        },
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "verdict": Verdict(pair.verdict).value,
                "metrics": {
                    **{f"{name}_difference": as_metric(one) for name, one in pair.differences.items()},
                    **{f"{name}_ratio": as_metric(one) for name, one in pair.ratios.items()},
                },
                "won": asdict(won),
            }
            for pair, won in zip(part.pairs, part.won, strict=True)
        ],
    }
