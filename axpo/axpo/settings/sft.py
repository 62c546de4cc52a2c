"""Defines the settings of supervised fine-tuning: stages, each with its lesson and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

import tyro

from axpo.settings.model import ModelSettings
from axpo.settings.values import Count, CountOrNone, Decay, Name, NonNegative, Number, Positive, Probability

RECORDED: Final = "recorded"
"""Stands for no environment: demonstrations are shown with what their own records say."""


TRAJECTORIES: Final = "trajectories"
"""Episodes of a scripted expert in the environment, some with tool calls and some answered outright."""
LOCATE_AND_READ: Final = "locate_and_read"
"""Dense pre-training for VisualZoom: the place of every sign of a scene, then the characters of a montage."""
LOOKUPS: Final = "lookups"
"""Dense pre-training for brief libraries of MultiHopSearch: searches that succeed, where facts were dealt out anew."""
SEARCHES: Final = "searches"
"""Episodes of a scripted agent in a brief library, some with searches and some answered outright."""
COMPUTATIONS: Final = "computations"
"""Episodes of a scripted agent with written sums of PythonReasoning, some computed and some answered outright."""
DESK_WORK: Final = "desk_work"
"""Episodes of a scripted agent at a brief desk of Desk, some dealt with and some declined outright."""
DEMONSTRATIONS: Final = "demonstrations"
"""The user's own, see `DemonstrationsConfig`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryConfig:
    """The mixture of expert trajectories."""

    tool_share: Probability = 0.3
    """Share of trajectories that call the tool; the others guess."""
    box_noise: NonNegative = 140.0
    """Standard deviation of a box's place, in thousandths of the image."""
    clean_share: Probability = 0.0
    """Share of tool calls drawn with `clean_noise` instead."""
    clean_noise: NonNegative = 25.0
    """The smaller standard deviation."""
    bad_crop_weight: NonNegative = 0.1
    """Loss weight of the turn after a crop that missed the sign, in which the expert reads something wrong."""
    favourite_share: Probability = 0.6
    """How often a guess is the colour's favourite; otherwise any character is as likely as another."""
    tool_guess_rate: Probability = 0.1
    """How often the sign does carry the favourite in trajectories that call the tool: low, so that reading a crop is
    learned from the crop and not from the colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureConfig:
    """The mixture of trajectories of a scripted agent that slips now and then."""

    tool_share: Probability = 0.3
    """Share of trajectories that call the tool; the others guess."""
    slip_rate: Probability = 0.3
    """How often a query names a wrong subject, code computes something else than is asked, or a payment is another."""
    stop_rate: Probability = 0.15
    """Of `searches`: how often, after each document but the last, the question is answered too early."""
    heedless_rate: Probability = 0.0
    """Of `desk_work`: how often a bill is paid that must not be paid."""
    made_up_weight: NonNegative = 0.1
    """Of `searches`: loss weight of an answer that the last document does not tell."""
    favourite_share: Probability = 0.6
    """How often a guess is the favourite of what is asked; otherwise any value is as likely as another."""
    tool_guess_rate: Probability = 0.2
    """How often the favourite is the answer: low, so that acting and reading lean on it as little as can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstrationsConfig:
    """The user's own demonstrations. A source without stages of its own makes one stage of so many passes over it."""

    source: Annotated[Name | None, tyro.conf.arg(aliases=("--demonstrations",))] = None
    """A JSONL file of chat messages, a run's folder or file of rollouts, `hf:OWNER/NAME[/CONFIG][:SPLIT]`, or
    `package.module:name` of an agent that plays."""
    epochs: Annotated[Count, tyro.conf.arg(aliases=("--epochs",))] = 3
    """Passes over all of them."""
    batch: Annotated[Count, tyro.conf.arg(aliases=("--batch",))] = 16
    """Demonstrations per optimizer step."""
    lr: Annotated[Positive, tyro.conf.arg(aliases=("--lr",))] = 1e-5
    """Peak learning rate."""
    warmup_share: Probability = 0.05
    """Share of the steps that warm up."""
    max_tokens: Count = 16384
    """Demonstrations of more tokens are left out, and counted."""
    min_reward: Number = 0.5
    """Rollouts and played episodes that earned less are left out."""
    episodes: Count = 200
    """How many an agent plays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One stage of training."""

    lesson: Name = TRAJECTORIES
    """What is taught."""
    steps: Count = 500
    """Optimizer steps."""
    batch: Count = 64
    """Demonstrations per step."""
    lr: Positive = 1e-3
    """Peak learning rate."""
    warmup_steps: CountOrNone = 40
    """Steps of linear warm-up."""
    final_lr_share: Probability = 0.05
    """Learning rate at the end of the cosine, as a share of the peak."""
    question_uses: Count = 4
    """Demonstrations per question, after which it is replaced; more cost less drawing and are less varied."""
    trajectories: TrajectoryConfig = field(default_factory=TrajectoryConfig)
    """The mixture, for the lesson `trajectories`."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """The mixture, for the lessons `searches`, `computations` and `desk_work`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig(ModelSettings):
    """A supervised fine-tuning run."""

    env: Name = "axpo/VisualZoom-v0"
    """Gymnasium id of the environment whose instructions and tools are shown, and which evaluates. `recorded`, which is
    the default of `axpo sft --demonstrations`: the system messages and tools of the records, and no evaluation."""
    model: Name = "tiny-random"
    """`tiny-random`, `tiny-search-random`, `tiny-python-random`, `tiny-desk-random`, a checkpoint folder, or a Hugging
    Face id."""
    out: Name = "runs/sft"
    """The folder of the result; the trained checkpoint is that of its last stage."""
    seed: CountOrNone = 0
    """Seeds initial weights and demonstrations."""
    demonstrations: DemonstrationsConfig = field(default_factory=DemonstrationsConfig)
    """The user's own demonstrations."""
    stages: tuple[StageConfig, ...] = (StageConfig(),)
    """The stages, in order."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """AdamW's betas."""
    weight_decay: NonNegative = 0.01
    """AdamW's weight decay."""
    max_grad_norm: Positive = 1.0
    """Gradients are clipped to this norm."""
    micro_batch_tokens: Count = 16384
    """Tokens per forward and backward pass."""
    questions_in_memory: Count = 600
    """Questions kept at a time."""
    eval_questions: CountOrNone = 100
    """Held-out questions of the evaluation after each stage of trajectories; 0 evaluates nothing."""
    eval_samples: Count = 8
    """Rollouts per held-out question."""
    max_turn_tokens: Count = 1024
    """Token limit of one turn in evaluations."""
    max_episode_tokens: Count = 16384
    """Token limit of an episode in evaluations, contexts included."""
