"""Defines the scripted agent of brief libraries and the exact texts of its turns, which `tiny-search` learns."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from axpo_envs.suite.multi_hop_search._graph import Entity
from axpo_envs.suite.multi_hop_search._plan import Plan
from axpo_envs.suite.multi_hop_search._wording import word_of
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch
from axpo_envs.types import EpisodeState

_ID: Final = re.compile(r"\(id: ([^)\n]+)\)")
_AGAIN: Final = 0.4
"""Share of wrong queries for a later document that name the subject of the document before again."""


def guess_turn(answer: str) -> str:
    """The turn that answers without searching."""
    return f"<think>I can guess</think><answer>{answer}</answer>"


def lookup_turn(subject: str, relation: str) -> str:
    """The turn that searches for what a document tells of a subject. The thought before it leaves the query open."""
    arguments = {"query": f"{subject} {word_of(relation)}"}
    call = json.dumps({"name": "search", "arguments": arguments}, ensure_ascii=False)
    return f"<think>I must search</think><tool_call>\n{call}\n</tool_call>"


def reading_turn(answer: str) -> str:
    """The turn that answers what a document tells."""
    return f"<think>it reads</think><answer>{answer}</answer>"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStyle:
    """How well and how often a `BriefExpert` searches; the defaults succeed always."""

    tool_rate: float = 1.0
    """Probability of searching; otherwise it guesses at once."""
    slip_rate: float = 0.0
    """Probability, for each query, of naming a wrong subject."""
    stop_rate: float = 0.0
    """Probability, after each document but the last, of answering too early."""
    favourite_rate: float = 1.0
    """Probability that a guess is the favourite of what is asked; otherwise it is any value, all equally often."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"{field.name} must be 0 to 1; got {getattr(self, field.name)}")


class BriefExpert:
    """Looks up what the question names, then what the document told, and so on; answers what the last one tells.

    It takes from the environment's truth what the question asks for, and reads what it has found without mistakes:
    after a query for a wrong subject it goes on from the wrong document. What it writes is a function of its seed and
    the episode's state.

    Args:
        env: the environment whose questions it is asked; its knob `answers` names what they ask for.
        style: how well and how often it searches.
        seed: seeds its choices.
    """

    def __init__(self, env: MultiHopSearch, style: SearchStyle = SearchStyle(), *, seed: int = 0) -> None:
        self._env = env
        self._style = style
        self._seed = seed
        self._names = _names(env)
        self._values = {
            relation: sorted({fact.value for one in env.graph.entities.values() if (fact := one.fact(relation))})
            for relation in env.favourites
        }

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Guesses, searches or answers."""
        del observation  # the state holds it, and more
        rng = _rng(self._seed, state)
        plan = self._env.plan_of(state.question)
        done = len(state.turns)
        if not done and rng.random() >= self._style.tool_rate:
            return guess_turn(self.guess(plan.relation, rng))
        told = None if not done else self.told(state, plan.hops[done - 1].fact.relation)
        if done == len(plan.hops):
            return reading_turn(told or self._wrong(plan, rng))
        if done and (told is None or rng.random() < self._style.stop_rate):
            return reading_turn(self._wrong(plan, rng))
        subject = told or plan.hops[0].key
        if rng.random() < self._style.slip_rate:
            subject = self._mistaken(subject, state, plan, rng)
        return lookup_turn(subject, plan.hops[done].fact.relation)

    def guess(self, relation: str, rng: np.random.Generator) -> str:
        """An answer without having read anything."""
        if rng.random() < self._style.favourite_rate:
            return self._env.favourites[relation]
        return _any(self._values[relation], rng)

    def told(self, state: EpisodeState, relation: str) -> str | None:
        """What the document that the last turn found says of a relation; None if it says nothing."""
        shown = " ".join(part for part in state.turns[-1].observation if isinstance(part, str))
        found = _ID.search(shown)
        entity = self._env.graph.entities.get(found[1]) if found else None
        fact = entity.fact(relation) if entity else None
        return None if fact is None else fact.value

    def _wrong(self, plan: Plan, rng: np.random.Generator) -> str:
        """A value that is not the best guess, so that searching badly does not pay as guessing does."""
        others = [value for value in self._values[plan.relation] if value != self._env.favourites[plan.relation]]
        return _any(others, rng)

    def _mistaken(self, subject: str, state: EpisodeState, plan: Plan, rng: np.random.Generator) -> str:
        done = len(state.turns)
        if done and rng.random() < _AGAIN:
            return plan.hops[done - 1].entity.name
        names = [name for name in self._names[plan.hops[done].entity.kind, not done] if name != subject]
        return _any(names, rng)


def _names(env: MultiHopSearch) -> dict[tuple[str, bool], list[str]]:
    """What entities of a kind are searched by: as questions name them, or as documents do."""
    names: dict[tuple[str, bool], list[str]] = {}
    for entity in env.graph.entities.values():
        names.setdefault((entity.kind, True), []).append(_key(entity))
        names.setdefault((entity.kind, False), []).append(entity.name)
    return names


def _key(entity: Entity) -> str:
    return entity.mentions[0].key if entity.mentions else entity.name


def _rng(seed: int, state: EpisodeState) -> np.random.Generator:
    key = repr((seed, state.question.id, state.seed, len(state.turns)))
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))


def _any(options: list[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
