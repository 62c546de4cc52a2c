"""Defines `TeamEnv`, a team as an environment of PettingZoo in which one agent acts after another."""

from __future__ import annotations

from typing import Any, Final

from gymnasium import spaces

from axpo_envs.adapters.pettingzoo._team import Team, TeamSnapshot, TeamState, result_info, transcript_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.observation import Observation
from axpo_envs.plumbing.extras import requiring
from axpo_envs.spaces import ImagesSpace, TextSpace
from axpo_envs.types import EpisodeState

with requiring("pettingzoo", "a team of PettingZoo"):
    from pettingzoo import AECEnv

KNOWN_OPTIONS: Final = ("index", "question")
"""What `reset` hands on; PettingZoo's own tests give other options, too."""


class TeamEnv(AECEnv[str, Observation, str]):  # type: ignore[misc] # PettingZoo is untyped
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

    def __init__(self, team: Team, *, render_mode: str | None = None) -> None:
        super().__init__()
        if render_mode not in (None, "ansi"):
            raise EnvConfigError(f"expected render_mode None or 'ansi'; got {render_mode!r}")
        self.team: Final = team
        self.render_mode = render_mode
        self.possible_agents = list(team.names)
        self.agents: list[str] = []
        self._env: Final = team.env.asking(team.env.questions)
        self._spaces: Final = team_spaces(team)
        self._state: TeamState | None = None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Text and images."""
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Any text."""
        return self._spaces[agent][1]

    @property
    def episode(self) -> EpisodeState:
        """The environment's part of the current moment, as text agents are given it.

        Raises:
            ResetNeeded: no episode was begun or restored yet.
        """
        return self._current().episode

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begins an episode.

        Args:
            seed: makes this and the following draws reproducible.
            options: `index` or `question`, as of `ToolEnv.reset`; others are left alone.
        """
        known = {key: value for key, value in (options or {}).items() if key in KNOWN_OPTIONS}
        self._env.reset(seed=seed, options=known)
        self._stand_at(TeamState(episode=self._env.state))

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

    def snapshot(self) -> TeamSnapshot:
        """The current moment, to return to any number of times."""
        return self.team.snapshot(self._current())

    def restore(self, snapshot: TeamSnapshot) -> None:
        """Makes a moment the current one.

        Raises:
            SnapshotError: it is of another team or environment; the current episode stays.
        """
        self._stand_at(self.team.restored(snapshot))

    def render(self) -> Any:
        """What was said so far, in render mode "ansi"."""
        return None if self.render_mode is None else transcript_of(self._current())

    def close(self) -> None:
        """Nothing is left open."""

    def _current(self) -> TeamState:
        return TeamState(episode=self._env.state) if self._state is None else self._state

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


def team_spaces(team: Team) -> dict[str, tuple[spaces.Space[Any], spaces.Space[Any]]]:
    """Observation and action space of every member."""
    return {name: (spaces.Dict({"text": TextSpace(), "images": ImagesSpace()}), TextSpace()) for name in team.names}
