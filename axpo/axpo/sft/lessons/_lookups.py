"""Defines the dense lesson for brief libraries: searches that succeed, where facts were dealt out anew."""

from __future__ import annotations

from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo_envs.suite.multi_hop_search.brief_expert import lookup_turn, reading_turn
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch
from axpo_envs.suite.multi_hop_search.shuffled import ShuffledLibrary, shown
from axpo_envs.types import Question


class Lookups:
    """Teaches to write again what was read: a name of the question into a query, then one of each document.

    Facts change every few questions, so that nothing but the documents tells the answer, and every name is read and
    written, whatever split it belongs to.

    Args:
        env: the environment, whose library's names are used.
        seed: decides everything drawn.
    """

    def __init__(self, env: MultiHopSearch, *, seed: int) -> None:
        self._env = env
        self._library = ShuffledLibrary(env, seed=seed)
        self._drawn = 0

    @property
    def env(self) -> MultiHopSearch:
        """The environment shown."""
        return self._env

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations."""
        return [self._demonstration() for _ in range(count)]

    def _demonstration(self) -> Demonstration:
        plan = self._library.draw()
        self._drawn += 1
        question = Question(id=f"shuffled-{self._drawn}", prompt=(plan.text,), answer=plan.answer)
        turns = [
            DemonstratedTurn(
                stretches=(Stretch(text=lookup_turn(hop.entity.name if number else hop.key, hop.fact.relation)),),
                observation=(shown(hop.entity),),
            )
            for number, hop in enumerate(plan.hops)
        ]
        answer = DemonstratedTurn(stretches=(Stretch(text=reading_turn(plan.answer)),))
        return Demonstration(start=self._env.begin(question), turns=(*turns, answer))
