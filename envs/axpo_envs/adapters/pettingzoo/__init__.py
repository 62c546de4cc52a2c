"""Teams for PettingZoo: agents that hold different tools of one environment work on one question together.

`team_env` and `TeamEnv` are PettingZoo's AEC interface, `team_parallel_env` and `TeamParallelEnv` the parallel one.
They need the extra `pettingzoo`, and are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo_envs.adapters.pettingzoo._lockers import LockerMember, make_lockers
from axpo_envs.adapters.pettingzoo._team import ANSWER, Members, Saying, Team, TeamSnapshot, TeamState
from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.adapters.pettingzoo._aec import TeamEnv
    from axpo_envs.adapters.pettingzoo._parallel import TeamParallelEnv

__all__ = [
    "ANSWER",
    "LockerMember",
    "Members",
    "Saying",
    "Team",
    "TeamEnv",
    "TeamParallelEnv",
    "TeamSnapshot",
    "TeamState",
    "make_lockers",
    "team_env",
    "team_parallel_env",
]

LOCKER_MEMBERS: Final[Members] = {"looker_0": ["image_zoom_in"], "searcher_0": ["search"], "speaker_0": [ANSWER]}
"""Who may do what in the team that is made where none is given."""


def team_env(
    env: ToolEnv | None = None,
    members: Members | None = None,
    *,
    max_rounds: int = 8,
    render_mode: str | None = None,
) -> TeamEnv:
    """A team in which one agent acts after another.

    Args:
        env: the environment they work in; by default that of `make_lockers`, with a looker, a searcher and a speaker.
        members: who may do what: names, each with the tools that it may call, and `answer` for who may answer. In the
            order in which they act.
        max_rounds: rounds of all members after which the episode is cut off and scored as having no answer.
        render_mode: "ansi" renders what was said as text.

    Raises:
        EnvConfigError: a tool is unknown or nobody's, nobody may answer, or members are missing.
        MissingExtraError: PettingZoo is not installed.
    """
    with requiring("pettingzoo", "team_env"):
        from axpo_envs.adapters.pettingzoo._aec import TeamEnv
    return TeamEnv(_team(env, members, max_rounds), render_mode=render_mode)


def team_parallel_env(
    env: ToolEnv | None = None,
    members: Members | None = None,
    *,
    max_rounds: int = 8,
    render_mode: str | None = None,
) -> TeamParallelEnv:
    """The same team, all of whose agents act at once: nobody knows what the others do in the same round.

    Arguments and errors are those of `team_env`.
    """
    with requiring("pettingzoo", "team_parallel_env"):
        from axpo_envs.adapters.pettingzoo._parallel import TeamParallelEnv
    return TeamParallelEnv(_team(env, members, max_rounds), render_mode=render_mode)


def _team(env: ToolEnv | None, members: Members | None, max_rounds: int) -> Team:
    if env is None:
        return Team(make_lockers(), LOCKER_MEMBERS if members is None else members, max_rounds=max_rounds)
    return Team(env, members if members is not None else {}, max_rounds=max_rounds)


_HOMES: Final = {
    "TeamEnv": "axpo_envs.adapters.pettingzoo._aec",
    "TeamParallelEnv": "axpo_envs.adapters.pettingzoo._parallel",
}

_find: Final = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    with requiring("pettingzoo", name):
        return _find(name)
