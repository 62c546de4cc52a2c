"""Defines `TeamParallelEnv`, a team as an environment of PettingZoo in which all agents act at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gymnasium import spaces
from gymnasium.error import ResetNeeded

from axpo_envs.adapters.pettingzoo._aec import KNOWN_OPTIONS, team_spaces
from axpo_envs.adapters.pettingzoo._team import ANSWER, Team, TeamSnapshot, TeamState, result_info, transcript_of
from axpo_envs.errors import EnvConfigError, SnapshotError
from axpo_envs.observation import Observation
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import EpisodeState

with requiring("pettingzoo", "a team of PettingZoo"):
    from pettingzoo import ParallelEnv


class TeamParallelEnv(ParallelEnv[str, Observation, str]):  # type: ignore[misc] # PettingZoo is untyped
    """A team whose members all act at once: what they write in a round, the others read in the next.

    Their turns are executed in the members' order, those of members who may answer last, so that what one calls in the
    round of another's answer is still executed. A member that is given no action passes.

    Args:
        team: the members and their environment.
        render_mode: "ansi", or None.

    Raises:
        EnvConfigError: the render mode is another.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - PettingZoo declares it as an instance variable
        "name": "axpo_team_v0",
        "render_modes": ["ansi"],
    }

    def __init__(self, team: Team, *, render_mode: str | None = None) -> None:
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

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begins an episode; seed and options are those of `TeamEnv.reset`."""
        known = {key: value for key, value in (options or {}).items() if key in KNOWN_OPTIONS}
        self._env.reset(seed=seed, options=known)
        self._state = TeamState(episode=self._env.state)
        self.agents = list(self.possible_agents)
        return self._observations(self._state), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, str]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """A turn of every member.

        Raises:
            ResetNeeded: the episode is over, or none has begun.
            ValueError: somebody acts who is no member.
            TypeError: an action is no text.
        """
        state = self._current()
        if state.over:
            raise ResetNeeded("the team's episode has ended; begin another")
        if unknown := sorted(set(actions) - set(self.team.names)):
            raise ValueError(f"expected actions of {', '.join(self.team.names)}; got one of {unknown[0]}")
        heard = len(state.sayings)
        for name in sorted(self.team.names, key=lambda name: ANSWER in self.team.members[name]):
            if not state.over:
                state = self.team.act(state, name, actions.get(name, ""), heard=heard)
        self._state = state
        names = list(self.team.names)
        self.agents = [] if state.over else names
        return (
            self._observations(state),
            dict.fromkeys(names, state.episode.reward),
            dict.fromkeys(names, state.over and not state.out_of_rounds),
            dict.fromkeys(names, state.out_of_rounds),
            {name: result_info(state) for name in names},
        )

    def snapshot(self) -> TeamSnapshot:
        """The current moment, to return to any number of times."""
        return self.team.snapshot(self._current())

    def restore(self, snapshot: TeamSnapshot) -> dict[str, Observation]:
        """Makes a moment the current one; returns what its members have not read yet.

        Raises:
            SnapshotError: it is of another team or environment, or within a round of members who act in turns; the
                current episode stays.
        """
        state = self.team.restored(snapshot)
        if not state.over and len(state.sayings) % len(self.team.names):
            raise SnapshotError("expected a moment between two rounds; some members have acted and others have not")
        self._state = state
        self.agents = [] if state.over else list(self.possible_agents)
        return self._observations(state)

    def render(self) -> Any:
        """What was said so far, in render mode "ansi"."""
        return None if self.render_mode is None else transcript_of(self._current())

    def close(self) -> None:
        """Nothing is left open."""

    def _current(self) -> TeamState:
        return TeamState(episode=self._env.state) if self._state is None else self._state

    def _observations(self, state: TeamState) -> dict[str, Observation]:
        return {name: self.team.observe(state, name) for name in self.team.names}
