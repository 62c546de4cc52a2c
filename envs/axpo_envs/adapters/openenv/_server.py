"""Defines `openenv_app`: an environment of ours behind OpenEnv's server, one episode a connection."""

from __future__ import annotations

import random
import uuid
from typing import Any

from pydantic import Field

from axpo_envs.adapters.messages import data_url, function_schemas, images_of
from axpo_envs.env import ToolEnv
from axpo_envs.observation import wrap_results
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import EpisodeState, Parts

with requiring("openenv", "a server of OpenEnv"):
    from openenv.core.env_server import create_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State


class TurnAction(Action):  # type: ignore[misc]  # the library has no types
    """An assistant turn."""

    text: str = Field(description="The assistant's whole turn: thinking, calls in <tool_call>, or the answer.")


class TurnObservation(Observation):  # type: ignore[misc]
    """What is new: the question, or the results of the turn's calls; `reward` comes with the end."""

    text: str = Field(description="Text, with [image] where an image stands.")
    images: list[str] = Field(default_factory=list, description="PNG files as data: URLs, in order.")
    instructions: str = Field(default="", description="How to act and answer; with the question alone.")
    tools: list[dict[str, Any]] = Field(default_factory=list, description="The tools; with the question alone.")
    stop: str | None = Field(default=None, description="Why the episode ended.")
    truncated: bool = Field(default=False, description="A limit ended it, no answer.")


class TurnState(State):  # type: ignore[misc]
    """Where an episode stands; the reference answer is not told."""

    question: str = Field(default="", description="Id of the question.")
    digest: str = Field(default="", description="Equal digests are equal histories.")


class OpenEnvEnvironment(Environment):  # type: ignore[misc]
    """One episode at a time of an environment of ours.

    Infrastructure faults are raised: the server reports them as an error, and no observation carries a reward. The
    state before the turn stays, so the same turn may be sent again.

    Args:
        env: executes the turns; it is shared by all connections.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, env: ToolEnv) -> None:
        super().__init__()
        self._env = env
        self._episode: EpisodeState | None = None
        self._id = ""

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, index: int | None = None, **_: Any
    ) -> TurnObservation:
        """Begins an episode.

        Args:
            seed: chooses the question where `index` does not, and seeds the tools; None is random.
            episode_id: a name of the caller's.
            index: number of the question.
        """
        # The number of the question follows from the seed by itself, so that clients can name episodes by seeds.
        draw = random.Random(seed)
        size = self._env.questions.size
        chosen = draw.randrange(2**32 if size is None else size) if index is None else index
        state = self._env.begin(self._env.questions.question(chosen), seed=draw.getrandbits(62))
        self._episode, self._id = state, episode_id or str(uuid.uuid4())
        shown = _shown(self._env.opening(state))
        return TurnObservation(
            **shown, instructions=self._env.instructions, tools=function_schemas(self._env.tools), done=False
        )

    def step(self, action: TurnAction, timeout_s: float | None = None, **_: Any) -> TurnObservation:
        """Takes a turn.

        Raises:
            RuntimeError: there is no episode, or it has ended.
            InfrastructureFault, ToolFault, RewardFault: as of `ToolEnv.advance`.
        """
        del timeout_s
        if self._episode is None or self._episode.stop is not None:
            raise RuntimeError("expected reset before anything else, and after the end of an episode")
        transition = self._env.advance(self._episode, action.text)
        self._episode = state = transition.state
        if state.stop is None:
            return TurnObservation(**_shown(wrap_results(transition.observation)), done=False)
        return TurnObservation(
            text="", done=True, reward=state.reward, stop=state.stop.value, truncated=transition.truncated
        )

    @property
    def state(self) -> TurnState:
        """Where the episode stands."""
        if self._episode is None:
            return TurnState(episode_id=self._id or None, step_count=0)
        state = self._episode
        return TurnState(
            episode_id=self._id, step_count=len(state.turns), question=state.question.id, digest=state.digest
        )


def openenv_app(env: ToolEnv, *, sessions: int = 64) -> Any:
    """A FastAPI application that serves an environment over OpenEnv's protocol: `uvicorn.run(openenv_app(env))`.

    Args:
        env: one of ours; all connections share it.
        sessions: connections at a time.
    """
    return create_app(
        lambda: OpenEnvEnvironment(env),
        TurnAction,
        TurnObservation,
        env_name=env.rules.env_id,
        max_concurrent_envs=sessions,
    )


def _shown(parts: Parts) -> dict[str, Any]:
    text = "".join(part if isinstance(part, str) else "[image]" for part in parts)
    return {"text": text, "images": [data_url(image) for image in images_of(parts)]}
