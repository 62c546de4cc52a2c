"""Defines the settings of a training run, their defaults and the values each may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import tyro

from axpo.settings._filter import FilterConfig
from axpo.settings._learning import AdvantageConfig, Aggregation, KlEstimator, LossConfig, ReplayConfig
from axpo.settings._ranks import RanksConfig
from axpo.settings._ray import RayConfig, WorkersConfig
from axpo.settings._serving import LEARNER, ServingConfig
from axpo.settings.model import ModelSettings
from axpo.settings.values import (
    Count,
    CountOrNone,
    Decay,
    Name,
    NonNegative,
    Nucleus,
    Number,
    Positive,
    Probability,
    Several,
)
from axpo_agents.types import Sampling, Truncation

__all__ = [
    "AdvantageConfig",
    "Aggregation",
    "Algorithm",
    "ConfigError",
    "Cut",
    "FilterConfig",
    "KlEstimator",
    "LogConfig",
    "LossConfig",
    "OptimConfig",
    "Ranking",
    "RanksConfig",
    "RayConfig",
    "ReplayConfig",
    "SamplingConfig",
    "Schedule",
    "SelectionConfig",
    "ServingConfig",
    "TrainConfig",
    "WorkersConfig",
]


class ConfigError(ValueError):
    """A setting is unusable; the message names it, what was expected and what was got."""


class Ranking(StrEnum):
    """Order in which a question's candidate sources are taken."""

    UNCERTAINTY = "uncertainty"
    """Least confident tool call first."""
    RANDOM = "random"
    """Uniform order (ablation)."""
    VALUE = "value"
    """The least certain outcome first: p (1 - p), with p estimated from the step's rollouts of the question, and of the
    tool that is called."""


class Cut(StrEnum):
    """Where continuations start."""

    TOOL_CALL = "tool_call"
    """After the opening tag of the first tool call of a failed tool-using rollout."""
    EITHER = "either"
    """There, or behind that call's result, wherever the policy went on with less confidence."""
    QUESTION = "question"
    """At the question: nothing is frozen (ablation "from scratch")."""
    NO_TOOL = "no_tool"
    """Before the answer of a failed rollout without tool use (ablation "no-tool")."""


class Algorithm(StrEnum):
    """How gradients change weights."""

    ADAMW = "adamw"
    """Adam with decoupled weight decay: two moments per weight."""
    ADAMW_8BIT = "adamw_8bit"
    """AdamW whose moments are held in 8 bits, in blocks with a scale each (torchao): a quarter of their memory."""
    ADAFACTOR = "adafactor"
    """Adafactor (arXiv:1804.04235): a second moment by rows and columns; next to no memory beside the weights."""
    SGD = "sgd"
    """Gradient descent with the momentum `betas[0]`; needs far higher learning rates."""


class Schedule(StrEnum):
    """How the learning rate changes after the warm-up."""

    CONSTANT = "constant"
    """Not at all."""
    LINEAR = "linear"
    """In equal steps down to `lr_end` at the last step."""
    COSINE = "cosine"
    """Along half a cosine down to `lr_end` at the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How groups are sampled."""

    questions: Count = 16
    """Questions per step (B)."""
    group_size: Several = 8
    """Rollouts per question (N)."""
    temperature: Positive = 1.0
    """Sampling temperature."""
    top_p: Nucleus = 1.0
    """Tokens are drawn from the fewest most probable ones that have at least this probability together; 1 is all."""
    top_k: CountOrNone = 0
    """Tokens are drawn from so many most probable ones; 0 is all."""
    max_turn_tokens: Count = 1024
    """Token limit of one turn."""
    max_episode_tokens: Count = 16384
    """Token limit of an episode, contexts included; a model's own limit (`max_position_embeddings`) holds as well."""
    dynamic_rounds: CountOrNone = 0
    """How often a step replaces groups whose rewards are all equal by those of further questions (DAPO's dynamic
    sampling); 0 never. Groups that the method could resample prefixes of are kept."""
    fault_retries: CountOrNone = 5
    """How often a turn that met an infrastructure fault is executed again before its episode is dropped."""
    fault_wait_s: NonNegative = 0.1
    """Seconds before a faulty turn is executed again, doubled for every further time."""

    @property
    def sampling(self) -> Sampling:
        """How a policy samples turns."""
        return Sampling(
            temperature=self.temperature,
            truncation=Truncation(top_k=self.top_k, top_p=self.top_p),
            max_turn_tokens=self.max_turn_tokens,
            max_episode_tokens=self.max_episode_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """Which prefixes are resampled."""

    budget: NonNegative = 0.25
    """Extra rollouts as a share of B * N (r); 0 selects nothing, which is GRPO."""
    continuations: Several = 4
    """Continuations per prefix (K)."""
    ranking: Ranking = Ranking.UNCERTAINTY
    """Order of candidates."""
    cut: Cut = Cut.TOOL_CALL
    """Where continuations start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """The optimizer."""

    lr: Positive | None = None
    """Learning rate after the warm-up. None: 1e-4 for the embedded tiny models, 1e-6 for others; the run's config.toml
    records which."""
    algorithm: Algorithm = Algorithm.ADAMW
    """How gradients change weights."""
    schedule: Schedule = Schedule.CONSTANT
    """How the learning rate changes after the warm-up."""
    lr_end: Probability = 0.0
    """Where a falling schedule ends at the run's last step, as a share of the learning rate."""
    warmup_steps: CountOrNone = 0
    """Steps of linear warm-up."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """AdamW's betas."""
    weight_decay: NonNegative = 0.0
    """Weight decay."""
    max_grad_norm: Positive = 1.0
    """Gradients are clipped to this norm."""
    minibatches: Count = 2
    """Optimizer steps per training step; every mini-batch holds whole groups."""
    micro_batch_tokens: Count = 16384
    """Tokens per forward and backward pass: those of whole trees, or with padded rows the padding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What a run keeps."""

    checkpoint_every: Count = 10
    """Steps between checkpoints; the last step always writes one."""
    keep_checkpoints: Count = 2
    """Newest checkpoints kept."""
    rollouts_every: CountOrNone = 10
    """Steps between saved rollouts; 0 saves none, 1 all."""
    rollouts_per_step: CountOrNone = 16
    """Rollouts saved per such step; 0 saves all."""
    tensorboard: bool = True
    """Write TensorBoard events."""
    trackers: Annotated[tuple[Name, ...], tyro.conf.arg(aliases=("--trackers",))] = ()
    """Where metrics are sent, too: wandb, trackio, mlflow (whose packages must be there), or package.module:NAME."""
    eval_questions: CountOrNone = 100
    """Held-out questions of the evaluations at start and end; 0 evaluates nothing."""
    eval_split: Name | None = None
    """The split they are of; by default `test`, else `validation`, else questions set aside from those of training
    (`held_out`)."""
    eval_samples: Count = 8
    """Rollouts per held-out question."""
    eval_every: CountOrNone = 0
    """Steps between evaluations in between; 0 for none."""
    best_by: Name | None = None
    """A metric of evaluations: the checkpoint with its highest value is kept beside the newest ones; None keeps
    none."""
    stop_on_collapse: Annotated[bool, tyro.conf.arg(aliases=("--stop-on-collapse",))] = False
    """End the run, saved and reported, when the alarm `tool_collapse` fires."""
    patience: CountOrNone = 0
    """Evaluations in a row without a higher `best_by` after which the run ends; 0 makes every step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(ModelSettings):
    """A training run: everything that decides its results."""

    method: Name = "axpo"
    """Training method: grpo, axpo, an ablation of AXPO (axpo_random, axpo_scratch, axpo_no_tool, axpo_no_prefix_credit,
    axpo_prefix_credit_only, axpo_joint_groups), grpo_n10 (any number of rollouts per question), a rival (tool_penalty,
    tool_bonus, pixel_reasoner, cispo, arpo, rltf, dapo, gspo, dr_grpo), a variant of AXPO (axpo_strata, axpo_contrast,
    axpo_graded, axpo_value, axpo_either, axpo_forced, axpo_idle or axpo_plus, axpo_replay; docs/methods.md), several
    in one (axpo_forced+strata), or package.module:NAME."""
    success_threshold: Number = 0.5
    """A rollout with a reward below it is wrong; a continuation with at least this reward is a recovery (Eq. 3)."""
    steps: Count = 60
    """Training steps."""
    seed: CountOrNone = 0
    """Seeds questions, sampling and order."""
    out: Name = "runs/train"
    """The run's folder."""
    sampler: Name = LEARNER
    """What samples: the learner itself, `vllm` (here, or in workers of Ray), or addresses of servers such as
    http://host:8000,http://other:8000 (docs/samplers.md)."""
    serving: ServingConfig = field(default_factory=ServingConfig)
    """How servers, or vLLM, sample."""
    max_staleness: CountOrNone = 0
    """Updates that the weights may be behind which sample: above 0, later steps are sampled while the learner updates
    (asynchronous training); 0 samples, then updates."""
    permissions: Annotated[Name | None, tyro.conf.arg(name="policy")] = None
    """TOML file that says which calls may be made, in training and in evaluations (docs/permissions.md). The other
    options that begin with `--policy.` are about the model."""
    permissions_fingerprint: Annotated[Name | None, tyro.conf.arg(name="policy-fingerprint")] = None
    """What `axpo policy check` says that the policy's fingerprint is; another policy is refused. A run writes that of
    its own into its settings, so that it goes on under a changed policy only where this option says so."""
    audit_log: Name | None = None
    """Folder in which every decision about a call is recorded (docs/audit-log.md), outside of the run's own."""
    filter: FilterConfig = field(default_factory=FilterConfig)
    """Which questions of training are left out."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How groups are sampled."""
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    """Which prefixes are resampled."""
    advantages: AdvantageConfig = field(default_factory=AdvantageConfig)
    """How rewards become advantages."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    """What is learned from again."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The loss."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """The optimizer."""
    ranks: RanksConfig = field(default_factory=RanksConfig)
    """How several processes train as one."""
    ray: RayConfig = field(default_factory=RayConfig)
    """A Ray cluster that takes turns of the environment, and samples (docs/ray.md)."""
    log: LogConfig = field(default_factory=LogConfig)
    """What a run keeps."""
