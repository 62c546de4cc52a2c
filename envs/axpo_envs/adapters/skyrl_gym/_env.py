"""Defines `SkyRLEnv`, an episode of ours as a `BaseTextEnv`, and `register_skyrl`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from axpo_envs.adapters.messages import content_of, image_url_part
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.observation import without_tags, wrap_results
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import EpisodeState

with requiring("skyrl", "an environment of SkyRL-gym"):
    import skyrl_gym
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

_COUNT: Iterator[int] = itertools.count()


class SkyRLEnv(BaseTextEnv):  # type: ignore[misc]  # the library has no types
    """One episode of an environment of ours.

    Infrastructure faults are raised, for a step has no way to say that there is no reward; SkyRL's generator then ends
    the batch rather than scoring the episode.

    Args:
        env_config: SkyRL's settings of the environment; not read.
        extras: the row: `index` is the question's number.
        env: executes the turns; given by `register_skyrl`.

    Raises:
        ValueError: the row has no index.
    """

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None, *, env: ToolEnv) -> None:
        del env_config
        super().__init__()
        if extras is None or "index" not in extras:
            raise ValueError(f"expected a row with an index, as skyrl_rows makes it; got {sorted(extras or ())}")
        self._env = env
        self.max_turns = env.rules.max_turns + 1
        # Rollouts of one question differ in the randomness of their tools.
        seed = int(digest_of("skyrl", int(extras["index"]), next(_COUNT))[:15], 16)
        self._state: EpisodeState = env.begin(env.questions.question(int(extras["index"])), seed=seed)

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Takes a turn; the reward comes with the end.

        Raises:
            InfrastructureFault: a tool's machinery failed; the same turn may be taken again.
            ToolFault, RewardFault: the code of a tool, or of the reward, failed.
        """
        transition = self._env.advance(self._state, action)
        self._state = state = transition.state
        self.turns = len(state.turns)
        observations = []
        if state.stop is None:
            content = content_of(wrap_results(without_tags(transition.observation)), image_url_part)
            observations = [{"role": "user", "content": content}]
        metadata = {"stop": state.stop.value if state.stop else None, "truncated": transition.truncated}
        return BaseTextEnvStepOutput(
            observations=observations, reward=transition.reward, done=state.stop is not None, metadata=metadata
        )

    def get_metrics(self) -> dict[str, Any]:
        """How often it called tools, and the terms of the reward."""
        calls = [record for turn in self._state.turns for record in turn.calls]
        terms = {term.name: term.value for term in self._state.terms}
        return {"calls": len(calls), "calls_succeeded": sum(record.succeeded for record in calls), **terms}


def register_skyrl(name: str, env: ToolEnv) -> None:
    """Registers an environment of ours, so that `skyrl_gym.make(name, extras=row)` begins one of its episodes.

    Args:
        name: the `env_class` of the rows.
        env: serves all episodes of this process. SkyRL's Ray workers are processes of their own: register there, too.
    """

    def make(env_config: Any = None, extras: Mapping[str, Any] | None = None) -> SkyRLEnv:
        return SkyRLEnv(env_config, extras, env=env)

    skyrl_gym.register(id=name, entry_point=make)
