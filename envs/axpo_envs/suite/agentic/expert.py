"""Defines the scripted agents of Agentic: each question is played by an agent of its family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from axpo_envs.parsing import AnswerFormat, parse_turn
from axpo_envs.suite.agentic._families import FAMILIES
from axpo_envs.suite.agentic.env import Agentic
from axpo_envs.types import EpisodeState


class _Player(Protocol):
    def act(self, observation: dict[str, Any], state: EpisodeState) -> str: ...


class AgenticExpert:
    """Plays each question as its family's expert does: searches, zooms or computes, then answers.

    Args:
        env: the environment whose questions it is asked; rows of the user's own have no expert.
    """

    def __init__(self, env: Agentic) -> None:
        players = {name: FAMILIES[name].load(FAMILIES[name].expert)(family) for name, family in env.families.items()}
        self._players = _Players(env, players)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """What the family's expert writes, the answer in a box."""
        return self._players.act(observation, state)


class RandomFloor:
    """Answers each question at random as its family's floor does, without any tool.

    Args:
        env: the environment whose questions it is asked; rows of the user's own have no floor.
    """

    def __init__(self, env: Agentic) -> None:
        players = {name: FAMILIES[name].load(FAMILIES[name].floor)(family) for name, family in env.families.items()}
        self._players = _Players(env, players)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """What the family's floor writes, the answer in a box."""
        return self._players.act(observation, state)


class _Players:
    """Agents of several families, each shown its own questions as it knows them."""

    def __init__(self, env: Agentic, players: dict[str, _Player]) -> None:
        self._env = env
        self._players = players

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        family, question = self._env.origin_of(state.question)
        return boxed(self._players[family].act(observation, replace(state, question=question)))


def boxed(turn: str) -> str:
    r"""The turn with its answer in a box between the tags: `<answer>\boxed{...}</answer>`."""
    parsed = parse_turn(turn, answers=AnswerFormat.TAG)
    if parsed.calls or parsed.answer is None:
        return turn
    thinking = f"<think>{parsed.thinking}</think>" if parsed.thinking is not None else ""
    return f"{thinking}<answer>\\boxed{{{parsed.answer}}}</answer>"
