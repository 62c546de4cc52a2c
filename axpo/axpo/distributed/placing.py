"""Defines `placed`: where a policy's weights lie on several processes, whole on each (DDP) or divided (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.update import ALL_OF_IT, Sharing
from axpo.distributed.episodes import DividedSampler
from axpo.distributed.learning import DividedLearner, DividedUpdate, Passing, SharedScorer
from axpo.distributed.optimizing import DividedOptimizer, whole_tensor
from axpo.distributed.ranks import Ranks
from axpo.settings._serving import samples_elsewhere
from axpo.settings.config import TrainConfig
from axpo_agents.policy import Learner, Sampler, Scorer
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch
    from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
    from torch.nn.parallel import DistributedDataParallel


def _already() -> None:
    """The weights are whole as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A policy in its roles, wherever its weights lie."""

    sampler: Sampler
    """Samples."""
    learner: Learner
    """Learns."""
    reference: Scorer | None
    """What the KL is measured to."""
    whole: TransformersPolicy
    """The policy to be saved or looked at, once `assemble` was called."""
    assemble: Callable[[], None] = _already
    """Sees to it that `whole` has its weights as they are now; all processes must call it."""
    sharing: Sharing = ALL_OF_IT
    """Who computes what in an update."""


def placed(
    config: TrainConfig, policy: TransformersPolicy, reference: TransformersPolicy | None, ranks: Ranks
) -> Placed:
    """Places a policy and its reference; with one process they are all there is."""
    if ranks.count == 1:
        return Placed(sampler=policy, learner=policy, reference=reference, whole=policy)
    if config.ranks.strategy == "fsdp":
        return _sharded(config, policy, reference, ranks)
    learner = DividedLearner(policy, DistributedDataParallel(Passing(policy.model), forward_sync_buffers=False))
    return Placed(
        sampler=DividedSampler(policy, ranks, _already),
        learner=learner,
        reference=reference,
        whole=policy,
        sharing=DividedUpdate(learner, ranks, tokens=config.optim.micro_batch_tokens, begins=_already),
    )


def make_optimizer(config: TrainConfig, parameters: Iterable[torch.nn.Parameter], ranks: Ranks) -> Optimizer:
    """The optimizer of a run's trainable parameters."""
    keeps_weights = config.policy.lora_rank > 0
    if ranks.count == 1:
        return Optimizer(parameters, config.optim, steps=config.steps, keeps_weights=keeps_weights)
    return DividedOptimizer(parameters, config.optim, ranks, steps=config.steps, keeps_weights=keeps_weights)


def _sharded(
    config: TrainConfig, policy: TransformersPolicy, reference: TransformersPolicy | None, ranks: Ranks
) -> Placed:
    # Where others sample, the first process alone has a use for whole weights.
    whole = WholeCopy(policy, kept=ranks.is_first or not samples_elsewhere(config))
    module = _shard(policy, config, ranks)
    scorer: Scorer | None = None
    if reference is not None:
        # Without its adapters a policy is its own reference.
        shared = reference.model is policy.model
        scorer = SharedScorer(reference, module if shared else _shard(reference, config, ranks))
    learner = DividedLearner(policy, module, followers=(whole.policy,))
    return Placed(
        sampler=DividedSampler(whole.policy, ranks, whole.assemble),
        learner=learner,
        reference=scorer,
        whole=whole.policy,
        assemble=whole.assemble,
        sharing=DividedUpdate(learner, ranks, tokens=config.optim.micro_batch_tokens, begins=whole.release),
    )


class WholeCopy:
    """A policy with the weights of a divided one: gathered when they are wanted, given back before they change.

    Sampling reads all weights for every token, each process at its own pace; gathering within it could not keep step.

    Args:
        policy: the policy before it is divided.
        kept: whether what was gathered stays here; the others need this process to gather it.
    """

    def __init__(self, policy: TransformersPolicy, *, kept: bool = True) -> None:
        self.policy = policy.hollow()
        self._source = policy
        self._kept = kept
        self._is_whole = False

    def assemble(self) -> None:
        """Gathers the weights, unless they are there; all processes must call this."""
        if self._is_whole:
            return
        with torch.no_grad():
            pairs = zip(self.policy.model.parameters(), self._source.model.parameters(), strict=True)
            for own, part in pairs:
                gathered = whole_tensor(part.detach())
                if self._kept:
                    own.data = gathered.to(own.device)
        self._is_whole = True

    def release(self) -> None:
        """Gives the memory of the weights back."""
        self.policy.forget()
        for own in self.policy.model.parameters():
            own.data = own.data.new_empty(0)
        self._is_whole = False


def _shard(policy: TransformersPolicy, config: TrainConfig, ranks: Ranks) -> torch.nn.Module:
    """Divides a policy's weights: each decoder layer by itself, all the rest together.

    An image tower stays with the rest, because a process whose pass shows no image never enters it.
    """
    device = torch.device(ranks.device or "cpu").type
    mesh: DeviceMesh = init_device_mesh(device, (ranks.count,))
    offload = CPUOffloadPolicy(pin_memory=device != "cpu") if config.ranks.cpu_offload else OffloadPolicy()
    options: dict[str, Any] = {
        "mesh": mesh,
        "offload_policy": offload,
        "mp_policy": MixedPrecisionPolicy(reduce_dtype=torch.float32),
    }
    module = Passing(policy.model)
    for layer in cast("Any", policy.model).get_decoder().layers:
        fully_shard(layer, **options)
    fully_shard(module, **options)
    return module
