"""Defines `HopQuestions`: an endless or a fixed sequence of questions, each a walk over the fact graph."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.columns import Columns
from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.suite.multi_hop_search._corpus import Style, corpus_text, graph_of
from axpo_envs.suite.multi_hop_search._graph import FactGraph
from axpo_envs.suite.multi_hop_search._plan import FEWEST_HOPS, Plan, QuestionKind
from axpo_envs.suite.multi_hop_search._walks import Walker
from axpo_envs.types import Label, Question

_ENTROPY: Final = 0x40B5
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""
_DRAWS: Final = 20_000
_DRAWS_AT_FIRST: Final = 4_000
_KEPT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HopQuestionSettings:
    """What decides the questions of a source."""

    split: Split
    """Which questions."""
    held_out: int
    """Number of questions of the validation split and of the test split; fewer are the first of more."""
    hops: tuple[int, ...]
    """Hops of the questions, all equally often."""
    kinds: tuple[QuestionKind, ...]
    """Kinds of the questions, all equally often as far as the hops allow."""
    corpus_size: int
    """Documents of the corpus."""
    style: Style
    """How they are written."""
    answers: tuple[str, ...] | None = None
    """Relations that questions ask for in the end, all equally often; None for any, as they come."""
    guess_rate: float | None = None
    """How often the answer is the favourite of its relation; None for as often as it comes."""


@lru_cache(maxsize=4)
def corpus_of(size: int, style: Style) -> tuple[str, str]:
    """The corpus as JSON lines, and the hash of it; kept for later calls."""
    text = corpus_text(graph_of(size, style), style)
    return text, digest_of(text)


class HopQuestions(SplitQuestions):
    """A question source: "What is the currency of the country in which Kyoto lies?", with documents that tell it.

    Raises:
        EnvConfigError: the corpus is too small for a kind of question that is asked for.
        MissingExtraError: a package of the extra `data` is not installed.
    """

    def __init__(self, settings: HopQuestionSettings) -> None:
        super().__init__(settings.split, settings.held_out)
        self._settings = settings
        self._graph = graph_of(settings.corpus_size, settings.style)
        self._walker = Walker(self._graph, settings.split, settings.style)
        self._choices = tuple(
            (hops, tuple(kind for kind in settings.kinds if FEWEST_HOPS[kind] <= hops)) for hops in settings.hops
        )
        _, corpus = corpus_of(settings.corpus_size, settings.style)
        chosen = () if settings.answers is None else (settings.answers, settings.guess_rate)
        deciding = digest_of(corpus, settings.hops, tuple(kind.value for kind in settings.kinds), *chosen)
        self._favourites = _favourites(self._graph, settings.answers or ())
        self._fingerprint = f"hops-{_GENERATION}/{settings.split}/{deciding[:16]}"
        self._planned = lru_cache(maxsize=_KEPT)(self._plan)
        for hops, kinds in self._choices:
            for kind in kinds:
                for wish in self._wishes():
                    self._draw(kind, hops, np.random.default_rng(0), _DRAWS_AT_FIRST, wish)

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy finds its own facts.
        return HopQuestions, (self._settings,)

    @property
    def graph(self) -> FactGraph:
        """The facts."""
        return self._graph

    @property
    def fingerprint(self) -> str:
        """Identifies the split, the corpus and every setting that changes its questions."""
        return self._fingerprint

    @property
    def favourites(self) -> Mapping[str, str]:
        """Of each of the relations that `answers` names, the value that documents tell most often: the best guess."""
        return self._favourites

    def _question(self, index: int) -> Question:
        plan = self._planned(index)
        return Question(
            id=self._id(index),
            prompt=(plan.text,),
            answer=plan.answer,
            alternatives=_alternatives(plan),
            hops=len(plan.hops),
            labels=frozenset({Label.MUST_ACT}),
            source=self._fingerprint,
            extra=Columns({"kind": plan.kind.value, "relation": plan.relation}.items()),
        )

    def plan_of(self, question: Question) -> Plan:
        """The truth behind one of these questions.

        Raises:
            ValueError: the question is from another source.
        """
        return self._planned(self._index_of(question))

    def _plan(self, index: int) -> Plan:
        rng = self._generator(_ENTROPY, index)
        hops, kinds = self._choices[int(rng.integers(len(self._choices)))]
        kind = kinds[int(rng.integers(len(kinds)))]
        return self._draw(kind, hops, rng, _DRAWS, self._wish(rng))

    def _wish(self, rng: np.random.Generator) -> _Wish:
        """What is asked for; draws nothing where no setting says."""
        settings = self._settings
        if settings.answers is None:
            return _Wish()
        relation = settings.answers[int(rng.integers(len(settings.answers)))]
        if settings.guess_rate is None:
            return _Wish(relation)
        return _Wish(relation, favourite=self._favourites[relation], favoured=bool(rng.random() < settings.guess_rate))

    def _wishes(self) -> Iterator[_Wish]:
        """All that may be asked for."""
        rate = self._settings.guess_rate
        for relation in self._settings.answers or (None,):
            for favoured in () if rate is None else (True,) * (rate > 0) + (False,) * (rate < 1):
                yield _Wish(relation, favourite=self._favourites[relation or ""], favoured=favoured)
            if rate is None:
                yield _Wish(relation)

    def _draw(self, kind: QuestionKind, hops: int, rng: np.random.Generator, draws: int, wish: _Wish) -> Plan:
        for _ in range(draws):
            plan = self._walker.attempt(kind, hops, rng)
            if plan is not None and wish.granted(plan):
                return plan
        raise EnvConfigError(
            f"a corpus of {self._settings.corpus_size} documents holds no {kind} question of {hops} hops in the split "
            f"{self._settings.split}{wish}: expected a larger corpus_size, or other kinds, hops or answers"
        )


class _Wish(NamedTuple):
    """What a question is to ask for."""

    relation: str | None = None
    """Relation of its answer; None for any."""
    favourite: str | None = None
    """The favourite of the relation; None if it does not matter whether the answer is that."""
    favoured: bool = True
    """Whether the answer is the favourite."""

    def __str__(self) -> str:
        answer = "" if self.favourite is None else f" and answer {'' if self.favoured else 'not '}{self.favourite}"
        return "" if self.relation is None else f" that asks for {self.relation}{answer}"

    def granted(self, plan: Plan) -> bool:
        """Whether a question asks for it."""
        if self.relation is not None and plan.relation != self.relation:
            return False
        return self.favourite is None or (plan.answer == self.favourite) is self.favoured


def _favourites(graph: FactGraph, relations: tuple[str, ...]) -> Mapping[str, str]:
    counts: dict[str, Counter[str]] = {relation: Counter() for relation in relations}
    for entity in graph.entities.values():
        for fact in entity.facts:
            if fact.relation in counts:
                named = graph.entities[fact.targets[0]].name if fact.targets else fact.value
                counts[fact.relation][named] += 1
    return {
        relation: max(values, key=lambda value: (values[value], value)) for relation, values in counts.items() if values
    }


def _alternatives(plan: Plan) -> tuple[str, ...]:
    """Other ways to write the answer."""
    answer = plan.answer
    others: list[str] = []
    if answer.lstrip("-").isdecimal():
        others = [f"{int(answer):,}", f"+{answer}"] if plan.relation == "calling_code" else [f"{int(answer):,}"]
    elif plan.relation == "currency":
        others = [answer.rpartition("(")[2].rstrip(")")]
    else:
        plain = "".join(one for one in unicodedata.normalize("NFKD", answer) if not unicodedata.combining(one))
        others = [plain, *(target for target in _titles(plan) if target != answer)]
    return tuple(dict.fromkeys(other for other in others if other != answer))


def _titles(plan: Plan) -> tuple[str, ...]:
    fact = plan.hops[-1].fact
    return (fact.value,) if fact.targets else ()
