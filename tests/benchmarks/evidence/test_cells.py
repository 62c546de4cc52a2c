from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from axpo.compare.comparison import EMBEDDED
from axpo.settings.config import SamplingConfig, TrainConfig
from axpo_agents.tiny import save_random_tiny
from axpo_benchmarks.evidence.arms import TIERS, arm_named
from axpo_benchmarks.evidence.cells import Cell, deciding, identity, settings_hash, settings_of, start_hash
from axpo_benchmarks.evidence.families import Family


def test_only_what_decides_training_and_is_no_default_is_told() -> None:
    config = replace(TrainConfig(), seed=4, steps=9, out="x", sampling=SamplingConfig(group_size=10))
    assert deciding(config) == {"sampling.group_size": 10}
    assert settings_hash(config) == settings_hash(replace(config, seed=5, out="y"))
    assert settings_hash(config) != settings_hash(replace(config, method="grpo"))


def test_cells_are_told_apart_by_everything_but_how_they_are_looked_at(cell: Callable[..., Cell]) -> None:
    one = cell()
    harder = replace(one.family, base=replace(one.family.base, env_args=("guess_rate=0.9",)))
    others = [cell("axpo"), cell(seed=1), cell(steps=3), replace(one, family=harder)]
    assert len({identity(other) for other in (one, *others)}) == 5
    assert identity(replace(one, looks=replace(one.looks, questions=9))) == identity(one)


def test_a_start_is_its_weights_wherever_they_lie(tmp_path: Path) -> None:
    first, second, third = (
        str(save_random_tiny(tmp_path / name, seed=seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    hashes = [start_hash(replace(EMBEDDED, model=model)) for model in (first, second, third)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_every_arm_that_runs_by_default_has_settings(family: Family) -> None:
    for tier in TIERS:
        for name in tier:
            config = settings_of(Cell(family=family, arm=name, seed=3, steps=4), Path("out"))
            assert (config.method, config.seed, config.steps) == (arm_named(name).method, 3, 4)
    assert settings_of(Cell(family=family, arm="axpo_mb4", seed=0, steps=1), Path("out")).optim.minibatches == 4
