"""Defines `RemoteSettings`: which server is asked, and how, `Dialect`, in whose words, and `PromptSettings`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.web import EnvironmentKey, Retries


class Dialect(StrEnum):
    """Which of a server's endpoints are asked for turns."""

    COMPLETIONS = "completions"
    """`/v1/completions`; prompts with images go to vLLM's `/inference/v1/generate`."""
    VLLM = "vllm"
    """`/inference/v1/generate` for texts, too: there vLLM tells the version of the weights that sampled."""
    SGLANG = "sglang"
    """SGLang's `/generate`, which takes images beside token ids, and adapters by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """What prompts are made with, here as where a policy is loaded for itself (`LoadSettings`)."""

    template_options: tuple[tuple[str, Any], ...] = ()
    """Name and value of variables that the chat template is rendered with, such as `("enable_thinking", False)`."""
    tell_images: bool = False
    """Whether a model that reads text alone is told of images by their sizes, in place of being refused them."""


PLAIN_PROMPTS = PromptSettings()
"""The template as it is, and images refused where they are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """Which server is asked, and how."""

    url: str
    """Where its API begins, such as `http://host:8000/v1`; of several servers with the same model, those after the
    first are `more`."""
    more: tuple[str, ...] = ()
    """Further servers. Requests are dealt out among them, those that begin with the same prompt to the same one."""
    model: str | None = None
    """The model's name at the server; None leaves the choice to a server that has just one."""
    key: EnvironmentKey | None = None
    """Names the environment variable that holds the server's key; None for a server without one."""
    timeout_s: float = 600.0
    """Seconds for a whole request: the server may first finish those of others."""
    retries: Retries = field(default_factory=Retries)
    """How often a request is tried that met no connection, status 408, 425, 429 or 5xx, and how long is waited."""
    concurrency: int = 32
    """Requests under way at a time."""
    samples_per_request: int = 16
    """Turns after one prefix that are asked for at a time; at most what the server serves side by side. 1 is for
    servers that give all samples of a request the same seed."""
    images: bool = True
    """Send images, if the model sees them; False is for servers that take text only."""
    dialect: Dialect = Dialect.COMPLETIONS
    """Which endpoints are asked."""
    raw_logprobs: bool = False
    """Accept a server that reports log-probabilities as they were before temperature and bias. Evaluation does not read
    them; training on them is wrong at any temperature but 1."""

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.samples_per_request < 1:
            raise EnvConfigError(
                "expected concurrency and samples_per_request of at least 1; "
                f"got {self.concurrency} and {self.samples_per_request}"
            )
