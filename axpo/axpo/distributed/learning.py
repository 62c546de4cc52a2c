"""Defines `DividedLearner` and `DividedUpdate`: a policy that several processes train as one, and who computes what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from axpo.algorithm.batching import MiniBatch, TrainItem
from axpo.algorithm.update import Score, UpdateStats
from axpo.distributed.division import Passes, shares
from axpo.distributed.ranks import Ranks
from axpo_agents.passes import Pass
from axpo_agents.policy import Learner, Scorer
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import WHOLE, TokenSequence, Truncation
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch
    from torch.nn.parallel import DistributedDataParallel


class Passing(torch.nn.Module):
    """A model behind one forward function, whatever is computed with it: what DDP and FSDP2 are wrapped around.

    Scoring calls parts of the model (its body, its head) that know nothing of the wrapper.

    Args:
        model: the Transformers model.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, scored: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What is computed with the model, as it is."""
        return scored()


class SharedScorer(Scorer):
    """A policy that scores through the module its weights are divided by.

    Args:
        policy: scores; its model is within the module.
        module: DDP's, or FSDP2's, around a `Passing`; all processes must pass through it equally often.
    """

    def __init__(self, policy: TransformersPolicy, module: torch.nn.Module) -> None:
        self._policy = policy
        self._module = module

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """See `Scorer`."""

        def scored() -> torch.Tensor:
            found = self._policy.logprobs(sequences, temperature=temperature, truncation=truncation)
            return torch.cat(found) + self._idle(sequences)

        lengths = [sum(sequence.sampled) for sequence in sequences]
        values: torch.Tensor = scored() if self._passes_by() else self._module(scored)
        return list(torch.split(values, lengths))

    def plan(self, sequences: Sequence[TokenSequence], *, tokens: int) -> tuple[Pass, ...]:
        """See `Scorer`."""
        return self._policy.plan(sequences, tokens=tokens)

    def forget(self) -> None:
        """See `Scorer`."""
        self._policy.forget()

    def _passes_by(self) -> bool:
        """Whole weights need no wrapper where nothing is to be added up."""
        return isinstance(self._module, DistributedDataParallel) and not torch.is_grad_enabled()

    def _idle(self, sequences: Sequence[TokenSequence]) -> torch.Tensor | float:
        """Zero, with a gradient of zero for an image tower that the sequences show nothing.

        Gradients are added up tensor by tensor, so every process must have one for each.
        """
        tower = getattr(getattr(self._policy.model, "model", None), "visual", None)
        if not torch.is_grad_enabled() or tower is None or any(sequence.images for sequence in sequences):
            return 0.0
        zeros = [parameter.reshape(-1)[:1].sum() * 0.0 for parameter in tower.parameters() if parameter.requires_grad]
        return torch.stack(zeros).sum() if zeros else 0.0


class DividedLearner(SharedScorer, Learner):
    """A policy that several processes train as one.

    Args:
        policy: this process's part of it.
        module: see `SharedScorer`.
        followers: policies that sample with the same weights; told of every new version.
    """

    def __init__(
        self, policy: TransformersPolicy, module: torch.nn.Module, followers: Sequence[TransformersPolicy] = ()
    ) -> None:
        super().__init__(policy, module)
        self._followers = followers

    @property
    def module(self) -> torch.nn.Module:
        """What passes go through."""
        return self._module

    @property
    def version(self) -> int:
        """Counts the updates of the weights."""
        return self._policy.version

    def advance_version(self) -> None:
        """See `Learner`."""
        for policy in (self._policy, *self._followers):
            policy.advance_version()

    def trainable_parameters(self) -> list[torch.nn.Parameter]:
        """See `Learner`; of divided weights the parts that are here, as DTensors."""
        return self._policy.trainable_parameters()

    def reference(self) -> Scorer:
        """Not to be had: divided weights are not copied."""
        raise NotImplementedError("the reference of a divided policy is made before it is divided")

    def save(self, folder: str | Path) -> None:
        """Not to be had: what is saved is whole."""
        raise NotImplementedError("the whole policy is saved (`Placed.whole`)")


class DividedUpdate:
    """Who computes what in an update, and what came of it on all processes.

    Args:
        learner: what is trained.
        ranks: the processes.
        tokens: most tokens of a pass.
        begins: called as the passes of a mini-batch begin.
    """

    def __init__(self, learner: DividedLearner, ranks: Ranks, *, tokens: int, begins: Callable[[], None]) -> None:
        self._learner = learner
        self._ranks = ranks
        self._tokens = tokens
        self._begins = begins
        self._scored = 0

    def micro_batches(self, minibatch: MiniBatch) -> Iterator[tuple[TrainItem, ...]]:
        """The passes of this process, as many as every other one makes: those without work score one short item in
        vain. The block that one is yielded to must hold its forward and backward pass; gradients are added up over
        the processes in the last one (DDP) or in each (FSDP2)."""
        everything = self._dealt(minibatch)
        _, self._scored = everything[self._ranks.number]
        passes = self._own(minibatch, everything)
        module: Any = self._learner.module
        for items in passes[:-1]:
            if isinstance(module, DistributedDataParallel):
                with module.no_sync():
                    yield items
            else:
                yield items
        yield passes[-1]

    def scored(self, minibatch: MiniBatch, score: Score) -> Iterator[tuple[tuple[TrainItem, ...], list[list[float]]]]:
        """The items as the mini-batch has them, each scored by one process, and the rows told to all."""
        everything = self._dealt(minibatch)
        rows = [row for items in self._own(minibatch, everything) for row in score(items)]
        known: dict[int, list[float]] = {}
        for (passes, _), told in zip(everything, self._ranks.exchange(rows), strict=True):
            # What was scored in vain stands last.
            known.update(zip((id(item) for items in passes for item in items), told, strict=False))
        for items in minibatch.micro_batches:
            yield items, [known[id(item)] for item in items]

    def _dealt(self, minibatch: MiniBatch) -> tuple[tuple[Passes, int], ...]:
        """What each process computes, and how many tokens that is."""
        self._begins()
        return shares(minibatch, self._learner.plan, count=self._ranks.count, tokens=self._tokens)

    def _own(self, minibatch: MiniBatch, everything: Sequence[tuple[Passes, int]]) -> list[tuple[TrainItem, ...]]:
        """The passes of this process, with as many in vain as it takes to make as many as every other one."""
        own, _ = everything[self._ranks.number]
        missing = max(len(passes) for passes, _ in everything) - len(own)
        return [*own, *[(_in_vain(minibatch),)] * missing]

    def total(self, loss: float, stats: UpdateStats) -> tuple[float, UpdateStats]:
        """Loss and statistics of a mini-batch, added up over the processes; times stay this one's own."""
        told = self._ranks.exchange((loss, stats.totals, self._scored))
        totals = told[0][1]
        for _, other, _ in told[1:]:
            totals += other
        scored = sum(tokens for _, _, tokens in told)
        return sum(part for part, _, _ in told), replace(stats, totals=totals, scored_tokens=scored)


def _in_vain(minibatch: MiniBatch) -> TrainItem:
    """The shortest item, none of it trained."""
    items = (item for items in minibatch.micro_batches for item in items)
    shortest = min(items, key=lambda item: len(item.sequence.ids))
    return replace(shortest, trained=(False,) * len(shortest.trained))
