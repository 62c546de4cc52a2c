"""Defines `session_env`: an environment of others as a `ToolEnv`, its resets as questions, its rewards added up."""

from __future__ import annotations

from typing import Any

from axpo_envs.adapters.sessions._tool import SessionTool, digest
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.types import EpisodeState, Question, RewardTerm

INSTRUCTIONS = (
    "Act with the tool, one action at a time, until it says that the episode is over. Then give a final answer in "
    "<answer> tags; what it says does not matter."
)


class SessionQuestions:
    """The episodes that an environment of others begins, by number: what a reset shows is the question.

    Args:
        tool: resets sessions.
        size: how many episodes; they are numbered from 0.
        source: names the environment, for the fingerprint.

    Raises:
        EnvConfigError: there is none.
    """

    def __init__(self, tool: SessionTool, size: int, source: str) -> None:
        if size < 1:
            raise EnvConfigError(f"{source}: expected at least one episode; got {size}")
        self._size = size
        self._fingerprint = f"sessions:{digest_of(source, size)}"
        self._tool, self._source = tool, source
        self._known: dict[int, Question] = {}

    @property
    def fingerprint(self) -> str:
        """Hash of the environment's name and the number of episodes."""
        return self._fingerprint

    @property
    def size(self) -> int:
        """Number of episodes."""
        return self._size

    def question(self, index: int) -> Question:
        """What the reset of that number shows; `answer` is its hash, to which later resets are held.

        Raises:
            IndexError: there is no such episode.
            InfrastructureFault: the environment failed.
        """
        if not 0 <= index < self._size:
            raise IndexError(f"expected an episode from 0 to {self._size - 1}; got {index}")
        question = self._known.get(index)
        if question is None:
            parts = self._tool.first(index).parts
            question = Question(id=str(index), prompt=parts, answer=digest(parts), source=self._fingerprint)
            self._known[index] = question
        return question

    def __reduce__(self) -> tuple[Any, ...]:
        return SessionQuestions, (self._tool, self._size, self._source)


class SessionReward:
    """The sum of the rewards of an episode's actions, whatever the answer.

    Args:
        tool: name of the `SessionTool`.
    """

    def __init__(self, tool: str) -> None:
        self.tool = tool

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term, `return`."""
        del question, answer
        taken = dict(state.tool_states)[self.tool]
        return (RewardTerm(name="return", value=sum((one.reward for one in taken), 0.0)),)


def session_env(
    tool: SessionTool, *, env_id: str, episodes: int, max_actions: int = 32, instructions: str = INSTRUCTIONS
) -> ToolEnv:
    """An environment of others as one of ours.

    Args:
        tool: its actions.
        env_id: the name that snapshots carry; what a server serves under an address is told by both.
        episodes: how many it can begin.
        max_actions: turns that may act.
        instructions: how to act and end.

    Raises:
        EnvConfigError: there is no episode, or a limit is out of range.
    """
    spec = ToolEnvSpec(
        env_id=env_id,
        questions=SessionQuestions(tool, episodes, env_id),
        tools=(tool,),
        reward=SessionReward(tool.name),
        instructions=instructions,
        max_turns=max_actions,
        max_calls_per_turn=1,
    )
    return ToolEnv(spec)
