"""Defines `opened_cluster`: the workers of a run, started in front of it and ended behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from axpo.cluster._amounts import amounts
from axpo.cluster._weights import Shelf, taken_from
from axpo.cluster.rollouts import PlacedSampler, RolloutWorker
from axpo.settings._engine import engine_options, weight_form
from axpo.settings._serving import LEARNER, VLLM
from axpo.settings.config import ConfigError, TrainConfig
from axpo_agents.policy import Learner
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy
from axpo_envs.env import ToolEnv
from axpo_envs.outposts import Workforce, env_order, order, outposted
from axpo_envs.plumbing.extras import require_extra

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
    config: TrainConfig, settings: LoadSettings, policy: TransformersPolicy, envs: Mapping[str, ToolEnv]
) -> Iterator[Cluster]:
    """Starts the workers of a run, and ends them behind the block.

    Args:
        config: the run's settings, checked.
        settings: how its model is loaded here.
        policy: what learns.
        envs: environments, by a name for each.

    Raises:
        ConfigError: there is no such cluster, or it has too little of what the workers take.
        EnvConfigError: an environment cannot be sent to other processes.
        PolicyError: a worker cannot load the model.
    """
    given = config.ray
    if given.address is None:
        yield NOWHERE
        return
    from axpo.cluster.on_ray import RayShelf, connected

    with connected(given) as ray_cluster, ExitStack() as until_done:
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
