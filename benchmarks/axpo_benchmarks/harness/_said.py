"""Defines how agents that write text are asked: `Said`, a turn and what is known of it, and `play`, an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from axpo_agents.policy import TextAgent
from axpo_envs.env import ToolEnv
from axpo_envs.types import Episode, EpisodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A turn."""

    text: str
    """What was written."""
    cut: bool = False
    """Whether a token limit cut it."""
    written: int | None = None
    """Tokens written; None where nobody tells."""
    read: int | None = None
    """Tokens of the prompt, all that came before included."""


@runtime_checkable
class Speaker(Protocol):
    """Says turns from the state of an episode; may be asked from several threads."""

    def say(self, env: ToolEnv, state: EpisodeState, seed: int) -> Said:
        """The next turn.

        Args:
            env: the environment, for its rules and tools.
            state: the episode so far.
            seed: of the turn.
        """
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A `TextAgent` as a speaker; nothing is known of its tokens."""

    agent: TextAgent
    """Writes the turns."""

    def say(self, env: ToolEnv, state: EpisodeState, seed: int) -> Said:
        """The agent's turn."""
        del seed
        observation: dict[str, Any] = dict(env.observe(state))
        return Said(text=self.agent.act(observation, state))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An episode that a speaker played."""

    episode: Episode
    """What happened."""
    written: int | None
    """Tokens written; None where nobody tells."""
    read: int | None
    """Tokens given, each counted once."""
    reread: int | None
    """Tokens that stood before later turns and had been read or written before."""


def play(speaker: Speaker, env: ToolEnv, state: EpisodeState, *, seed: int) -> Played:
    """Plays an episode to its end.

    Raises:
        InfrastructureFault: the machinery behind a tool, the reward or the speaker failed.
    """
    said: list[Said] = []
    while state.stop is None:
        turn = speaker.say(env, state, seed + len(said))
        said.append(turn)
        state = env.advance(state, turn.text, cut_off=turn.cut).state
    told = [(one.written, one.read) for one in said]
    written = read = reread = 0
    before = 0
    for wrote, prompt in told:
        if wrote is None or prompt is None:
            return Played(episode=Episode.from_state(state), written=None, read=None, reread=None)
        written += wrote
        read += max(0, prompt - before)
        reread += min(prompt, before)
        before = prompt + wrote
    return Played(episode=Episode.from_state(state), written=written, read=read, reread=reread)
