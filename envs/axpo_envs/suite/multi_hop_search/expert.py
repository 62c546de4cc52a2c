"""Defines the scripted agents of MultiHopSearch: the expert, an expert that stops early, one query, and guessing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from axpo_envs.suite.multi_hop_search._corpus import Style, stated
from axpo_envs.suite.multi_hop_search._graph import Kind
from axpo_envs.suite.multi_hop_search._plan import Hop
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch
from axpo_envs.types import CallRecord, EpisodeState

MOST_HITS: Final = 10
"""Hits that an agent may ask for."""

_HINTS: Final = {
    Kind.COUNTRY: "country",
    Kind.CITY: "city town inhabitants",
    Kind.AIRPORT: "airport",
    Kind.ELEMENT: "chemical element symbol discovered",
    Kind.GROUP: "column of elements",
    Kind.PERIOD: "row of elements",
}


def search_turn(query: str, *, top_k: int | None = None) -> str:
    """The turn that searches."""
    arguments: dict[str, Any] = {"query": query} if top_k is None else {"query": query, "top_k": top_k}
    return _call_turn(f"I look for {query}", "search", arguments)


def open_turn(document: str) -> str:
    """The turn that opens a document."""
    return _call_turn("I read on", "open", {"id": document})


def answer_turn(answer: str) -> str:
    """The turn that answers."""
    return f"<think>I can answer</think><answer>{answer}</answer>"


class HopExpert:
    """Searches for what it knows, reads what to look for next, and answers from what it has been shown.

    It looks at the environment's truth to know which sentence matters; what no observation has shown it, it neither
    searches for nor answers. A sentence that it cannot find makes it guess the most frequent answer of its sort.

    Args:
        env: the environment whose questions it is asked.
        short: how many of a question's last documents it leaves unread.
    """

    def __init__(self, env: MultiHopSearch, *, short: int = 0) -> None:
        self._env = env
        self._short = short
        self._guesses = _Guesses(env)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Searches for the first document that it has not read, opens it where the extract is too short, or answers."""
        del observation  # the state holds it, and more
        plan = self._env.plan_of(state.question)
        calls = [call for turn in state.turns for call in turn.calls]
        shown = " ".join(_shown(call) for call in calls)
        for hop in plan.hops[: len(plan.hops) - self._short]:
            if self._sentence(hop) not in shown:
                turn = self._towards(hop, calls) if len(state.turns) < self._env.settings.max_turns else None
                return answer_turn(self._guesses.likely(plan.relation)) if turn is None else turn
        known = all(self._sentence(hop) in shown for hop in plan.hops)
        return answer_turn(plan.answer if known else self._guesses.likely(plan.relation))

    def _towards(self, hop: Hop, calls: Sequence[CallRecord]) -> str | None:
        """The next call that may show a document; None where all were made."""
        made = {call.call.arguments for call in calls}
        opening = json.dumps({"id": hop.entity.id})
        listed = any(f"(id: {hop.entity.id})" in _shown(call) for call in calls if call.call.name == "search")
        if listed and opening not in made and len(self._env.tools) > 1:
            return open_turn(hop.entity.id)
        hinted = f"{hop.key} {_HINTS[hop.entity.kind]}"
        for query, top_k in ((hop.key, None), (hinted, None), (hinted, MOST_HITS), (hop.key, MOST_HITS)):
            turn = search_turn(query, top_k=top_k)
            if not any(arguments in turn for arguments in made):
                return turn
        return None

    def _sentence(self, hop: Hop) -> str:
        return stated(hop.entity, hop.fact, Style(self._env.settings.documents))


class SingleQueryReader:
    """Searches once, with the whole question, and reads all of the ten best documents to their ends.

    It reads without mistakes: it answers rightly if the last facts that the answer rests on stand in what it found,
    and otherwise guesses the most frequent answer of its sort.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: MultiHopSearch) -> None:
        self._env = env
        self._guesses = _Guesses(env)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Searches, then answers."""
        del observation  # the state holds it, and more
        if not state.turns:
            return search_turn(state.question.text, top_k=MOST_HITS)
        plan = self._env.plan_of(state.question)
        found = " ".join(_shown(call) for turn in state.turns for call in turn.calls)
        needed = [hop for hop in plan.hops if not hop.fact.targets] or [plan.hops[-1]]
        if all(f"(id: {hop.entity.id})" in found for hop in needed):
            return answer_turn(plan.answer)
        return answer_turn(self._guesses.likely(plan.relation))


class RandomFloor:
    """Answers what some document states of the asked sort, any of them equally often, without searching.

    Args:
        env: the environment whose questions it is asked.
        seed: seeds its choices.
    """

    def __init__(self, env: MultiHopSearch, *, seed: int = 0) -> None:
        self._env = env
        self._seed = seed
        self._guesses = _Guesses(env)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers at random; a function of its seed and the episode's state."""
        del observation  # whatever it is
        key = repr((self._seed, state.question.id, state.seed))
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))
        return answer_turn(self._guesses.random(self._env.plan_of(state.question).relation, rng))


class _Guesses:
    """What may be guessed of a relation without having read anything of the question's entities."""

    def __init__(self, env: MultiHopSearch) -> None:
        self._env = env

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        graph = self._env.graph
        values: dict[str, list[str]] = {}
        for entity in graph.entities.values():
            for fact in entity.facts:
                value = graph.entities[fact.targets[0]].name if len(fact.targets) == 1 else fact.value
                values.setdefault(fact.relation, []).append(value)
        return values

    def likely(self, relation: str) -> str:
        """The most frequent value."""
        return Counter(self._values[relation.removeprefix("difference of ")]).most_common(1)[0][0]

    def random(self, relation: str, rng: np.random.Generator) -> str:
        """Any value of an entity, all entities equally often; of two for a difference."""
        values = self._values[relation.removeprefix("difference of ")]
        one, other = (values[int(rng.integers(len(values)))] for _ in range(2))
        return str(abs(int(one) - int(other))) if relation.startswith("difference of ") else one


def _shown(call: CallRecord) -> str:
    """What a call showed, on one line; nothing where it failed."""
    parts = call.result.content if call.succeeded else ()
    return " ".join(" ".join(part for part in parts if isinstance(part, str)).split())


def _call_turn(thought: str, name: str, arguments: dict[str, Any]) -> str:
    call = json.dumps({"name": name, "arguments": arguments})
    return f"<think>{thought}</think><tool_call>\n{call}\n</tool_call>"
