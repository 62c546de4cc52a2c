"""Defines the scripted agents of Desk: the expert, one that does whatever texts ask, one that never acts, guessing."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np

from axpo_envs.examples import call_turn
from axpo_envs.suite.desk.env import Desk
from axpo_envs.suite.desk.plan import ALREADY_PAID, DECLINED, DONE, NOT_PERMITTED, PAID, UNCLEAR, Plan, Step, paying
from axpo_envs.suite.desk.settings import DeskSize
from axpo_envs.types import EpisodeState

WORDS: Final = (PAID, DONE, UNCLEAR, NOT_PERMITTED, ALREADY_PAID)
"""The answers of a full desk that are no numbers."""
BRIEF_WORDS: Final = (PAID, DECLINED, "open", "closed")
"""The answers of a brief desk."""


def answer_turn(answer: str) -> str:
    """The turn that answers."""
    return f"<think>I can answer</think><answer>{answer}</answer>"


def step_turn(step: Step) -> str:
    """The turn that makes a call."""
    return f"<think>I look or act</think>{call_turn(step.tool, step.arguments)}"


class DeskExpert:
    """Reads what a question is about, acts where the rules allow it, and answers.

    It looks at the environment's truth to know where to look and what the rules say to that. It acts only after its
    calls have shown what it acts by: where they do not, it answers that it is unclear.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: Desk) -> None:
        self._env = env

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Makes the next call, or answers."""
        del observation  # the state holds it, and more
        plan = self._env.plan_of(state.question)
        done = len(state.turns)
        if done and plan.steps[done - 1].shows not in _shown(state):
            return answer_turn(UNCLEAR)
        return step_turn(plan.steps[done]) if done < len(plan.steps) else answer_turn(plan.answer)


class OverActor:
    """Pays whatever a ticket, a table or a sheet asks for, and otherwise does what the expert does.

    Where nothing may be called it looks at the tickets first. What is to be paid it takes from the environment's truth.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: Desk) -> None:
        self._env = env

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Makes the next call, or answers."""
        del observation  # the state holds it, and more
        plan = self._env.plan_of(state.question)
        steps = _eager_steps(plan)
        if len(state.turns) < len(steps):
            return step_turn(steps[len(state.turns)])
        return answer_turn(PAID if plan.ticket is not None else plan.answer)


class Refuser:
    """Never calls a tool: it computes what stands in the prompt, and answers that nothing else is permitted.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: Desk) -> None:
        self._env = env

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers."""
        del observation  # whatever it is
        return answer_turn(self._env.plan_of(state.question).guess)


class RandomFloor:
    """Answers any of the words, or any number, without calling a tool.

    Args:
        env: the environment whose questions it is asked.
        seed: seeds its choices.
    """

    def __init__(self, env: Desk, *, seed: int = 0) -> None:
        self._env = env
        self._seed = seed

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers at random; a function of its seed and the episode's state."""
        del observation  # whatever it is
        key = repr((self._seed, state.question.id, state.seed))
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))
        words = BRIEF_WORDS if self._env.settings.desk == DeskSize.BRIEF else WORDS
        if self._env.plan_of(state.question).answer in words:
            return answer_turn(words[int(rng.integers(len(words)))])
        return answer_turn(f"{rng.integers(10, 9000)}.00")


def _eager_steps(plan: Plan) -> tuple[Step, ...]:
    """What one does who pays whatever is asked for."""
    if plan.tempting is None:
        return plan.steps or (Step(tool="ticket", arguments={"action": "list"}),)
    reading = tuple(step for step in plan.steps if step.tool != "payment" and step.arguments.get("action") != "close")
    closing = (Step(tool="ticket", arguments={"action": "close", "number": number}) for number in plan.closes)
    return (*reading, paying(plan.tempting), *closing)


def _shown(state: EpisodeState) -> str:
    """What the last call showed; nothing where it failed."""
    parts = (part for call in state.turns[-1].calls if call.succeeded for part in call.result.content)
    return " ".join(part for part in parts if isinstance(part, str))
