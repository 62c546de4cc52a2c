"""Measures a model's shape with random weights on a GPU: trees against rows, sampling, vLLM and TRL beside it.

Before anything is timed, the attention that a tree has on the device (flex attention on CUDA) is held against the dense
mask, the plain form: log-probabilities and gradients, in float32, with the shape's heads in two layers. With
`--device cpu --shape toy` the same code runs on a CPU at toy size.
"""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch

from axpo.plan.machines import machine_here
from axpo.plan.shape import ModelShape
from axpo_agents.policy import Prefix, Sampler
from axpo_agents.transformers_policy import Packing
from axpo_agents.transformers_policy.shapes import BareModel, KnownModel, known_model
from axpo_agents.types import Sampling, TokenSequence
from axpo_benchmarks.speed import training, trl_step
from axpo_benchmarks.speed.left_out import LeftOut
from axpo_benchmarks.speed.models import endless, save_text_model
from axpo_benchmarks.speed.pairs import measure_pairs
from axpo_benchmarks.speed.rows import Absolute, Row

MOST_APART: Final = 1e-3
"""Largest difference of a log-probability in nats, and of a gradient relative to its largest entry, in float32."""
_CHECKED_LAYERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is measured."""

    model: str
    """The shape; see `known_model`."""
    group: training.Shape
    """Prompt and responses of a group."""
    groups: int
    """Groups in a pass, and sampled at a time."""
    sampled: int
    """Tokens of a sampled turn."""
    step: trl_step.Shape
    """The whole step that is held against TRL's."""
    dtype: str = "bfloat16"
    """Of weights and computation."""
    recomputes: bool = True
    """Whether activations are recomputed."""


FORMS: Final = {
    "qwen3-vl-2b": Form(
        model="qwen3-vl-2b",
        group=training.Shape(prompt=1024, response=512, branched=True),
        groups=2,
        sampled=256,
        step=trl_step.Shape(prompt=1024, response=512, rows=8, steps=3),
    ),
    "toy": Form(
        model="tiny",
        group=training.Shape(prompt=32, response=16, branched=True),
        groups=1,
        sampled=4,
        step=trl_step.Shape(prompt=64, response=4, rows=4, steps=1, prompts=1),
        dtype="float32",
        recomputes=False,
    ),
}
"""Shapes by name."""


def measure(*, device: str = "cuda", shape: str = "qwen3-vl-2b", repeats: int = 3) -> list[Row]:
    """The rows of a device.

    Args:
        device: a torch device.
        shape: one of `FORMS`.
        repeats: how often everything is timed.

    Raises:
        LeftOut: there is no such device, or no such shape.
    """
    if shape not in FORMS:
        raise LeftOut(f"expected --shape to be one of {', '.join(FORMS)}; got {shape!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise LeftOut("no CUDA device: this torch sees none (--device cpu --shape toy tries the same code on a CPU)")
    form, where = FORMS[shape], torch.device(device)
    known = known_model(form.model)
    proof = list(_proof(known, form, where))
    if not all(row.is_met for row in proof):
        # What computes something else is not timed.
        return proof
    measured = _Measured(known=known, form=form, device=where, repeats=repeats)
    return [*proof, *measured.passes(), *measured.sampling(), *measured.beside()]


def _proof(known: KnownModel, form: Form, device: torch.device) -> Iterator[Row]:
    """How far the device's own tree attention is from the dense mask."""
    config = copy.deepcopy(known.config)
    config.get_text_config().num_hidden_layers = _CHECKED_LAYERS
    few = KnownModel(name=known.name, config=config, images=known.images, contexts=None)
    bare = few.bare(dtype=torch.float32, device=device)
    sequences = _group(form)
    own, dense = (_scores(bare, sequences, attention=attention) for attention in (None, "dense"))
    name = f"{bare.scorer.attention} against the dense mask, {form.model}, float32"
    apart = float((own[0] - dense[0]).abs().max())
    yield Absolute(name=f"{name}: log-probabilities", value=apart, unit="nats", limit=MOST_APART)
    largest = max(
        float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))
        for one, other in zip(own[1], dense[1], strict=True)
    )
    yield Absolute(name=f"{name}: gradients", value=largest, unit="of the largest", limit=MOST_APART)


def _scores(
    bare: BareModel, sequences: list[TokenSequence], *, attention: str | None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Log-probabilities, and gradients of all weights of the decoder layers."""
    scorer = bare.scorer if attention is None else bare.scored_by(attention)
    layers = list(bare.network.model.get_decoder().layers.parameters())
    scored = torch.cat(scorer.score(sequences, 1.0))
    return scored.detach(), list(torch.autograd.grad(scored.sum(), layers))


def _group(form: Form, *, number: int = 0) -> list[TokenSequence]:
    made = training.make_group(form.group)
    # Another first token makes another prompt.
    return [TokenSequence(ids=(20 + number, *one.ids[1:]), sampled=one.sampled, logprobs=one.logprobs) for one in made]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What is timed, once it computes what it should."""

    known: KnownModel
    form: Form
    device: torch.device
    repeats: int

    def passes(self) -> Iterator[Row]:
        """Training passes: padded rows / packed trees, and the share of the chip's peak that trees reach."""
        sequences = [one for number in range(self.form.groups) for one in _group(self.form, number=number)]
        rows, tree = (self._bare(packing) for packing in (Packing.ROWS, Packing.TREE))
        pairs = measure_pairs(*(self._pass(bare, sequences) for bare in (rows, tree)), repeats=self.repeats)
        yield pairs.ratio(f"training pass, rows / packed, {self.form.model}", None)
        (packed,) = tree.scorer.plan(sequences, tokens=2**40)
        speed = packed.tokens / median(pairs.second)
        yield Absolute(name=f"training pass, packed, {self.form.model}", value=speed, unit="tokens/s", limit=None)
        peak = machine_here(str(self.device)).tflops
        if peak is not None:
            operations = 6.0 * ModelShape.of(self.known).active * speed
            name = f"share of the chip's peak, training pass, packed, {self.form.model}"
            yield Absolute(name=name, value=100 * operations / (peak * 1e12), unit="%", limit=None)

    def sampling(self) -> Iterator[Row]:
        """Turns of groups, sampled by this package's engine."""
        bare = self._bare(Packing.TREE)
        prompts = [
            _group(self.form, number=number)[0].ids[: self.form.group.prompt] for number in range(self.form.groups)
        ]
        prefixes = [_prefix(prompt) for prompt in prompts for _ in range(training.ROLLOUTS)]
        sampling = Sampling(max_turn_tokens=self.form.sampled, max_episode_tokens=2**20)

        def sample() -> None:
            bare.sampler(cache_bytes=2**34).sample(prefixes, sampling, 0)
            self._wait()

        seconds = measure_pairs(sample, lambda: None, repeats=self.repeats).first
        speed = len(prefixes) * self.form.sampled / median(seconds)
        name = f"sampling {len(prefixes)} turns, in process, {self.form.model}"
        yield Absolute(name=name, value=speed, unit="tokens/s", limit=None)

    def beside(self) -> Iterator[Row]:
        """TRL's whole step, and vLLM's sampling, of a text model as large as the language model, where installed."""
        text = self.known.config.get_text_config()
        sizes = {
            name: getattr(text, name)
            for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        }
        sizes |= {"num_key_value_heads": text.num_key_value_heads, "head_dim": text.head_dim}
        running = trl_step.Running(device=str(self.device), dtype=self.form.dtype, sizes=sizes)
        if importlib.util.find_spec("trl") is not None:
            yield from trl_step.step_rows(self.form.step, running, target=None)
        if importlib.util.find_spec("vllm") is not None:
            yield from self._vllm(sizes)

    def _vllm(self, sizes: dict[str, Any]) -> Iterator[Row]:
        from axpo_agents.remote import WeightForm, load_vllm_sampler

        sampling = Sampling(max_turn_tokens=self.form.sampled, max_episode_tokens=2**14)
        with tempfile.TemporaryDirectory() as folder:
            saved = save_text_model(Path(folder) / "model", sizes)
            own = endless(saved, device=str(self.device), dtype=self.form.dtype)
            prompt = _prefix(_group(self.form)[0].ids[: self.form.group.prompt])
            prefixes = [prompt] * training.ROLLOUTS * self.form.groups
            options = {"dtype": self.form.dtype, "max_model_len": 2**12, "gpu_memory_utilization": 0.4}
            with load_vllm_sampler(str(saved), WeightForm.RELOAD, Path(folder) / "weights", options) as engine:

                def sampled(by: Sampler) -> Callable[[], None]:
                    def sample() -> None:
                        by.sample(prefixes, sampling, seed=0)
                        self._wait()

                    return sample

                pairs = measure_pairs(sampled(own), sampled(engine), repeats=self.repeats, prepare=own.forget)
        yield pairs.ratio(f"sampling {len(prefixes)} turns, in process / vLLM, text model as large", None)

    def _bare(self, packing: Packing) -> BareModel:
        return self.known.bare(
            dtype=getattr(torch, self.form.dtype),
            device=self.device,
            packing=packing,
            checkpointing=self.form.recomputes,
        )

    def _pass(self, bare: BareModel, sequences: list[TokenSequence]) -> Callable[[], None]:
        def forward_and_backward() -> None:
            for parameter in bare.parameters:
                parameter.grad = None
            torch.autograd.backward(-torch.cat(bare.scorer.score(sequences, 1.0)).sum())
            self._wait()

        return forward_and_backward

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _prefix(ids: tuple[int, ...]) -> Prefix:
    return Prefix(sequence=TokenSequence(ids=ids, sampled=(False,) * len(ids), logprobs=(0.0,) * len(ids)))
