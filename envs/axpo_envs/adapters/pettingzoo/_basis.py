"""Defines `TeamBasis`, what both interfaces of PettingZoo to a team have in common: members, spaces, the moment."""

from __future__ import annotations

from typing import Any, Final

from gymnasium import spaces

from axpo_envs.adapters.pettingzoo._team import Team, TeamSnapshot, TeamState, transcript_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.spaces import ImagesSpace, TextSpace
from axpo_envs.types import EpisodeState

_KNOWN_OPTIONS: Final = ("index", "question")
"""What `reset` hands on; PettingZoo's own tests give other options, too."""


class TeamBasis:
    """A team and the moment that it stands at.

    Args:
        team: the members and their environment.
        render_mode: "ansi", or None.

    Raises:
        EnvConfigError: the render mode is another.
    """

    def __init__(self, team: Team, *, render_mode: str | None = None) -> None:
        super().__init__()
        if render_mode not in (None, "ansi"):
            raise EnvConfigError(f"expected render_mode None or 'ansi'; got {render_mode!r}")
        self.team: Final = team
        self.render_mode = render_mode
        self.possible_agents = list(team.names)
        self.agents: list[str] = []
        self._env: Final = team.env.asking(team.env.questions)
        self._state: TeamState | None = None
        self._observed: Final = {
            name: spaces.Dict({"text": TextSpace(), "images": ImagesSpace()}) for name in team.names
        }
        self._acted: Final = {name: TextSpace() for name in team.names}

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Text and images."""
        return self._observed[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Any text."""
        return self._acted[agent]

    @property
    def episode(self) -> EpisodeState:
        """The environment's part of the current moment, as text agents are given it.

        Raises:
            ResetNeeded: no episode was begun or restored yet.
        """
        return self._current().episode

    def snapshot(self) -> TeamSnapshot:
        """The current moment, to return to any number of times."""
        return self.team.snapshot(self._current())

    def render(self) -> Any:
        """What was said so far, in render mode "ansi"."""
        return None if self.render_mode is None else transcript_of(self._current())

    def close(self) -> None:
        """Nothing is left open."""

    def _begun(self, seed: int | None, options: dict[str, Any] | None) -> TeamState:
        """The first moment of another episode."""
        known = {key: value for key, value in (options or {}).items() if key in _KNOWN_OPTIONS}
        self._env.reset(seed=seed, options=known)
        return TeamState(episode=self._env.state)

    def _current(self) -> TeamState:
        return TeamState(episode=self._env.state) if self._state is None else self._state
