from __future__ import annotations

import pytest

from axpo.algorithm._schedule import learning_rate
from axpo.settings.config import OptimConfig, Schedule


def rates(steps: int, **settings: object) -> list[float]:
    config = OptimConfig(lr=1.0, **settings)  # type: ignore[arg-type]
    return [learning_rate(config, step, steps=steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"warmup_steps": 2}, [0.5, 1, 1, 1, 1]),
        ({"schedule": Schedule.LINEAR}, [1, 0.75, 0.5, 0.25, 0]),
        ({"schedule": Schedule.LINEAR, "lr_end": 0.2}, [1, 0.8, 0.6, 0.4, 0.2]),
        ({"schedule": Schedule.LINEAR, "warmup_steps": 3}, [1 / 3, 2 / 3, 1, 0.5, 0]),
        ({"schedule": Schedule.COSINE}, [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0]),
        ({"schedule": Schedule.COSINE, "warmup_steps": 9}, [1 / 9, 2 / 9, 3 / 9, 4 / 9, 5 / 9]),
    ],
)
def test_the_rate_rises_linearly_and_falls_by_its_schedule(settings, expected):
    assert rates(5, **settings) == pytest.approx(expected)


def test_steps_beyond_the_run_keep_the_last_rate():
    config = OptimConfig(lr=1.0, schedule=Schedule.LINEAR, lr_end=0.5)
    assert learning_rate(config, 9, steps=5) == 0.5
    assert learning_rate(config, 1, steps=1) == 1.0


def test_a_missing_rate_is_an_error():
    with pytest.raises(ValueError, match="expected a learning rate"):
        learning_rate(OptimConfig(), 1, steps=5)
