"""Defines the parts of `axpo-bench ray`: what is done with Ray, and held to the same done without."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import ray

import axpo
from axpo import Training, train_step
from axpo.algorithm.sampling import sample_groups
from axpo.algorithm.types import Group
from axpo.cluster.on_ray import RayShelf, connected
from axpo.cluster.opening import laid_on
from axpo.cluster.rollouts import PlacedSampler, RolloutWorker
from axpo.run.callbacks import Callback, RunMoment
from axpo.run.policy_loading import load_settings
from axpo.settings.config import (
    LogConfig,
    LossConfig,
    OptimConfig,
    RayConfig,
    SamplingConfig,
    SelectionConfig,
    TrainConfig,
    WorkersConfig,
)
from axpo_agents.policy import Sampler
from axpo_agents.rolling import Lost
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_benchmarks.ray_cluster._killing import Killer, WatchedCluster
from axpo_benchmarks.ray_cluster._signs import calls_in, journaled_signs, nodes_in
from axpo_envs import ToolEnv
from axpo_envs.outposts import env_order, order, outposted
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import Question

PAUSE_S: Final = 0.1
"""How long a call waits before and after its effect: where kills are to find it."""
MOST: Final = 200
"""Steps, or rounds, after which no more kills are waited for."""

SETTINGS: Final = TrainConfig(
    steps=3,
    sampling=SamplingConfig(questions=3, group_size=4, max_turn_tokens=96, fault_retries=20, fault_wait_s=0.01),
    selection=SelectionConfig(budget=0.5, continuations=2),
    loss=LossConfig(kl=0.0),
    log=LogConfig(eval_questions=0, tensorboard=False, rollouts_every=0),
    optim=OptimConfig(lr=1e-4, minibatches=1),
)


@contextmanager
def _placed(
    address: str, env: ToolEnv, policy: TransformersPolicy
) -> Iterator[tuple[ToolEnv, PlacedSampler, WatchedCluster]]:
    """The environment and the policy by workers that may be killed."""
    config = RayConfig(address=address, calls=8)
    settings = load_settings(SETTINGS.policy, seed=SETTINGS.seed)
    with connected(config):
        cluster = WatchedCluster(config)
        turns = cluster.workforce("environments", env_order({"env": env}), WorkersConfig(workers=2), calls=8)
        ordered = order(partial(RolloutWorker, SETTINGS.model, settings, RayShelf()))
        rollouts = cluster.workforce("rollouts", ordered, WorkersConfig(workers=2))
        sampler = PlacedSampler(policy, rollouts, partial(laid_on, RayShelf()), lockstep=True, attempts=20)
        sampler.stage(policy)
        sampler.adopt()
        try:
            yield outposted(env, "env", turns), sampler, cluster
        finally:
            turns.end()
            rollouts.end()


def kills_in_training(address: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """AXPO steps with workers killed in the middle of calls: the groups of every step are those of a run without."""
    env = journaled_signs(folder / "pure", Effects.PURE, PAUSE_S)
    policy = _policy()
    began, steps, found = time.monotonic(), 0, []
    with _placed(address, env, policy) as (placed_env, sampler, cluster), Killer(cluster, kills, seed) as killer:
        training = replace(Training.of(SETTINGS, placed_env, policy), sampler=sampler)
        while not killer.done and steps < MOST:
            steps += 1
            found.append(train_step(training, steps))
    seconds = time.monotonic() - began
    alone, undisturbed = _policy(), journaled_signs(folder / "pure-alone", Effects.PURE, 0.0)
    training = Training.of(SETTINGS, undisturbed, alone)
    expected = [train_step(training, step) for step in range(1, steps + 1)]
    same = sum(_content(one.groups) == _content(other.groups) for one, other in zip(found, expected, strict=True))
    apart = _apart(policy, alone)
    lost = sum(len(one.lost_rollouts) + len(one.lost_continuations) for one in found)
    return {
        "held": killer.done and same == steps and lost == 0 and apart < 1e-3,
        "kills": dict(killer.killed),
        "steps": steps,
        "steps_with_the_same_groups": same,
        "episodes_lost": lost,
        "largest_difference_of_weights": apart,
        "seconds": round(seconds),
    }


def kills_with_effects(address: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Episodes whose tool acts on the world, workers killed: no call twice, and every episode equal, or dropped."""
    env = journaled_signs(folder / "acting", Effects.EXTERNAL, PAUSE_S)
    policy = _policy()
    began, rounds = time.monotonic(), 0
    found: list[tuple[Group, ...]] = []
    lost: list[Lost] = []
    with _placed(address, env, policy) as (placed_env, sampler, cluster), Killer(cluster, kills, seed) as killer:
        while not killer.done and rounds < MOST:
            found.append(_round(placed_env, sampler, rounds, lost))
            rounds += 1
    seconds = time.monotonic() - began
    none_lost: list[Lost] = []
    undisturbed = journaled_signs(folder / "acting-alone", Effects.EXTERNAL, 0.0)
    expected = [_round(undisturbed, policy, number, none_lost) for number in range(rounds)]
    got, wanted = _episodes(found), _episodes(expected)
    made, alone = calls_in(folder / "acting"), calls_in(folder / "acting-alone")
    doubled = sum((made - alone).values())
    same = sum(wanted.get(key) == content for key, content in got.items())
    return {
        "held": killer.done and doubled == 0 and same == len(got) == len(wanted) - len(lost),
        "kills": dict(killer.killed),
        "rounds": rounds,
        "episodes": len(wanted),
        "episodes_that_are_the_same": same,
        "episodes_dropped": len(lost),
        "calls_made": made.total(),
        "calls_made_without_kills": alone.total(),
        "calls_made_twice": doubled,
        "seconds": round(seconds),
    }


def two_nodes(address: str, folder: Path) -> dict[str, Any]:
    """`axpo.train` on a cluster: workers lie where their resources are, and the records are those without Ray."""
    by_name = {node["Resources"].get("tools", 0.0): node["NodeID"] for node in ray_nodes(address)}
    held = _Held()
    config = replace(
        SETTINGS,
        env=f"{__package__}._registered:bench/JournaledSigns-v0",
        env_args=(f"journal={folder / 'nodes'}",),
        out=str(folder / "with"),
        ray=RayConfig(
            address=address,
            rollouts=WorkersConfig(workers=1, resources=("samplers=1",)),
            environments=WorkersConfig(workers=2, resources=("tools=1",)),
        ),
    )
    with_ray = axpo.train(config, display=axpo.Silent(), callbacks=[held])
    where = nodes_in(folder / "nodes")
    without = axpo.train(replace(config, out=str(folder / "without"), ray=RayConfig()), display=axpo.Silent())
    names = [name for name in without.metrics[0] if "seconds" not in name and name != "chain"]
    apart = max(
        abs(float(one[name] or 0) - float(other[name] or 0))
        for one, other in zip(with_ray.metrics, without.metrics, strict=True)
        for name in names
        if isinstance(one[name], int | float) and isinstance(other[name], int | float)
    )
    tools_node = by_name[max(by_name)]
    placed = where == {tools_node} and held.free == {"samplers": 0.0, "tools": 0.0}
    return {
        "held": placed and apart < 1e-4,
        "nodes": len(by_name),
        "calls_on_the_node_with_tools_alone": where == {tools_node},
        "resources_left_while_training": held.free,
        "steps": len(with_ray.metrics),
        "largest_difference_of_a_metric": apart,
    }


def ray_nodes(address: str) -> list[dict[str, Any]]:
    """The nodes of a cluster."""
    with connected(RayConfig(address=address)):
        return [node for node in ray.nodes() if node["Alive"]]


class _Held(Callback):
    """Looks at what of the cluster is left while workers hold their parts of it."""

    def __init__(self) -> None:
        self.free: dict[str, float] = {}

    def after_step(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        """See `Callback`."""
        del moment, record
        left = ray.available_resources()
        self.free = {name: float(left.get(name, 0.0)) for name in ("samplers", "tools")}


def _policy() -> TransformersPolicy:
    return load_policy(SETTINGS.model, load_settings(SETTINGS.policy, seed=SETTINGS.seed))


def _round(env: ToolEnv, sampler: Sampler, number: int, lost: list[Lost]) -> tuple[Group, ...]:
    questions: list[Question] = [env.questions.question(4 * number + index) for index in range(4)]
    return sample_groups(questions, sampler, env, SETTINGS.sampling, seed=number, on_lost=lost.append)


def _episodes(rounds: list[tuple[Group, ...]]) -> dict[tuple[int, str, int], Any]:
    """Episodes by round, question and seed."""
    return {
        (number, group.question.id, rollout.snapshots[0].state.seed): _of(rollout)
        for number, groups in enumerate(rounds)
        for group in groups
        for rollout in group.rollouts
    }


def _content(groups: tuple[Group, ...]) -> list[Any]:
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rollouts += [grown for group in groups for branch in group.branches for grown in branch.continuations]
    return [_of(rollout) for rollout in rollouts]


def _of(rollout: Any) -> Any:
    turns = [(turn.ids, turn.context.ids, turn.policy_version) for turn in rollout.completions]
    return turns, rollout.reward, [snapshot.digest for snapshot in rollout.snapshots]


def _apart(one: TransformersPolicy, other: TransformersPolicy) -> float:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)
