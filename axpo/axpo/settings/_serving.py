"""Defines the settings of what samples beside the learner: inference servers, or vLLM here or in workers of Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from axpo.settings.values import Count, Name, Seconds

if TYPE_CHECKING:
    from axpo.settings.config import TrainConfig

LEARNER: Final = "learner"
"""The learner samples for itself."""
VLLM: Final = "vllm"
"""vLLM samples in this process, or in workers of a Ray cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """How inference servers, or engines of vLLM, sample; of no effect where the learner samples for itself."""

    weights: Literal["auto", "reload", "lora", "sglang", "sglang-lora"] = "auto"
    """How new weights reach them: vLLM reloads a checkpoint (reload) or loads LoRA adapters by name (lora), SGLang does
    (sglang, sglang-lora). auto: lora where adapters are trained, else reload."""
    folder: Name | None = None
    """Where weights are written for them to read, under the same path as here; by default in the run's folder."""
    model: Name | None = None
    """The model's name at the servers; None leaves the choice to servers that have just one."""
    key_variable: Name | None = None
    """The environment variable that holds their key."""
    timeout_s: Seconds = 600.0
    """Seconds for a whole request."""
    attempts: Count = 5
    """How often a request, or new weights, are tried, at whichever server can be reached, before it is a fault."""
    concurrency: Count = 64
    """Requests under way at a time, at each server."""
    images: bool = True
    """Send images, if the model sees them."""
    options: tuple[str, ...] = ()
    """Options of vLLM, where no server runs it, as NAME=VALUE, VALUE in JSON, such as `gpu_memory_utilization=0.4`."""


def samples_elsewhere(config: TrainConfig) -> bool:
    """Whether others than the learning processes sample: servers, or workers of a Ray cluster."""
    on_ray = config.ray.address is not None and config.ray.rollouts.workers > 0
    return on_ray or config.sampler not in (LEARNER, VLLM)
