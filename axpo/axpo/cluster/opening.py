"""Defines `opened_cluster`: the workers of a run, started in front of it and ended behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from axpo.cluster._amounts import amounts
from axpo.cluster._entrance import Entrance
from axpo.cluster._weights import Shelf, taken_from
from axpo.cluster.rollouts import PlacedSampler, RolloutWorker
from axpo.distributed.division import stretch
from axpo.distributed.ranks import Ranks
from axpo.settings._engine import engine_options, weight_form
from axpo.settings._ray import RayConfig
from axpo.settings._serving import LEARNER, VLLM, samples_elsewhere
from axpo.settings.config import ConfigError, TrainConfig
from axpo_agents.policy import Learner
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy
from axpo_envs.env import ToolEnv
from axpo_envs.outposts import Workforce, env_order, order, outposted
from axpo_envs.plumbing.extras import require_extra

if TYPE_CHECKING:
    from axpo.cluster.on_ray import RayCluster

EXTRA: Final = "ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the workers of a run are to it; without a cluster, nothing."""

    envs: Mapping[str, ToolEnv] = field(default_factory=dict)
    """The environments whose turns are taken elsewhere, by the names that they were given under."""
    sampler: PlacedSampler | None = None
    """What samples elsewhere."""
    workforces: Mapping[str, Workforce] = field(default_factory=dict)
    """The workers, by kind."""


NOWHERE: Final = Cluster()
"""No cluster."""


def check_cluster(config: TrainConfig) -> None:
    """Checks what can be known of a run's cluster before any work.

    Raises:
        ConfigError: settings that contradict each other.
        MissingExtraError: Ray is not installed.
    """
    given = config.ray
    for kind, wanted in (("rollouts", given.rollouts), ("environments", given.environments)):
        amounts(kind, wanted)
    if given.address is None:
        return
    if config.sampler not in (LEARNER, VLLM) and given.rollouts.workers:
        raise ConfigError(
            f"ray.rollouts.workers: expected 0 where {config.sampler} samples; got {given.rollouts.workers}"
        )
    require_extra(EXTRA, f"--ray {given.address}")


@contextmanager
def opened_cluster(
    config: TrainConfig, settings: LoadSettings, policy: TransformersPolicy, envs: Mapping[str, ToolEnv], ranks: Ranks
) -> Iterator[Cluster]:
    """Starts the workers of a run, and ends them behind the block.

    Where others than the processes of the run sample, all workers are the first process's; otherwise each process has
    a share of those that take turns of the environment.

    Args:
        config: the run's settings, checked.
        settings: how its model is loaded here.
        policy: what learns.
        envs: environments, by a name for each.
        ranks: the processes of the run, which must call this together.

    Raises:
        ConfigError: there is no such cluster, or it has too little of what the workers take.
        EnvConfigError: an environment cannot be sent to other processes.
        PeerFailed: either happened to another process.
        PolicyError: a worker cannot load the model.
    """
    if config.ray.address is None:
        yield NOWHERE
        return
    own = _with_share(config, ranks)
    with ExitStack() as until_done:
        found = _connected(config, ranks, until_done)

        def started() -> Cluster:
            return NOWHERE if found is None else until_done.enter_context(_started(own, settings, policy, envs, found))

        yield ranks.each(started)
        if not ranks.is_first:
            until_done.close()
        # A cluster of this machine ends with the first process's connection: not before the others have left it.
        ranks.together(lambda: None)


def _connected(config: TrainConfig, ranks: Ranks, until_done: ExitStack) -> RayCluster | None:
    """The cluster; None on a process that has no use for it. All processes must call this."""
    found: list[RayCluster] = []

    def connect(given: RayConfig) -> None:
        from axpo.cluster.on_ray import connected

        found.append(until_done.enter_context(connected(given)))

    def first() -> Entrance:
        connect(config.ray)
        return found[0].entrance()

    entrance = ranks.first(first)

    def others() -> None:
        if not ranks.is_first and not samples_elsewhere(config):
            # Ray reads its environment when it is imported.
            os.environ.update(entrance.environment)
            connect(replace(config.ray, address=entrance.address))

    ranks.each(others)
    return found[0] if found else None


def _with_share(config: TrainConfig, ranks: Ranks) -> TrainConfig:
    """The settings with as many workers of the environment as are this process's."""
    if samples_elsewhere(config):
        return config
    turns = config.ray.environments
    own = range(turns.workers)[stretch(turns.workers, number=ranks.number, count=ranks.count)]
    return replace(config, ray=replace(config.ray, environments=replace(turns, workers=len(own))))


@contextmanager
def _started(
    config: TrainConfig,
    settings: LoadSettings,
    policy: TransformersPolicy,
    envs: Mapping[str, ToolEnv],
    ray_cluster: RayCluster,
) -> Iterator[Cluster]:
    from axpo.cluster.on_ray import RayShelf

    given = config.ray
    with ExitStack() as until_done:
        workforces: dict[str, Workforce] = {}
        sampler = None
        if given.environments.workers:
            ordered = env_order(envs)
            workers = ray_cluster.workforce("environments", ordered, given.environments, calls=given.calls)
            until_done.callback(workers.end)
            workforces["environments"] = workers
            envs = {name: outposted(env, name, workers) for name, env in envs.items()}
        if given.rollouts.workers:
            ordered = _rollout_order(config, settings)
            workers = ray_cluster.workforce("rollouts", ordered, given.rollouts)
            until_done.callback(workers.end)
            workforces["rollouts"] = workers
            lay = _laying(config, RayShelf())
            sampler = PlacedSampler(policy, workers, lay, lockstep=given.lockstep, attempts=given.attempts)
            sampler.stage(policy)
            sampler.adopt()
        yield Cluster(envs=envs, sampler=sampler, workforces=workforces)


def laid_on(shelf: Shelf, learner: Learner) -> Any:
    """Lays a learner's trainable weights on a shelf; returns the key that they are taken by."""
    return shelf.put(taken_from(learner))


def _rollout_order(config: TrainConfig, settings: LoadSettings) -> bytes:
    from axpo.cluster.on_ray import RayShelf

    if config.sampler == VLLM:
        from axpo.cluster.vllm_rollouts import VllmRolloutWorker
        from axpo_agents.remote import WeightForm

        form = WeightForm(weight_form(config))
        return order(partial(VllmRolloutWorker, config.model, form, engine_options(config), RayShelf()))
    device = "cuda" if config.ray.rollouts.num_gpus else "cpu"
    return order(partial(RolloutWorker, config.model, replace(settings, device=device), RayShelf()))


def _laying(config: TrainConfig, shelf: Shelf) -> Callable[[Learner], Any]:
    """How a learner's weights are laid out for the workers that sample."""
    if config.sampler != VLLM:
        return partial(laid_on, shelf)
    from axpo.cluster.vllm_rollouts import files_laid_on
    from axpo_agents.remote import WeightForm

    return partial(files_laid_on, shelf, WeightForm(weight_form(config)))
