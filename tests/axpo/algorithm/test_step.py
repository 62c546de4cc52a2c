"""Tests of the training step as users call it: without a run, with roles apart, with groups from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

import axpo
from axpo import ConfigError, GroupBuffer, Silent, TrainConfig, Training, train_step
from axpo.algorithm.buffer import BufferSettings
from axpo.run.trainer import load_settings
from axpo_agents.transformers_policy import TransformersPolicy, load_policy


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def config(toy: Any, tmp_path: Path) -> TrainConfig:
    config: TrainConfig = toy.toy_config(tmp_path / "run", steps=2)
    return replace(config, optim=replace(config.optim, lr=1e-3))


def begun(toy: Any, config: TrainConfig) -> tuple[Training, TransformersPolicy]:
    policy = load_policy("tiny-random", load_settings(config.policy, seed=config.seed))
    return Training.of(config, gymnasium.make(toy.ENV_ID).unwrapped, policy), policy


def test_steps_without_a_run_are_those_of_a_run(toy: Any, config: TrainConfig) -> None:
    run = axpo.train(config, display=Silent())
    training, policy = begun(toy, config)
    for step, record in enumerate(run.metrics, start=1):
        outcome = train_step(training, step)
        measured = {"lr": outcome.lr, **outcome.stats.metrics()}
        assert {name: record[name] for name in measured} == measured
        assert record["continuations"] == sum(len(b.continuations) for g in outcome.groups for b in g.branches)
    trained = load_policy(str(run.checkpoint)).model.state_dict()
    assert all(torch.equal(weights, trained[name]) for name, weights in policy.model.state_dict().items())


def test_phases_are_told_in_their_order_and_the_weights_change_after_the_last_turn(
    toy: Any, config: TrainConfig
) -> None:
    told: list[str] = []

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        told.append(name)
        yield
        told.append(f"/{name}")

    training, policy = begun(toy, config)
    first = policy.trainable_parameters()[0]
    before = first.detach().clone()

    def before_update() -> None:
        told.append("before_update")
        assert torch.equal(first, before)

    train_step(training, 1, phase=phase, before_update=before_update)
    around = [word for name in ("environment", "sampling", "resampling") for word in (name, f"/{name}")]
    assert told == [*around, "before_update", "update", "/update"]
    assert not torch.equal(first, before)


def test_what_is_trained_is_the_distribution_that_was_sampled_from(toy: Any, config: TrainConfig) -> None:
    """Temperature, top-p and top-k included: on its first mini-batch every ratio is 1, and the KL to the start is 0."""
    sampling = replace(config.sampling, temperature=0.7, top_p=0.8, top_k=20)
    config = replace(config, sampling=sampling, optim=replace(config.optim, minibatches=1))
    metrics = train_step(begun(toy, config)[0], 1).stats.metrics()
    assert metrics["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-8)


def test_an_unknown_method_is_refused_before_any_work(toy: Any, config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="method"):
        begun(toy, replace(config, method="nope"))


def test_groups_from_elsewhere_are_learned_from_unless_they_are_too_stale(toy: Any, config: TrainConfig) -> None:
    elsewhere, _ = begun(toy, replace(config, seed=1))
    strange = train_step(elsewhere, 1).groups
    training, policy = begun(toy, config)
    training = replace(training, buffer=GroupBuffer(BufferSettings(max_staleness=0)))
    own = train_step(training, 1).groups
    assert len(own) == config.sampling.questions
    training.buffer.add(strange)
    assert policy.version == 1
    assert not set(map(id, strange)) & set(map(id, train_step(training, 2).groups))
    assert training.buffer.dropped_stale == len(strange)

    training, policy = begun(toy, config)
    training.buffer.add(strange)
    outcome = train_step(training, 1)
    assert outcome.groups == (*strange, *own)
    assert training.buffer.ready == 0
