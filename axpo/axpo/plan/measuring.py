"""Defines `measure_costs`: what the operations of a step cost on this machine, by a random model of a shape."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np
import torch

from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.questions import training_questions
from axpo.plan.costs import UnitCosts
from axpo.plan.workload import Workload
from axpo.run.validation import LR
from axpo.settings.config import OptimConfig, TrainConfig
from axpo_agents.policy import Prefix
from axpo_agents.transformers_policy import Packing
from axpo_agents.transformers_policy.shapes import BareModel, KnownModel
from axpo_agents.types import Sampling, TokenSequence
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef

REPEATS: Final = 3
"""How often each operation is timed, after one time that warms up."""
_GROUPS: Final = (1, 4)
"""Groups in the small and in the large form of what is timed."""
_STEPS: Final = (4, 20)
"""Tokens of the short and of the long turns that are timed."""
_FIRST_UNSEEN: Final = 10_000
"""Steps that no run makes: their questions are not in any cache."""


def measure_costs(
    config: TrainConfig,
    model: KnownModel,
    work: Workload,
    *,
    env: ToolEnv | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> UnitCosts:
    """Times sampling, passes and the optimizer, each in a small and in a large form, so that a line goes through both.

    Time is that of the process on a single CPU thread, where others on the machine do not count, else the clock's.

    Args:
        config: decides device, precision, packing and optimizer.
        model: whose shape it is; weights are random.
        work: what prompts and turns are like.
        env: asks the questions; None leaves the time that drawing them takes out.
        progress: told what is measured.
    """
    device = torch.device(config.policy.device)
    dtype = torch.bfloat16 if config.policy.dtype == "bfloat16" else torch.float32
    bare = model.bare(
        dtype=dtype,
        device=device,
        packing=Packing(config.policy.packing),
        checkpointing=config.policy.gradient_checkpointing,
    )
    bench = _Bench(model=bare, config=config, work=work, clock=clock_of(device))
    progress("sampling")
    sampled = bench.sampling()
    progress("passes")
    passed = bench.passes()
    progress("the optimizer")
    last = bench.optimizer()
    asked = 0.0 if env is None else bench.questions(env, model)
    return UnitCosts(source=f"measured here, {bench.clock.name}", question_s=asked, **{**sampled, **passed, **last})


@dataclass(frozen=True, slots=True)
class Clock:
    """How seconds are counted."""

    name: str
    """In words."""
    now: Callable[[], float]
    """Seconds since some moment."""


def clock_of(device: torch.device) -> Clock:
    """The process's own time on one CPU thread, else the time that passes, with the device's work done."""
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return Clock("process time on one thread", time.process_time)

    def waited() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return Clock("the clock's time", waited)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """A random model, and sequences as a step has them."""

    model: BareModel
    config: TrainConfig
    work: Workload
    clock: Clock

    def sampling(self) -> dict[str, float]:
        """Costs of sampling: two sizes of batches, with turns of two lengths each."""
        few, many = (self._prompts(groups, shown=False) for groups in _GROUPS)
        (few_short, few_long), (many_short, many_long) = (
            [self._sample(rows, steps) for steps in _STEPS] for rows in (few, many)
        )
        more = _STEPS[1] - _STEPS[0]
        of_few, of_many = (few_long - few_short) / more, (many_long - many_short) / more
        row = max(0.0, (of_many - of_few) / (len(many) - len(few)))
        step = max(0.0, of_few - row * len(few))
        begun = [few_short - _STEPS[0] * (step + row * len(few)), many_short - _STEPS[0] * (step + row * len(many))]
        read = max(0.0, (begun[1] - begun[0]) / (_GROUPS[1] - _GROUPS[0]) / max(self.work.prompt, 1.0))
        call = max(0.0, begun[0] - read * self.work.prompt)
        image = 0.0
        if images := self._images_of([prefix.sequence for prefix in self._prompts(_GROUPS[1])]):
            image = max(0.0, self._sample(self._prompts(_GROUPS[1]), _STEPS[0]) - many_short) / images
        return {"call_s": call, "read_s": read, "image_s": image, "step_s": step, "row_s": row}

    def questions(self, env: ToolEnv, model: KnownModel) -> float:
        """Cost of a question: it is drawn, and its prompt encoded."""
        steps = iter(range(_FIRST_UNSEEN, 10 * _FIRST_UNSEEN))

        def once() -> None:
            for question in training_questions(env.questions, seed=self.config.seed, step=next(steps), count=1):
                state = env.begin(question)
                if model.contexts is not None:
                    model.contexts.encode_prompt(env, state)

        return self._timed(once)

    def passes(self) -> dict[str, float]:
        """Costs of passes with and without gradient."""
        scorer = self.model.scorer
        groups = [self._groups(count, shown=False) for count in _GROUPS]
        shown = self._groups(_GROUPS[1])
        images = self._images_of(shown)
        tokens = [sum(each.tokens for each in scorer.plan(group, tokens=2**40)) for group in groups]
        found = {}
        for name, gradient in (("reference", False), ("train", True)):
            seconds = [self._timed(partial(self._pass, group, gradient=gradient)) for group in groups]
            token = (seconds[1] - seconds[0]) / (tokens[1] - tokens[0])
            token = token if token > 0 else seconds[1] / tokens[1]
            found[f"{name}_s"] = token
            found[f"{name}_pass_s"] = max(0.0, seconds[0] - token * tokens[0])
        image = 0.0
        if images:
            image = max(0.0, self._timed(partial(self._pass, shown, gradient=True)) - seconds[1]) / images
        return {**found, "train_image_s": image}

    def optimizer(self) -> dict[str, float]:
        """Costs of an optimizer step, and of copying all weights."""
        parameters = self.model.parameters
        given = self.config.optim
        optimizer = Optimizer(parameters, OptimConfig(lr=LR, algorithm=given.algorithm, betas=given.betas))

        def step() -> None:
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, 1e-6)
            optimizer.gradient_norm()
            optimizer.step()
            optimizer.is_finite()

        def copied() -> None:
            for parameter in parameters:
                parameter.detach().clone()

        return {"optimizer_s": self._timed(step), "weights_s": self._timed(copied)}

    def _pass(self, sequences: list[TokenSequence], *, gradient: bool) -> None:
        with torch.set_grad_enabled(gradient):
            scored = torch.cat(self.model.scorer.score(sequences, 1.0)).sum()
        if gradient:
            for parameter in self.model.parameters:
                parameter.grad = None
            torch.autograd.backward(scored)

    def _sample(self, prefixes: list[Prefix], steps: int) -> float:
        sampling = Sampling(max_turn_tokens=steps, max_episode_tokens=2**20)

        def once() -> None:
            self.model.sampler().sample(prefixes, sampling, 0)

        return self._timed(once)

    def _timed(self, action: Callable[[], Any]) -> float:
        action()
        seconds = []
        for _ in range(REPEATS):
            started = self.clock.now()
            action()
            seconds.append(self.clock.now() - started)
        return median(seconds)

    def _images_of(self, sequences: list[TokenSequence]) -> int:
        """Different images among them."""
        return len({image.digest for sequence in sequences for image in sequence.images})

    def _prompts(self, groups: int, *, shown: bool = True) -> list[Prefix]:
        size = self.work.group_size
        return [
            Prefix(sequence=self._sequence(group, None, shown=shown), seed=group * size + row)
            for group in range(groups)
            for row in range(size)
        ]

    def _groups(self, groups: int, *, shown: bool = True) -> list[TokenSequence]:
        """Rollouts of groups, as many of them with a tool's result as are expected; text in place of images if not
        shown."""
        size = self.work.group_size
        acting = round(self.work.tool_rate * size)
        return [
            self._sequence(group, row, acting=row < acting, shown=shown)
            for group in range(groups)
            for row in range(size)
        ]

    def _sequence(self, group: int, row: int | None, *, acting: bool = False, shown: bool = True) -> TokenSequence:
        """A prompt, and behind it the turns of a rollout unless its number is None."""
        work, draw = self.work, random.Random(f"{group}")
        parts = [self._context(work.prompt_tokens, work.prompt_images, draw, shown=shown)]
        flags = [False]
        own = random.Random(f"{group} {row}")
        if row is not None:
            turns = max(1, round(work.calls)) + 1 if acting else 1
            for turn in range(turns):
                if turn:
                    parts.append(self._context(work.observation_tokens, work.observation_images, own, shown=shown))
                    flags.append(False)
                parts.append((self._words(max(2, round(work.turn_tokens)), own), ()))
                flags.append(True)
        ids = tuple(token for words, _ in parts for token in words)
        sampled = tuple(flag for (words, _), flag in zip(parts, flags, strict=True) for _ in words)
        images = tuple(image for _, shown in parts for image in shown)
        return TokenSequence(ids=ids, images=images, sampled=sampled, logprobs=(0.0,) * len(ids))

    def _context(
        self, words: float, images: float, draw: random.Random, *, shown: bool
    ) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        """Text, then images or as many words, and a last word."""
        settings, count = self.model.images, round(images)
        if settings is None or not shown:
            return self._words(max(2, round(words + count * self.work.image_tokens)), draw), ()
        ids = list(self._words(max(1, round(words) - 1), draw))
        side = max(1, round(self.work.image_tokens**0.5)) * settings.patch * settings.merge
        noise = np.random.default_rng(draw.getrandbits(32))
        pictures = [ImageRef(noise.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]
        for picture in pictures:
            ids += [self.model.image_token] * settings.token_count(settings.grid(picture))
        return (*ids, *self._words(1, draw)), tuple(pictures)

    def _words(self, count: int, draw: random.Random) -> tuple[int, ...]:
        return tuple(draw.choices(self.model.words, k=count))
