"""Defines the settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from axpo.settings.model import ModelConfig
from axpo.settings.values import Count, CountOrNone, Name, NonNegative, Nucleus, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """An evaluation of a checkpoint on held-out questions."""

    checkpoint: Annotated[Name, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """A run's folder (its newest checkpoint or last stage is taken), a checkpoint's folder, `tiny`, a Hugging Face id,
    or the address of a server such as `http://host:8000/v1`."""
    tokenizer: Name | None = None
    """With a server: the checkpoint it runs, for its tokenizer and image settings (a folder or Hugging Face id), and
    for what the run that wrote it decided."""
    key_variable: Name | None = None
    """With a server: the environment variable that holds its key."""
    env: Name | None = None
    """Gymnasium id of the environment; by default the one that a run's checkpoint was trained in, with its
    arguments."""
    env_args: tuple[str, ...] = ()
    """Keyword arguments of the environment as NAME=VALUE, VALUE in JSON (or a bare word)."""
    split: Name | None = None
    """Which questions are asked; by default those that a run's training held out, elsewhere `test`, else `validation`,
    else all."""
    questions: Count = 100
    """Held-out questions, the first of their split."""
    samples: Count = 8
    """Rollouts per question; Pass@4 needs at least 4."""
    seed: CountOrNone = 0
    """Seeds the sampling."""
    temperature: NonNegative | None = None
    """Sampling temperature; 0 takes the most probable tokens. By default the run's, 1 for other checkpoints."""
    top_p: Nucleus | None = None
    """Tokens are drawn from the fewest most probable ones that have at least this probability together; 1 is all. By
    default the run's, 1 for other checkpoints."""
    top_k: CountOrNone | None = None
    """Tokens are drawn from so many most probable ones; 0 is all. By default the run's, 0 for other checkpoints."""
    max_turn_tokens: Count | None = None
    """Token limit of one turn. By default the run's, 1024 for other checkpoints."""
    max_episode_tokens: Count | None = None
    """Token limit of an episode, contexts included. By default the run's, 16384 for other checkpoints."""
    at_a_time: Count = 16
    """Questions whose rollouts are sampled together."""
    success_threshold: Number | None = None
    """A rollout with a reward below it is wrong. By default the run's, 0.5 for other checkpoints."""
    permissions: Annotated[Name | None, tyro.conf.arg(name="policy")] = None
    """TOML file that says which calls may be made (docs/permissions.md); by default the one that a run's checkpoint was
    trained under, where its environment is taken, too. `none` lets every call run. The other options that begin with
    `--policy.` are about the model."""
    audit_log: Name | None = None
    """Folder in which every decision about a call is recorded (docs/audit-log.md)."""
    policy: ModelConfig = field(default_factory=ModelConfig)
    """How the policy is loaded; of a server's, `template_options` and `tell_images` alone, which make prompts. A run's
    `template_options` hold unless others of their names are given, and so does its `tell_images`."""

    @property
    def is_remote(self) -> bool:
        """Whether the policy runs behind a server."""
        return self.checkpoint.startswith(("http://", "https://"))
