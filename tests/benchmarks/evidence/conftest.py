"""Fixtures of the evidence: a family that a random policy trains on in a second, and rows made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from axpo.compare.comparison import EMBEDDED
from axpo.settings.config import SelectionConfig
from axpo_benchmarks.evidence.cells import Cell, Looks
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.rows import FORMAT, Row

SMALL = Looks(questions=3, samples=2, paper_samples=2, mark_every=1, mark_questions=2, mark_samples=2)


@pytest.fixture
def family() -> Family:
    sampling = replace(EMBEDDED.sampling, questions=2, group_size=2, max_turn_tokens=4, max_episode_tokens=128)
    base = replace(
        EMBEDDED,
        model="tiny-random",
        env_args=("image_size=96", "signs=1"),
        sampling=sampling,
        selection=SelectionConfig(budget=1.0),
    )
    return Family(name="toy", label="Toy", base=base)


@pytest.fixture
def cell(family: Family) -> Callable[..., Cell]:
    def make(arm: str = "grpo", seed: int = 0, **changes: Any) -> Cell:
        return Cell(**{"family": family, "arm": arm, "seed": seed, "steps": 2, "looks": SMALL, **changes})

    return make


@pytest.fixture
def row() -> Callable[..., Row]:
    """Makes a row: `row("grpo", 0, pass1=0.5, tokens=100)`."""

    def make(arm: str, seed: int, **values: Any) -> Row:
        metrics = {name: [values.pop(name), None, None] for name in ("pass1", "pass4") if name in values}
        looked = [{"at": "end", "step": 2, "sampling": "sampled", "metrics": metrics}]
        spent = {"rollouts": 8, "tokens": 100, "cpu_seconds": 1.0}
        told = {"format": FORMAT, "cell": f"toy-{arm}-{seed}", "family": "toy", "arm": arm, "seed": seed}
        return {**told, **spent, "evaluations": looked, **values}

    return make
