"""Defines the learning rate of each training step."""

from __future__ import annotations

import math

from axpo.settings.config import OptimConfig, Schedule


def learning_rate(config: OptimConfig, step: int, *, steps: int) -> float:
    """The learning rate of a step, counted from 1: linear warm-up, then the schedule down to `lr_end` at the last step.

    Worked value: lr 1, no warm-up, `linear` over 5 steps: 1, 0.75, 0.5, 0.25, 0.

    Args:
        config: the optimizer's settings, with a learning rate.
        step: which step.
        steps: steps of the whole run; later steps keep the last one's rate.

    Raises:
        ValueError: no learning rate is given.
    """
    if config.lr is None:
        raise ValueError("expected a learning rate; got None (see `axpo.run.validation.resolved`)")
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    if config.schedule is Schedule.CONSTANT:
        return config.lr
    first = max(1, config.warmup_steps)
    done = min(1.0, (step - first) / max(1, steps - first))
    left = 1.0 - done if config.schedule is Schedule.LINEAR else 0.5 * (1.0 + math.cos(math.pi * done))
    return config.lr * (config.lr_end + (1.0 - config.lr_end) * left)
