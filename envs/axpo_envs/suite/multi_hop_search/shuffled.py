"""Defines `ShuffledLibrary`: a brief library whose facts are dealt out anew, to learn reading in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from axpo_envs.questions.splits import Split
from axpo_envs.suite.multi_hop_search._corpus import Style, document_of
from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, FactGraph
from axpo_envs.suite.multi_hop_search._plan import Plan, QuestionKind
from axpo_envs.suite.multi_hop_search._walks import Walker
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch
from axpo_envs.tools._backend_tool import heading

_PLANS_OF_A_DEAL: Final = 64
"""Questions that are asked of one deal."""
_DRAWS: Final = 100_000


class ShuffledLibrary:
    """Questions of two and more hops over a graph with the names of a real one, in which every fact is some other's.

    A policy that is trained on them learns every name, those of held-out questions included, and no fact.

    Args:
        env: with brief documents; its knobs `hops` and `answers` say what is asked.
        seed: decides the deals and the questions.

    Raises:
        ValueError: the environment's documents are not brief, or `answers` names nothing.
    """

    def __init__(self, env: MultiHopSearch, *, seed: int) -> None:
        if env.settings.documents != Style.BRIEF or not env.settings.answers:
            raise ValueError(
                f"expected documents='brief' and answers; got documents={env.settings.documents!r} and "
                f"answers={env.settings.answers!r}"
            )
        self._graph = env.graph
        self._hops = env.settings.hops
        self._answers = env.settings.answers
        self._rng = np.random.default_rng([seed, 0x5F])
        self._plans = self._endless()

    def draw(self) -> Plan:
        """The next question."""
        return next(self._plans)

    def _endless(self) -> Iterator[Plan]:
        while True:
            walker = Walker(self._dealt(), Split.TRAIN, Style.BRIEF)
            for _ in range(_PLANS_OF_A_DEAL):
                yield self._plan(walker)

    def _plan(self, walker: Walker) -> Plan:
        hops = self._hops[int(self._rng.integers(len(self._hops)))]
        relation = self._answers[int(self._rng.integers(len(self._answers)))]
        for _ in range(_DRAWS):
            plan = walker.attempt(QuestionKind.BRIDGE, hops, self._rng)
            if plan is not None and plan.relation == relation:
                return plan
        raise ValueError(f"the library holds no question of {hops} hops that asks for {relation}")

    def _dealt(self) -> FactGraph:
        """The graph with the values of each relation permuted among its bearers, all of one split."""
        bearers: dict[str, list[str]] = {}
        for entity in self._graph.entities.values():
            for fact in entity.facts:
                bearers.setdefault(fact.relation, []).append(entity.id)
        dealt: dict[str, dict[str, Fact]] = {}
        for relation, ids in bearers.items():
            for bearer, place in zip(ids, self._rng.permutation(len(ids)), strict=True):
                # A code names its country in questions, and stays with it.
                origin = bearer if relation == "iso3" else ids[int(place)]
                given = self._graph.entities[origin].fact(relation)
                assert given is not None
                dealt.setdefault(bearer, {})[relation] = given
        entities = {
            entity.id: replace(
                entity, split=Split.TRAIN, facts=tuple(dealt[entity.id][fact.relation] for fact in entity.facts)
            )
            for entity in self._graph.entities.values()
        }
        return FactGraph(entities=entities)


def shown(entity: Entity) -> str:
    """What a search shows whose only hit is the document about an entity."""
    document = document_of(entity, Style.BRIEF)
    return f"1. {heading(document)}\n{document.text}"
