"""Defines `EpisodeVector`, N episodes of one environment behind Gymnasium's `VectorEnv`, and `episode_vector`.

The episodes share tools, questions and caches; what keeps one of them waiting (a server, a sandbox, a sleep) keeps none
of the others, because slow steps run side by side in threads. Nothing is pickled and no process is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from axpo_envs.engine.crew import Crew
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.observation import Observation, to_observation
from axpo_envs.snapshot import Snapshot

__all__ = ["AutoresetMode", "EpisodeVector", "episode_vector"]

Flags: TypeAlias = npt.NDArray[np.bool_]
Observations: TypeAlias = dict[str, Any]
Info: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """What a step or a reset of one episode gave."""

    observation: Observation
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: Info
    final: tuple[Observation, Info] | None = None
    """Observation and info of the end, where the next episode has begun in the same step."""

    @property
    def over(self) -> bool:
        return self.terminated or self.truncated


class EpisodeVector(VectorEnv[Observations, Sequence[str], npt.NDArray[Any]]):
    """N episodes of one environment, stepped concurrently.

    Observations are `{"text": N texts, "images": N tuples of images}`, actions N texts. Episode i of a vector that is
    reset with a seed s is the episode of the environment alone with the seed s + i. An infrastructure fault ends
    the episode that it strikes, and no other: `truncated` with a reward of NaN and the fault in `info["fault"]`.

    Args:
        env: the environment; its own current episode is left alone.
        num_envs: N, the episodes at a time.
        autoreset_mode: what happens after an episode's end: `NEXT_STEP` begins another instead of the next step,
            `SAME_STEP` at once (the end stands in `info["final_obs"]` and `info["final_info"]`), and `DISABLED` leaves
            it to `reset(options={"reset_mask": ...})`.

    Raises:
        EnvConfigError: `num_envs` is below 1.
    """

    def __init__(
        self, env: ToolEnv, num_envs: int, *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    ) -> None:
        if num_envs < 1:
            raise EnvConfigError(f"num_envs: expected at least 1 episode; got {num_envs}")
        self.num_envs = num_envs
        self.autoreset_mode: Final = AutoresetMode(autoreset_mode)
        self.metadata = {**env.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = env.render_mode
        self.spec = env.spec
        self.single_action_space: Any = env.action_space
        self.single_observation_space: Any = env.observation_space
        self.action_space: Any = batch_space(self.single_action_space, num_envs)
        self.observation_space: Any = batch_space(self.single_observation_space, num_envs)
        # Copies that share everything but their current episode.
        self.envs: Final = tuple(env.asking(env.questions) for _ in range(num_envs))
        """An environment for every episode."""
        for one in self.envs:
            one.truncates_faults = True
        self._observed: list[Observation] = [to_observation(())] * num_envs
        self._over: Flags = np.zeros(num_envs, np.bool_)
        self._crew = Crew()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Info | None = None
    ) -> tuple[Observations, Info]:
        """Begins every episode, or those that `options["reset_mask"]` names, bool of shape (N,).

        Args:
            seed: s for the seeds s, s + 1, ..., or one for each episode; None goes on drawing.
            options: as of the environment's `reset`, for every episode.

        Raises:
            ValueError, TypeError: there is not one seed for each episode, or the mask is none.
        """
        seeds = [seed + number if isinstance(seed, int) else None for number in range(self.num_envs)]
        if seed is not None and not isinstance(seed, int):
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds; got {len(seeds)}")
        rest = dict(options or {})
        chosen = np.flatnonzero(_checked_mask(rest.pop("reset_mask", np.ones(self.num_envs, np.bool_)), self.num_envs))

        def begin(number: int) -> _Moment:
            observation, info = self.envs[number].reset(seed=seeds[number], options=rest)
            return _Moment(observation=observation, info=info)

        moments = self._crew.map(begin, chosen.tolist())
        self._over[chosen] = False
        infos = self._taken_in(dict(zip(chosen.tolist(), moments, strict=True)))
        return self._observation(), infos

    def step(
        self, actions: Sequence[str]
    ) -> tuple[Observations, npt.NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Takes a turn in every episode.

        Raises:
            ValueError: there is not one action for each episode.
            ResetNeeded: an episode has ended, and nothing resets it by itself.
        """
        turns = list(iterate(self.action_space, actions))
        if len(turns) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions; got {len(turns)}")
        moments = self._crew.map(lambda number: self._advanced(number, turns[number]), range(self.num_envs))
        infos = self._taken_in(dict(enumerate(moments)))
        terminated = np.array([moment.terminated for moment in moments], np.bool_)
        truncated = np.array([moment.truncated for moment in moments], np.bool_)
        self._over = terminated | truncated
        return self._observation(), np.array([moment.reward for moment in moments]), terminated, truncated, infos

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The current moment of every episode; nothing is copied.

        Raises:
            ResetNeeded: an episode has not begun.
        """
        return tuple(env.snapshot() for env in self.envs)

    def restore(self, snapshots: Sequence[Snapshot] | Mapping[int, Snapshot]) -> Observations:
        """Makes moments the current ones, any of them any number of times; returns what is seen there.

        Args:
            snapshots: one for each episode, or for some of them by number. They may come from any episode of this
                vector, from the environment alone, or from another process.

        Raises:
            SnapshotError: one is of another environment; every episode stays as it was.
            ValueError: there is not one for each episode.
            IndexError: there is no episode of such a number.
        """
        if not isinstance(snapshots, Mapping):
            if len(snapshots) != self.num_envs:
                raise ValueError(f"expected {self.num_envs} snapshots; got {len(snapshots)}")
            snapshots = dict(enumerate(snapshots))
        for number, snapshot in snapshots.items():
            if not 0 <= number < self.num_envs:
                raise IndexError(f"expected the number of an episode from 0 to {self.num_envs - 1}; got {number}")
            self.envs[number].check(snapshot)
        for number, snapshot in snapshots.items():
            env = self.envs[number]
            env.restore(snapshot)
            self._observed[number] = env.observe(env.state)
            self._over[number] = snapshot.state.stop is not None
        return self._observation()

    def render(self) -> tuple[Any, ...]:
        """What every episode's `render` gives."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of every episode's environment, or reads an attribute."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(one(*args, **kwargs) if callable(one) else one for one in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every episode's environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of every episode's environment: a list or tuple has a value for each, else all get it."""
        each = list(values) if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} values of {name!r}; got {len(each)}")
        for env, value in zip(self.envs, each, strict=True):
            env.set_wrapper_attr(name, value)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads; the environment itself stays open, for others may use it."""
        del kwargs
        self._crew.__exit__(None, None, None)

    def _advanced(self, number: int, turn: str) -> _Moment:
        env = self.envs[number]
        if self._over[number] and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            observation, info = env.reset()
            return _Moment(observation=observation, info=info)
        observation, reward, terminated, truncated, info = env.step(turn)
        over = terminated or truncated
        final = None
        if over and self.autoreset_mode is AutoresetMode.SAME_STEP:
            final = observation, info
            observation, info = env.reset()
        return _Moment(
            observation=observation,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            info=info,
            final=final,
        )

    def _taken_in(self, moments: Mapping[int, _Moment]) -> Info:
        """Keeps what was observed, and puts the infos together as Gymnasium's vectors do."""
        infos: Info = {}
        for number, moment in moments.items():
            self._observed[number] = moment.observation
            if moment.final is not None:
                ended = {"final_obs": moment.final[0], "final_info": moment.final[1]}
                infos = self._add_info(infos, ended, number)
            infos = self._add_info(infos, moment.info, number)
        return infos

    def _observation(self) -> Observations:
        empty: Any = create_empty_array(self.single_observation_space, n=self.num_envs)
        whole: Any = concatenate(self.single_observation_space, self._observed, empty)
        return cast("Observations", deepcopy(whole))


def episode_vector(
    env_id: str, num_envs: int, *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **settings: Any
) -> EpisodeVector:
    """Makes an environment and a vector of its episodes.

    Args:
        env_id: Gymnasium id, such as `axpo/VisualZoom-v0`.
        num_envs: episodes at a time.
        autoreset_mode: see `EpisodeVector`.
        settings: keyword arguments of the environment.

    Raises:
        TypeError: it is no ToolEnv.
        EnvConfigError: a setting is unusable.
    """
    env = gymnasium.make(env_id, **settings).unwrapped
    if not isinstance(env, ToolEnv):
        raise TypeError(f"expected a ToolEnv; got {type(env).__name__}")
    return EpisodeVector(env, num_envs, autoreset_mode=autoreset_mode)


def _checked_mask(mask: Any, size: int) -> Flags:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (size,):
        raise TypeError(f"options['reset_mask']: expected a bool array of shape ({size},); got {mask!r}")
    if not mask.any():
        raise ValueError("options['reset_mask']: expected at least one episode to reset; got none")
    return mask
