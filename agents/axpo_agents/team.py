"""Defines `play_team`, an episode of a team of PettingZoo that text agents play together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from axpo_agents.policy import TextAgent
from axpo_envs.types import Episode

if TYPE_CHECKING:
    from axpo_envs.adapters.pettingzoo import TeamEnv


def play_team(
    team: TeamEnv, agents: Mapping[str, TextAgent], *, seed: int | None = None, options: dict[str, Any] | None = None
) -> Episode:
    """Plays an episode, each member by an agent of its own.

    Args:
        team: made by `axpo_envs.adapters.pettingzoo.team_env`.
        agents: one for every member by its name; one agent may play several.
        seed: begins a reproducible episode.
        options: as of the environment's `reset`.

    Returns:
        The finished episode; its reward is everybody's.

    Raises:
        ValueError: a member has no agent.
        InfrastructureFault: a tool's machinery failed.
    """
    if missing := [name for name in team.possible_agents if name not in agents]:
        raise ValueError(f"expected an agent for every member of the team; {', '.join(missing)} has none")
    team.reset(seed=seed, options=options)
    while team.episode.stop is None:
        name = team.agent_selection
        team.step(agents[name].act(dict(team.observe(name)), team.episode))
    return Episode.from_state(team.episode)
