"""Defines the settings of supervised fine-tuning: stages, each with its lesson and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from axpo.config import Count, CountOrNone, ModelConfig, Name, NonNegative, Positive, Probability


class LessonName(StrEnum):
    """What a stage teaches."""

    TRAJECTORIES = "trajectories"
    """Episodes of a scripted expert in the environment, some with tool calls and some answered outright."""
    LOCATE_AND_READ = "locate_and_read"
    """Dense pre-training for VisualZoom: the place of every sign of a scene, then the characters of a montage."""


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
class StageConfig:
    """One stage of training."""

    lesson: LessonName = LessonName.TRAJECTORIES
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig:
    """A supervised fine-tuning run."""

    env: Name = "axpo/VisualZoom-v0"
    """Gymnasium id of the environment."""
    env_args: tuple[str, ...] = ()
    """Keyword arguments of the environment as NAME=VALUE, VALUE in JSON (or a bare word)."""
    model: Name = "tiny-random"
    """`tiny-random`, `tiny`, a checkpoint folder, or a Hugging Face id."""
    out: Name = "runs/sft"
    """The folder of the result; the trained checkpoint is that of its last stage."""
    seed: int = 0
    """Seeds initial weights and demonstrations."""
    stages: tuple[StageConfig, ...] = (StageConfig(),)
    """The stages, in order."""
    betas: tuple[float, float] = (0.9, 0.98)
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
    policy: ModelConfig = field(default_factory=ModelConfig)
    """How the policy is loaded."""
