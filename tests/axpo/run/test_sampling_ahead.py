"""Tests of asynchronous training: equality with the synchronous one, staleness, what is dropped, kills and errors."""

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
from axpo import GroupBuffer, Silent, TrainConfig, Training, train_step
from axpo.algorithm.buffer import BufferSettings
from axpo.algorithm.outcome import StepOutcome
from axpo.run._sampling_ahead import SamplingAhead, read_ahead, write_ahead
from axpo.run.trainer import load_settings
from axpo_agents.rolling import Lost, Start
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.errors import InfrastructureFault

STEPS = 2


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def config(toy: Any, tmp_path: Path) -> TrainConfig:
    config: TrainConfig = toy.toy_config(tmp_path / "run", steps=STEPS)
    log = replace(config.log, eval_questions=0, tensorboard=False, rollouts_every=0)
    return replace(config, optim=replace(config.optim, lr=1e-3), log=log)


def begun(toy: Any, config: TrainConfig, *, staleness: int | None = None) -> tuple[Training, TransformersPolicy]:
    """A training whose sampler is a copy that follows the learner where a staleness above 0 is given."""
    policy = load_policy("tiny-random", load_settings(config.policy, seed=config.seed))
    training = Training.of(config, gymnasium.make(toy.ENV_ID).unwrapped, policy)
    if not staleness:
        return training, policy
    buffer = GroupBuffer(BufferSettings(max_staleness=staleness))
    return replace(training, sampler=policy.follower(), buffer=buffer), policy


@contextmanager
def silent(_name: str) -> Iterator[None]:
    yield


def learned(training: Training, *, first: int = 1, last: int = STEPS) -> list[StepOutcome]:
    with SamplingAhead(training, range(first, last + 1)) as ahead:
        outcomes = []
        for step in range(first, last + 1):
            ahead.wait_for(step)
            outcomes.append(ahead.learn(step, phase=silent))
        return outcomes


def tokens(outcome: StepOutcome) -> list[Any]:
    """What was sampled; how long tools took is not compared."""
    rollouts = [rollout for group in outcome.groups for rollout in group.rollouts]
    rollouts += [c for group in outcome.groups for branch in group.branches for c in branch.continuations]
    return [(rollout.completions, rollout.reward) for rollout in rollouts]


def weights(policy: TransformersPolicy) -> dict[str, torch.Tensor]:
    return policy.model.state_dict()


def test_without_staleness_it_is_the_synchronous_trainer_bit_for_bit(toy: Any, config: TrainConfig) -> None:
    plain, local = begun(toy, config)
    steps = [train_step(plain, step) for step in range(1, STEPS + 1)]
    training, policy = begun(toy, config, staleness=0)
    outcomes = learned(training)
    assert [tokens(outcome) for outcome in outcomes] == [tokens(step) for step in steps]
    assert [outcome.stats.losses for outcome in outcomes] == [step.stats.losses for step in steps]
    assert all(torch.equal(own, weights(policy)[name]) for name, own in weights(local).items())
    assert [outcome.drift for outcome in outcomes] == [None] * STEPS


def test_a_staleness_of_one_samples_each_step_with_the_weights_before_the_last(toy: Any, config: TrainConfig) -> None:
    training, _ = begun(toy, config, staleness=1)
    first, *others = learned(training)
    assert set(first.staleness) == {0}
    for number, outcome in enumerate(others, start=2):
        assert set(outcome.staleness) == {1}
        turns = [turn for group in outcome.groups for rollout in group.rollouts for turn in rollout.completions]
        assert {turn.policy_version for turn in turns} == {number - 2}
        assert outcome.dropped_groups == 0


def test_groups_that_are_too_stale_are_dropped_and_counted(toy: Any, config: TrainConfig) -> None:
    training, policy = begun(toy, config, staleness=1)
    with SamplingAhead(training, range(1, 3)) as ahead:
        ahead.wait_for(1)
        # As if other updates had come in between.
        policy.advance_version(2)
        outcome = ahead.learn(1, phase=silent)
    assert outcome.groups == ()
    assert outcome.dropped_groups == training.buffer.dropped_stale == config.sampling.questions


def test_what_sampling_raises_ends_the_run_and_its_threads(
    toy: Any, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, _ = begun(toy, config, staleness=1)

    def fail(*_: Any, **__: Any) -> Any:
        raise InfrastructureFault("the server is gone")

    monkeypatch.setattr(training.sampler, "sample", fail)
    still = replace(config.sampling, fault_retries=0, fault_wait_s=0.0)
    training = replace(training, config=replace(training.config, sampling=still))
    with SamplingAhead(training, range(1, 3)) as ahead, pytest.raises(InfrastructureFault, match="is gone"):
        ahead.wait_for(1)
    assert not any(thread.is_alive() for thread in ahead._threads)


def test_leaving_the_block_ends_threads_that_wait_or_sample(toy: Any, config: TrainConfig) -> None:
    training, _ = begun(toy, config, staleness=1)
    with SamplingAhead(training, range(1, 100)) as ahead:
        ahead.wait_for(1)
    assert not any(thread.is_alive() for thread in ahead._threads)


def test_what_was_sampled_ahead_is_read_back_equal(toy: Any, config: TrainConfig) -> None:
    training, _ = begun(toy, config, staleness=1)
    with SamplingAhead(training, range(1, 3)) as ahead:
        sampled = ahead.wait_for(2)
        lost = Lost(start=Start(state=_state(training)), fault=InfrastructureFault("gone"), used_tool=True)
        ahead._sampled[2] = replace(sampled, lost_rollouts=(lost,))
        data = write_ahead(ahead)
    buffer, steps = read_ahead(data, BufferSettings(max_staleness=4))
    assert buffer.settings.max_staleness == 4
    assert [step.step for step in steps] == [1, 2]
    assert steps[1].points == sampled.points
    (read,) = steps[1].lost_rollouts
    assert (read.start, str(read.fault), read.used_tool) == (lost.start, "gone", True)
    assert buffer.take_for(1) == training.buffer.take_for(1)
    assert buffer.take_for(2) == training.buffer.take_for(2)


def _state(training: Training) -> Any:
    return training.env.begin(training.env.questions.question(0), seed=1)


def test_a_run_that_was_broken_off_goes_on_as_if_it_had_not_been(config: TrainConfig, tmp_path: Path, toy: Any) -> None:
    log = replace(config.log, checkpoint_every=1)
    config = replace(config, steps=3, max_staleness=1, log=log)
    whole = axpo.train(config, display=Silent())
    broken = replace(config, out=str(tmp_path / "broken"))

    class Stop(axpo.Callback):
        def after_step(self, moment: axpo.RunMoment, record: Any) -> None:
            if moment.step == 2:
                raise RuntimeError("as if killed")

    with pytest.raises(RuntimeError, match="as if killed"):
        axpo.train(broken, display=Silent(), callbacks=(Stop(),))
    resumed = axpo.resume(Path(broken.out), display=Silent())
    assert toy.timeless(resumed.metrics) == toy.timeless(whole.metrics)
    files = [(result.checkpoint / "model.safetensors").read_bytes() for result in (whole, resumed)]
    assert files[0] == files[1]
    assert [record["staleness_max"] for record in whole.metrics] == [0.0, 1.0, 1.0]
    assert all(record["drift_mean"] > 1e-4 for record in whole.metrics[1:])
