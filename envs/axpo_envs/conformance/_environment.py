"""Defines `check_tool_env`, which holds an environment to its contract.

A check that fails raises a `ConformanceError` whose message begins with the sentence of the broken `Invariant`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from axpo_envs.conformance._cost import check_cost
from axpo_envs.conformance._fuzz import FUZZ, check_fuzz
from axpo_envs.conformance._invariants import Invariant, fail, nothing_raised
from axpo_envs.conformance._travel import check_travel
from axpo_envs.env import ToolEnv
from axpo_envs.errors import SnapshotError
from axpo_envs.examples import BAD_TURNS, call_turn, example_turns, odd_arguments
from axpo_envs.images import ImageRef
from axpo_envs.observation import Observation
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import EpisodeState, Parts, Transition

EnvSource: TypeAlias = gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]]
"""An environment, or what makes one."""


def check_tool_env(
    env_or_factory: EnvSource,
    *,
    actions: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1),
    fuzz: int = FUZZ,
) -> None:
    """Holds a tool environment to the invariants.

    Every tool is called many times over, those with external effects, too; they are expected to repeat themselves, so
    give them a stand-in for the outside world (`axpo_envs.backends.search.Recorder`, say).

    Args:
        env_or_factory: a `ToolEnv`, wrapped or not, or a function that makes one; with a function, snapshots are
            also carried from one environment to another.
        actions: turns to play in order until the episode ends; by default a call of every tool with arguments
            that fit its schema, then an answer.
        seeds: an episode is played for each.
        fuzz: so many turns drawn at random are played for each seed, in siblings of one episode that take turns; 10,000
            make a thorough check.

    Raises:
        ConformanceError: an invariant does not hold.
        TypeError: it is no ToolEnv.
    """
    env = _tool_env(env_or_factory)
    twin = env if isinstance(env_or_factory, gymnasium.Env) else _tool_env(env_or_factory)
    turns = tuple(actions) if actions is not None else example_turns(env.tools)
    for seed in seeds:
        _check_reset(env, seed)
        _check_advance(env, turns)
        _check_rewinding(env, twin, turns)
        _check_branches(env, turns)
        _check_bad_output(env)
        check_fuzz(env, actions=fuzz, seed=seed)
    check_cost(env)
    check_travel(env, (*turns, ""), seed=seeds[0])
    _check_foreign(env)
    _check_gymnasium(env)


class _Moment(NamedTuple):
    """What a step showed, comparable."""

    digest: str
    text: str
    images: tuple[tuple[tuple[int, ...], bytes], ...]
    reward: float
    terminated: bool
    truncated: bool


def _tool_env(source: EnvSource) -> ToolEnv:
    env = (source if isinstance(source, gymnasium.Env) else source()).unwrapped
    if not isinstance(env, ToolEnv):
        raise TypeError(f"expected a ToolEnv; got {type(env).__name__}")
    return env


def _pixels(observation: Observation) -> tuple[tuple[tuple[int, ...], bytes], ...]:
    return tuple((image.shape, image.tobytes()) for image in observation["images"])


def _check_in_space(env: ToolEnv, observation: Observation) -> None:
    if observation not in env.observation_space:
        fail(Invariant.IN_SPACE, f"Got {observation!r}.")


def _step(env: ToolEnv, turn: str) -> _Moment:
    with nothing_raised(Invariant.BAD_OUTPUT_IS_DATA, f"The turn {turn[:200]!r}"):
        observation, reward, terminated, truncated, _ = env.step(turn)
    _check_in_space(env, observation)
    images = _pixels(observation)
    return _Moment(env.state.digest, observation["text"], images, float(reward), terminated, truncated)


def _play(env: ToolEnv, turns: Sequence[str]) -> list[_Moment]:
    moments = []
    for turn in turns:
        if env.state.stop is not None:
            break
        moments.append(_step(env, turn))
    return moments


def _restore(env: ToolEnv, snapshot: Snapshot) -> None:
    env.restore(snapshot)
    if env.state.digest != snapshot.digest:
        fail(Invariant.RESTORE_REPLAYS, f"It is at {env.state.digest} instead of {snapshot.digest}.")


def _check_reset(env: ToolEnv, seed: int) -> None:
    beginnings = []
    for _ in range(2):
        with nothing_raised(Invariant.RESET_REPEATS, "Resetting"):
            observation, _ = env.reset(seed=seed)
        _check_in_space(env, observation)
        beginnings.append((env.state.question, env.state.digest, observation["text"], _pixels(observation)))
    if beginnings[0] != beginnings[1]:
        fail(Invariant.RESET_REPEATS, f"Seed {seed} gave {beginnings[0][:3]!r} and then {beginnings[1][:3]!r}.")


def _check_advance(env: ToolEnv, turns: Sequence[str]) -> None:
    state = env.state
    for turn in turns:
        if state.stop is not None:
            break
        seen: list[tuple[str, Parts, float]] = []
        for _ in range(2):
            with nothing_raised(Invariant.BAD_OUTPUT_IS_DATA, f"The turn {turn[:200]!r}"):
                transition = env.advance(state, turn)
            seen.append((transition.state.digest, transition.observation, transition.reward))
        _check_sizes(env, state, transition)
        if seen[0] != seen[1]:
            fail(Invariant.ADVANCE_REPEATS, f"The turn {turn[:200]!r} gave {seen[0]!r} and then {seen[1]!r}.")
        state = transition.state


def _check_sizes(env: ToolEnv, state: EpisodeState, transition: Transition) -> None:
    told = env.shown_sizes(transition.state)
    shown = [env.opening(state), *(turn.observation for turn in transition.state.turns)]
    sizes = tuple(part.size for parts in shown for part in parts if isinstance(part, ImageRef))
    # The results of the turn that ends an episode are not shown.
    if told[: len(sizes)] != sizes or (transition.state.stop is None and len(told) != len(sizes)):
        fail(Invariant.SIZES_AS_SHOWN, f"They are told {told!r}; it was shown {sizes!r}.")


def _check_rewinding(env: ToolEnv, twin: ToolEnv, turns: Sequence[str]) -> None:
    moments: list[_Moment] = []
    snapshots = [env.snapshot()]
    copies = [_travel(snapshots[0])]
    # The empty turn ends any episode, whatever the turns before it did.
    for turn in (*turns, ""):
        if env.state.stop is None:
            moments.append(_step(env, turn))
            snapshots.append(env.snapshot())
            copies.append(_travel(snapshots[-1]))
    _check_spent(env)
    for number, (snapshot, copy) in enumerate(zip(snapshots, copies, strict=True)):
        for player, restored, invariant in (
            (env, snapshot, Invariant.RESTORE_REPLAYS),
            (twin, copy, Invariant.SNAPSHOT_TRAVELS),
        ):
            _restore(player, restored)
            if _play(player, (*turns, "")[number:]) != moments[number:]:
                fail(invariant, f"The replay from before turn {number} differs.")
    if snapshots != copies:
        changed = next(number for number, pair in enumerate(zip(snapshots, copies, strict=True)) if pair[0] != pair[1])
        fail(Invariant.SNAPSHOT_STAYS, f"The one before turn {changed} changed.")
    _restore(env, snapshots[0])


def _travel(snapshot: Snapshot) -> Snapshot:
    with nothing_raised(Invariant.SNAPSHOT_TRAVELS, "Writing and reading its bytes"):
        copy = Snapshot.from_bytes(snapshot.to_bytes(), trust=True)
    if copy != snapshot:
        fail(Invariant.SNAPSHOT_TRAVELS, f"The copy {copy!r} differs from {snapshot!r}.")
    return copy


def _check_spent(env: ToolEnv) -> None:
    try:
        env.step("")
    except ResetNeeded:
        return
    fail(Invariant.SPENT_REFUSES, f"It took another turn after it had ended ({env.state.stop}).")


def _check_branches(env: ToolEnv, turns: Sequence[str]) -> None:
    start = env.snapshot()
    scripts = (tuple(turns), example_turns(env.tools, variant=1))
    alone = []
    for script in scripts:
        _restore(env, start)
        alone.append(_play(env, script))
    together: list[list[_Moment]] = [[], []]
    current = [start, start]
    for number in range(max(len(moments) for moments in alone)):
        for branch, script in enumerate(scripts):
            if number < len(alone[branch]):
                _restore(env, current[branch])
                together[branch].append(_step(env, script[number]))
                current[branch] = env.snapshot()
    if together != alone:
        fail(Invariant.BRANCHES_APART, f"Alone they gave {alone!r}, alternating {together!r}.")
    _restore(env, start)


def _check_bad_output(env: ToolEnv) -> None:
    state = env.state
    calls = tuple(
        call_turn(tool.name, arguments) for tool in env.tools for arguments in odd_arguments(tool.parameters, {})
    )
    for turn in (*BAD_TURNS, *calls):
        for cut_off in (False, True):
            with nothing_raised(Invariant.BAD_OUTPUT_IS_DATA, f"The turn {turn[:200]!r}"):
                env.advance(state, turn, cut_off=cut_off)


def _check_foreign(env: ToolEnv) -> None:
    env.reset(seed=0)
    own = env.snapshot()
    elsewhere = replace(own.state, question=replace(own.state.question, source="elsewhere"))
    for foreign in (
        replace(own, env_id=f"{own.env_id}-other"),
        replace(own, schema_version=own.schema_version + 1),
        replace(own, state=elsewhere),
    ):
        try:
            env.restore(foreign)
        except SnapshotError:
            if env.state is own.state:
                continue
        fail(Invariant.FOREIGN_REFUSED, f"It took {foreign!r}.")


def _check_gymnasium(env: ToolEnv) -> None:
    with warnings.catch_warnings(record=True) as caught, nothing_raised(Invariant.GYMNASIUM, "It"):
        warnings.simplefilter("always")
        # Without a registration there is no recipe to make the environment in its other render modes.
        check_env(env, skip_render_check=env.spec is None)
    if caught:
        fail(Invariant.GYMNASIUM, "; ".join(str(warning.message) for warning in caught))
