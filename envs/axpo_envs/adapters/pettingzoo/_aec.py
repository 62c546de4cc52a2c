"""Defines `TeamEnv`, a team as an environment of PettingZoo in which one agent acts after another."""

from __future__ import annotations

from typing import Any

from axpo_envs.adapters.pettingzoo._basis import TeamBasis
from axpo_envs.adapters.pettingzoo._team import TeamSnapshot, TeamState, result_info
from axpo_envs.observation import Observation
from axpo_envs.plumbing.extras import requiring

with requiring("pettingzoo", "a team of PettingZoo"):
    from pettingzoo import AECEnv


class TeamEnv(TeamBasis, AECEnv[str, Observation, str]):  # type: ignore[misc] # PettingZoo is untyped
    """A team whose members act in turns, and get the episode's reward all alike at its end.

    Actions are texts; observations `{"text", "images"}` hold what the member has not read yet. With a seed, episodes
    begin as those of the environment with that seed.

    Args:
        team: the members and their environment.
        render_mode: "ansi", or None.

    Raises:
        EnvConfigError: the render mode is another.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - PettingZoo declares it as an instance variable
        "name": "axpo_team_v0",
        "render_modes": ["ansi"],
        "is_parallelizable": False,
    }

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begins an episode.

        Args:
            seed: makes this and the following draws reproducible.
            options: `index` or `question`, as of `ToolEnv.reset`; others are left alone.
        """
        self._stand_at(self._begun(seed, options))

    def step(self, action: str | None) -> None:
        """The turn of the member `agent_selection`; None for one whose episode is over, as PettingZoo has it.

        Raises:
            TypeError: the action is no text.
        """
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        state = self._current()
        self._stand_at(self.team.act(state, agent, action, heard=len(state.sayings)))  # type: ignore[arg-type]

    def observe(self, agent: str) -> Observation:
        """What a member has not read yet."""
        return self.team.observe(self._current(), agent)

    def restore(self, snapshot: TeamSnapshot) -> None:
        """Makes a moment the current one.

        Raises:
            SnapshotError: it is of another team or environment; the current episode stays.
        """
        self._stand_at(self.team.restored(snapshot))

    def _stand_at(self, state: TeamState) -> None:
        """Sets everything that PettingZoo looks at, all of it a function of the state."""
        names = self.team.names
        reward = state.episode.reward
        self._state = state
        self.agents = list(names)
        self.agent_selection = names[len(state.sayings) % len(names)]
        self.rewards = dict.fromkeys(names, reward)
        self._cumulative_rewards = dict.fromkeys(names, reward)
        self.terminations = dict.fromkeys(names, state.over and not state.out_of_rounds)
        self.truncations = dict.fromkeys(names, state.out_of_rounds)
        self.infos = {name: result_info(state) for name in names}
        self._skip_agent_selection = None
