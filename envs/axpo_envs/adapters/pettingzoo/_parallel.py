"""Defines `TeamParallelEnv`, a team as an environment of PettingZoo in which all agents act at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium.error import ResetNeeded

from axpo_envs.adapters.pettingzoo._basis import TeamBasis
from axpo_envs.adapters.pettingzoo._team import ANSWER, TeamSnapshot, TeamState, result_info
from axpo_envs.errors import SnapshotError
from axpo_envs.observation import Observation
from axpo_envs.plumbing.extras import requiring

with requiring("pettingzoo", "a team of PettingZoo"):
    from pettingzoo import ParallelEnv


class TeamParallelEnv(TeamBasis, ParallelEnv[str, Observation, str]):  # type: ignore[misc] # PettingZoo is untyped
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

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begins an episode; seed and options are those of `TeamEnv.reset`."""
        self._state = self._begun(seed, options)
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

    def _observations(self, state: TeamState) -> dict[str, Observation]:
        return {name: self.team.observe(state, name) for name in self.team.names}
