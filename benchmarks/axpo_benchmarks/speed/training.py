"""Measures training passes, padded rows / packed trees: forward and backward time, and the memory they allocate."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch.profiler import ProfilerActivity, profile

from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy
from axpo_agents.types import TokenSequence
from axpo_benchmarks.speed.models import save_text_model
from axpo_benchmarks.speed.pairs import measure_pairs
from axpo_benchmarks.speed.rows import Absolute, Ratio, Row

ROLLOUTS: Final = 8
"""Rollouts of a group (N)."""
SOURCES: Final = 2
"""How many of them grow continuations, from the middle of their responses."""
CONTINUATIONS: Final = 4
"""Continuations of each (K)."""
_TIME_SHARE: Final = 0.9
_MEMORY_SHARE: Final = 0.8
_EVERYTHING: Final = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of a group."""

    prompt: int
    """Tokens of the prompt (P)."""
    response: int
    """Tokens of each response (R)."""
    branched: bool
    """Whether it has continuations."""

    @property
    def name(self) -> str:
        """P / R as rows name it."""
        grown = f" + {SOURCES} x {CONTINUATIONS}" if self.branched else ""
        return f"{self.prompt}/{self.response}{grown}"


SHAPES: Final = tuple(
    Shape(prompt=prompt, response=response, branched=branched)
    for prompt, response in ((256, 64), (1024, 128), (256, 256), (256, 512))
    for branched in (False, True)
)


def measure(shapes: tuple[Shape, ...] = SHAPES, *, repeats: int = 3) -> list[Row]:
    """One group per shape, scored with gradients by a small Qwen3 (see `save_text_model`)."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(save_text_model(Path(folder) / "model"))
        rows, tree = (load_policy(model, LoadSettings(packing=packing)) for packing in ("rows", "tree"))
    return [row for shape in shapes for row in _measure_shape(shape, rows, tree, repeats)]


def _measure_shape(shape: Shape, rows: TransformersPolicy, tree: TransformersPolicy, repeats: int) -> Iterator[Row]:
    sequences = make_group(shape)
    # The last token of a sequence is predicted, never read.
    padded = len(sequences) * (max(len(sequence.ids) for sequence in sequences) - 1)
    (packed,) = tree.plan(sequences, tokens=_EVERYTHING)
    rho = padded / packed.tokens
    plain, shared = (_training_pass(policy, sequences) for policy in (rows, tree))
    times = measure_pairs(plain, shared, repeats=repeats)
    yield Absolute(name=f"padded / packed tokens (rho), {shape.name}", value=rho, unit="x", limit=None)
    yield times.ratio(f"training pass, rows / packed, {shape.name}", _TIME_SHARE * rho)
    memory = peak_bytes(plain) / peak_bytes(shared)
    yield Ratio(name=f"its memory, rows / packed, {shape.name}", ratio=memory, target=_MEMORY_SHARE * rho)


def make_group(shape: Shape) -> list[TokenSequence]:
    """The sequences of a group: one prompt, responses that differ from their first token on, and continuations."""
    draw = random.Random(0)
    tokens = range(30, 90)
    prompt = tuple(draw.choices(tokens, k=shape.prompt))
    responses = [(number, *draw.choices(tokens, k=shape.response - 1)) for number in range(100, 100 + ROLLOUTS)]
    cut = shape.response // 2
    grown = [
        (*source[:cut], number, *draw.choices(tokens, k=shape.response - cut - 1))
        for source in responses[: SOURCES if shape.branched else 0]
        for number in range(100 + ROLLOUTS, 100 + ROLLOUTS + CONTINUATIONS)
    ]
    return [
        TokenSequence(
            ids=prompt + response,
            sampled=(False,) * len(prompt) + (True,) * len(response),
            logprobs=(0.0,) * (len(prompt) + len(response)),
        )
        for response in (*responses, *grown)
    ]


def peak_bytes(action: Callable[[], object]) -> int:
    """Most bytes of tensors that an action holds at a time, beyond those there were."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        action()
    assert recorded.profiler is not None
    events = recorded.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def _training_pass(policy: TransformersPolicy, sequences: list[TokenSequence]) -> Callable[[], None]:
    parameters = policy.trainable_parameters()

    def forward_and_backward() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(-torch.cat(policy.logprobs(sequences)).sum())

    return forward_and_backward
