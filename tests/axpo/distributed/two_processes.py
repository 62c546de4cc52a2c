"""Runs scenarios on one process and on two, and writes what came of them: `two_processes.py FOLDER` makes results.json.

Starting a process takes longer than any scenario, so this one imports everything once, and its ranks are forks of it.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401  (before the forks, as all that follows)
import peft  # noqa: F401
import torch
import torch._dynamo

sys.path.insert(0, str(Path(__file__).parents[1]))
import toy_env
from forked_runs import TIMEOUT_S, apart, config_of, on_two, rank, went
from sampled_elsewhere import placed_runs, served_runs, without_servers
from waiting import waits

from axpo.algorithm import update as updating
from axpo.algorithm.batching import MiniBatch, TrainItem
from axpo.algorithm.update import Objective, UpdateStats, update
from axpo.distributed.joining import joined
from axpo.distributed.placing import Placed, make_optimizer, placed
from axpo.distributed.ranks import ALONE, Ranks
from axpo.run import trainer
from axpo.settings.config import LossConfig, OptimConfig, RanksConfig, TrainConfig
from axpo.settings.model import ModelConfig
from axpo_agents.tiny import save_random_tiny
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy
from axpo_agents.types import TokenSequence
from axpo_envs import EpisodeState, RewardTerm

torch.set_num_threads(1)
# Gradients: an SGD step of learning rate 1 takes them from the weights.

BATCHES = {
    "uneven groups": [(12, True), (3, True), (20, True), (9, False), (1, True)],
    "an empty rank": [(6, False)],
    "an image on one rank": [(10, True), (10, False)],
}
CASES: list[tuple[RanksConfig, str, dict[str, Any]]] = [
    (RanksConfig(strategy="ddp"), "uneven groups", {}),
    (RanksConfig(strategy="fsdp"), "an image on one rank", {}),
    (RanksConfig(strategy="fsdp", cpu_offload=True), "an empty rank", {"gradient_checkpointing": True}),
    (RanksConfig(strategy="fsdp"), "uneven groups", {"lora_rank": 4}),
    (RanksConfig(strategy="fsdp"), "uneven groups", {"dtype": "bfloat16"}),
]
"""Where weights lie, the batch, and how the policy is loaded."""


def sequence(policy: TransformersPolicy, number: int, length: int, *, picture: bool) -> TokenSequence:
    """A question's prompt and a made-up turn of so many tokens."""
    env = toy_env.ChecksumEnv(pictures=picture)
    context = policy.encode_prompt(env, env.begin(env.questions.question(0)))
    written = [40 + (7 * number + 3 * place) % 50 for place in range(length)]
    before, here = len(context.ids), range(length)
    return TokenSequence(
        ids=(*context.ids, *written),
        sampled=(False,) * before + tuple(True for _ in here),
        logprobs=(0.0,) * before + tuple(-4.0 for _ in here),
        images=context.images,
    )


def minibatch_of(policy: TransformersPolicy, lengths: Sequence[tuple[int, bool]]) -> MiniBatch:
    """One item a sequence, with different advantages, all equally weighted by token."""
    sequences = [sequence(policy, number, length, picture=picture) for number, (length, picture) in enumerate(lengths)]
    total = sum(length for length, _ in lengths)
    items = tuple(
        TrainItem(sequence=each, trained=(True,) * sum(each.sampled), advantage=1.0 - 0.7 * number, weight=1 / total)
        for number, each in enumerate(sequences)
    )
    passes = policy.plan(sequences, tokens=160)
    return MiniBatch(
        micro_batches=tuple(tuple(items[member] for member in each.members) for each in passes),
        trained_tokens=total,
        scored_tokens=sum(each.tokens for each in passes),
        sequence_tokens=sum(len(each.ids) for each in sequences),
    )


def whole(roles: Placed) -> dict[str, torch.Tensor]:
    roles.assemble()
    return {name: value.detach().float().clone() for name, value in roles.whole.model.named_parameters()}


@functools.cache
def loaded(model: str, given: ModelConfig) -> TransformersPolicy:
    settings = LoadSettings(
        dtype=given.dtype, lora_rank=given.lora_rank, gradient_checkpointing=given.gradient_checkpointing
    )
    return load_policy(model, settings)


def fresh(config: TrainConfig) -> TransformersPolicy:
    """The policy as it was loaded; adapters lie within the model, so it is loaded again."""
    if config.policy.lora_rank:
        loaded.cache_clear()
        return loaded(config.model, config.policy)
    policy = loaded(config.model, config.policy).reference()
    policy.model.requires_grad_(True)
    return policy


def stepped(config: TrainConfig, batch: str, ranks: Ranks) -> tuple[dict[str, torch.Tensor], UpdateStats]:
    policy = fresh(config)
    minibatch = minibatch_of(policy, BATCHES[batch])
    roles = placed(config, policy, policy.reference(), ranks)
    optimizer = make_optimizer(config, roles.learner.trainable_parameters(), ranks)
    before = whole(roles)
    objective = Objective(loss=config.loss, reference=roles.reference)
    stats = update(roles.learner, optimizer, [minibatch], objective, sharing=roles.sharing)
    after = whole(roles)
    return {name: before[name] - after[name] for name in before}, stats


def gradients(model: Path) -> dict[str, Any]:
    """By case: the largest difference to the gradient of one process, in units of its largest entry, and the rest."""
    found = {}
    alone: dict[str, tuple[dict[str, torch.Tensor], UpdateStats]] = {}
    with joined("cpu", timeout_s=TIMEOUT_S) as ranks:
        for given, batch, policy in CASES:
            config = TrainConfig(
                model=str(model),
                optim=OptimConfig(lr=1.0, algorithm="sgd", betas=(0.0, 0.0), max_grad_norm=1e9, micro_batch_tokens=160),
                loss=LossConfig(kl=0.1),
                policy=ModelConfig(**policy),
                ranks=given,
            )
            together, stats = stepped(config, batch, ranks)
            if not ranks.is_first:
                continue
            case = f"{batch} {' '.join(policy)}".strip()
            if case not in alone:
                alone[case] = stepped(config, batch, ALONE)
            plain, of_one = alone[case]
            largest = max(float(value.abs().max()) for value in plain.values())
            apart = max(float((together[name] - plain[name]).abs().max()) for name in plain)
            found[f"{given.strategy}, {case}"] = {
                "apart": apart / largest,
                "losses": [of_one.losses[0], stats.losses[0]],
                "norms": [of_one.gradient_norms[0], stats.gradient_norms[0]],
                "tokens": [of_one.totals.tokens, stats.totals.tokens],
            }
    return found


# Whole runs.


def resumed(folder: Path, model: Path) -> dict[str, Any]:
    """A run of 3 steps on one process, and one that makes the second of them on two."""
    straight, moved = folder / "straight", folder / "moved"
    trainer.train(config_of(model, straight, steps=3))
    trainer.train(config_of(model, moved, steps=1))
    on_two(folder, lambda: trainer.resume(moved, changes={"steps": 2, "ranks.strategy": "fsdp"}) and None)
    trainer.resume(moved, changes={"steps": 3})
    return {"straight": went(straight), "moved": went(moved), "apart": apart(straight, moved)}


# Failures, each in the second step on the second process.


class BrokenReward(toy_env.ChecksumReward):  # type: ignore[misc]
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, question: Any, answer: str | None, state: EpisodeState) -> tuple[RewardTerm, ...]:
        self.asked += rank() == 1
        if self.asked > 2:
            raise RuntimeError("the reward is broken")
        terms: tuple[RewardTerm, ...] = super().__call__(question, answer, state)
        return terms


def broken_reward(config: TrainConfig) -> None:
    toy_env.ChecksumReward = BrokenReward
    trainer.train(config)


def meddled(config: TrainConfig, meddle: Callable[[], None]) -> None:
    """Trains, with something happening where the second step's update begins on the second process."""
    plain, passes = updating.update, 0

    def update_or_not(*args: Any, **kwargs: Any) -> UpdateStats:
        nonlocal passes
        passes += rank() == 1
        if passes == 2:
            meddle()
        return plain(*args, **kwargs)

    from axpo.algorithm import step

    step.update = update_or_not
    trainer.train(config)


def broken() -> None:
    raise RuntimeError("the update is broken")


def failures(folder: Path, model: Path) -> dict[str, Any]:
    scenarios: dict[str, Callable[[TrainConfig], None]] = {
        "reward": broken_reward,
        "update": lambda config: meddled(config, broken),
        "kill": lambda config: meddled(config, lambda: os.kill(os.getpid(), signal.SIGKILL)),
        "interrupt": lambda config: meddled(config, lambda: os.kill(os.getpid(), signal.SIGINT)),
        "config": lambda config: trainer.train(replace(config, out=str(model))),
    }
    found: dict[str, Any] = {}
    for name, scenario in scenarios.items():
        out = folder / name
        config = config_of(model, out, steps=2)
        sampling = replace(config.sampling, questions=2, group_size=2, max_turn_tokens=6)
        config = replace(config, sampling=sampling, log=replace(config.log, eval_questions=0))
        ends = on_two(folder, lambda run=scenario, given=config: run(given))
        found[name] = {"ends": ends, "checkpoints": went(out)["checkpoints"] if out.exists() else []}
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    start = save_random_tiny(place / "model")
    scenarios = {
        "gradients": lambda: on_two(place, lambda: gradients(start))[0],
        "resumed": lambda: resumed(place, start),
        "failures": lambda: failures(place, start),
        "served": lambda: served_runs(place, start),
        "unserved": lambda: without_servers(place, start),
        "placed": lambda: placed_runs(place, start),
        "waits": lambda: waits(place),
    }
    asked = sys.argv[2:] or list(scenarios)
    (place / "results.json").write_text(json.dumps({name: scenarios[name]() for name in asked}))
