"""Measures whole GRPO steps, TRL's `GRPOTrainer` / ours: one model, the same prompts, lengths, optimizer and threads.

Either side has the settings that are fastest for it: TRL the library's `generate` with its cache (its continuous
batching takes five times as long on a CPU), no old log-probabilities (its steps need none), the micro-batches of
`Shape.rows`; ours its defaults. Both compute the KL to a reference and take one optimizer step.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback

from axpo.algorithm.step import Training, train_step
from axpo.algorithm.types import Group
from axpo.settings.config import LossConfig, OptimConfig, SamplingConfig, TrainConfig
from axpo_agents.formats.silence import no_progress_bars
from axpo_benchmarks.speed.left_out import LeftOut
from axpo_benchmarks.speed.models import endless, letters, save_text_model
from axpo_benchmarks.speed.pairs import Pairs
from axpo_benchmarks.speed.rows import Absolute, Row
from axpo_envs import EpisodeState, ListQuestions, Question, RewardTerm, ToolEnv, ToolEnvSpec
from axpo_envs.plumbing.extras import MissingExtraError, require_extra

GROUP: Final = 8
"""Responses to a prompt."""

_LOSS: Final = LossConfig(kl=1e-3, skip_zero_advantage=False)
"""TRL trains everything, so nothing is left out."""
_OPTIM: Final = OptimConfig(lr=1e-6, minibatches=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a step."""

    prompt: int
    """Tokens of a prompt."""
    response: int
    """Tokens of a response."""
    rows: int
    """Responses in one of TRL's micro-batches: the fastest of 4, 8, 16 and 32."""
    steps: int
    """Steps timed, after one that is not."""
    prompts: int = 4
    """Prompts in a step."""

    def __str__(self) -> str:
        return f"{self.prompts} x {GROUP}, P={self.prompt}, R={self.response}"


SHAPES: Final = (
    Shape(prompt=256, response=64, rows=16, steps=5),
    Shape(prompt=1024, response=128, rows=8, steps=3),
)
"""What is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where steps are made, and how large the model is."""

    device: str = "cpu"
    """Torch device."""
    dtype: str = "float32"
    """Of weights and computation."""
    sizes: Mapping[str, Any] | None = None
    """Sizes of the model, see `save_text_model`."""


ON_A_CPU: Final = Running()


def measure() -> list[Row]:
    """The rows of whole steps.

    Raises:
        LeftOut: TRL is not installed.
    """
    try:
        require_extra("bench", "comparing with TRL")
    except MissingExtraError as error:
        raise LeftOut(str(error)) from error
    return [row for shape in SHAPES for row in step_rows(shape)]


def step_rows(shape: Shape, running: Running = ON_A_CPU, *, target: float | None = 3.0) -> Iterator[Row]:
    """Whole steps: TRL's / ours, and the seconds of both."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        checkpoint = save_text_model(Path(folder) / "model", running.sizes)
        ours = OurStep(checkpoint, shape, running)
        pairs = _alternate(_trainer(checkpoint, ours.prompts, shape, running), ours)
    yield pairs.ratio(f"GRPO step, TRL / ours, {shape}", target)
    for name, seconds in (("TRL", pairs.first), ("ours", pairs.second)):
        yield Absolute(name=f"GRPO step, {name}, {shape}", value=median(seconds), unit="s", limit=None)


class OurStep:
    """Our whole step: rollouts, rewards, advantages, reference and update.

    Args:
        checkpoint: the model's folder.
        shape: sizes.
        running: where it is made.

    Attributes:
        prompts: the prompts as text, from which TRL's tokenizer makes the same tokens.
        groups: the rollouts of the last step.
    """

    def __init__(self, checkpoint: Path, shape: Shape, running: Running = ON_A_CPU) -> None:
        self._policy = endless(checkpoint, device=running.device, dtype=running.dtype)
        chat = len(self._read(_question("")))
        questions = [_question(letters(shape.prompt - chat, seed=seed)) for seed in range(shape.prompts)]
        sampling = SamplingConfig(
            questions=shape.prompts,
            group_size=GROUP,
            max_turn_tokens=shape.response,
            max_episode_tokens=shape.prompt + shape.response,
        )
        config = TrainConfig(method="grpo", sampling=sampling, loss=_LOSS, optim=_OPTIM)
        self._training = Training.of(config, _environment(questions), self._policy)
        self._taken = 0
        self.prompts = [self._policy.tokenizer.decode(self._read(question)) for question in questions]
        self.groups: tuple[Group, ...] = ()

    def __call__(self) -> None:
        """Takes a step."""
        self._taken += 1
        self.groups = train_step(self._training, self._taken).groups

    def _read(self, question: Question) -> tuple[int, ...]:
        env = _environment([question])
        return self._policy.encode_prompt(env, env.begin(question)).ids


def spread(text: str) -> float:
    """A reward from 0 to 1 that tells nearly all texts apart, so that every group has something to learn from."""
    return sum(map(ord, text)) % 1000 / 999


class _Spread:
    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        del question, answer
        return (RewardTerm(name="spread", value=spread(state.turns[-1].text)),)


def _question(text: str) -> Question:
    return Question(id=text, prompt=(text,), answer="")


def _environment(questions: Sequence[Question]) -> ToolEnv:
    return ToolEnv(ToolEnvSpec(env_id="bench/Text-v0", questions=ListQuestions(questions), tools=(), reward=_Spread()))


def _trainer(checkpoint: Path, prompts: Sequence[str], shape: Shape, running: Running) -> Any:
    """TRL's trainer of the same step."""
    trl, datasets = (importlib.import_module(name) for name in ("trl", "datasets"))
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    lengths = {len(tokenizer(prompt)["input_ids"]) for prompt in prompts}
    _expect("prompts", lengths, shape.prompt)

    def reward(completions: list[str], completion_ids: list[list[int]], **_: object) -> list[float]:
        _expect("responses", set(map(len, completion_ids)), shape.response)
        return [spread(completion) for completion in completions]

    settings = trl.GRPOConfig(
        output_dir=str(checkpoint.parent / "trl"),
        use_cpu=running.device == "cpu",
        bf16=running.dtype == "bfloat16",
        gradient_checkpointing=False,
        per_device_train_batch_size=shape.rows,
        gradient_accumulation_steps=shape.prompts * GROUP // shape.rows,
        num_generations=GROUP,
        max_completion_length=shape.response,
        # The end of a turn is never written: every response has the same length.
        generation_kwargs={"suppress_tokens": [tokenizer.eos_token_id]},
        mask_truncated_completions=False,
        beta=_LOSS.kl,
        learning_rate=_OPTIM.lr,
        adam_beta2=_OPTIM.betas[1],
        lr_scheduler_type="constant",
        max_steps=1 + shape.steps,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, running.dtype)),
        reward_funcs=[reward],
        args=settings,
        train_dataset=datasets.Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _alternate(trainer: Any, ours: Callable[[], None]) -> Pairs:
    """Times TRL's steps and ours in turns; the first of each warms up."""
    turns = _Turns(ours)
    trainer.add_callback(turns)
    trainer.train()
    return Pairs(first=tuple(turns.theirs[1:]), second=tuple(turns.ours[1:]))


class _Turns(TrainerCallback):  # type: ignore[misc]  # the library has no types
    """Takes one of our steps after each of the trainer's."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.theirs: list[float] = []
        self.ours: list[float] = []
        self._step = step
        self._began = 0.0

    def on_step_begin(self, *_: object, **__: object) -> None:
        """TRL's rollouts, reference and update come between this and `on_step_end`."""
        self._began = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        """Our turn."""
        between = time.perf_counter()
        self._step()
        self.theirs.append(between - self._began)
        self.ours.append(time.perf_counter() - between)


def _expect(what: str, lengths: set[int], length: int) -> None:
    if lengths != {length}:
        raise AssertionError(f"expected {what} of {length} tokens; got {sorted(lengths)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries' progress bars, advice and deprecations off the terminal."""
    with no_progress_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
