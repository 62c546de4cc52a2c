"""Training with turns sampled, and taken, by workers elsewhere: equal to training without, whoever is lost."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from axpo import TrainConfig, Training, train_step
from axpo.algorithm.outcome import StepOutcome
from axpo.cluster._weights import HereShelf
from axpo.cluster.opening import check_cluster, laid_on
from axpo.cluster.rollouts import PlacedSampler, RolloutWorker, Weights
from axpo.run.trainer import load_settings
from axpo.settings.config import ConfigError, RayConfig, WorkersConfig
from axpo_agents.errors import NonFiniteRowError
from axpo_agents.policy import Prefix
from axpo_agents.rolling import advance
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_agents.types import TokenSequence
from axpo_envs import ExactMatch, ListQuestions, Question, Retries, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.outposts import LocalWorker, WorkerLost, Workforce, env_order, order, outposted
from axpo_envs.tools import tool

STEPS = 2


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def config(toy: Any, tmp_path: Path) -> TrainConfig:
    config: TrainConfig = toy.toy_config(tmp_path / "run", steps=STEPS)
    return replace(config, optim=replace(config.optim, lr=1e-3))


class Mortal(LocalWorker):
    """Dies now and then, before or after it has done what it was asked for."""

    def __init__(self, ordered: bytes, chance: random.Random) -> None:
        super().__init__(ordered)
        self._chance = chance

    def ask(self, method: str, *given: Any) -> bytes:
        fate = self._chance.random()
        if fate < 0.2:
            if fate < 0.1:
                super().ask(method, *given)
            self.end()
        return super().ask(method, *given)


def trained(toy: Any, config: TrainConfig) -> tuple[list[StepOutcome], TransformersPolicy]:
    policy = load_policy("tiny-random", load_settings(config.policy, seed=0))
    training = Training.of(config, gymnasium.make(toy.ENV_ID).unwrapped, policy)
    return [train_step(training, step) for step in range(1, STEPS + 1)], policy


def trained_elsewhere(
    toy: Any, config: TrainConfig, *, seats: int = 1, lockstep: bool = True, mortal: bool = False
) -> tuple[list[StepOutcome], TransformersPolicy, tuple[Workforce, Workforce]]:
    settings = load_settings(config.policy, seed=0)
    policy = load_policy("tiny-random", settings)
    env = gymnasium.make(toy.ENV_ID).unwrapped
    orders = env_order({"t": env}), order(partial(RolloutWorker, "tiny-random", settings, HereShelf()))
    chance = random.Random(5)

    def workforce(ordered: bytes, seats: int) -> Workforce:
        return Workforce(lambda: Mortal(ordered, chance) if mortal else LocalWorker(ordered), seats)

    turns, rollouts = workforce(orders[0], 2), workforce(orders[1], seats)
    sampler = PlacedSampler(policy, rollouts, partial(laid_on, HereShelf()), lockstep=lockstep, attempts=20)
    training = replace(Training.of(config, outposted(env, "t", turns), policy), sampler=sampler)
    return [train_step(training, step) for step in range(1, STEPS + 1)], policy, (turns, rollouts)


def content(outcomes: list[StepOutcome], *, exactly: bool) -> Any:
    """Turns, rewards and moments of every rollout and continuation; log-probabilities only if they must be equal."""
    groups = [group for outcome in outcomes for group in outcome.groups]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rollouts += [grown for group in groups for branch in group.branches for grown in branch.continuations]
    return [
        (
            [turn if exactly else (turn.ids, turn.context, turn.policy_version) for turn in rollout.completions],
            rollout.reward,
            [snapshot.digest for snapshot in rollout.snapshots],
        )
        for rollout in rollouts
    ]


def apart(one: TransformersPolicy, other: TransformersPolicy) -> float:
    """The largest difference between weights."""
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def test_with_one_worker_training_is_equal_bit_for_bit(toy: Any, config: TrainConfig) -> None:
    outcomes, policy = trained(toy, config)
    others, other, _ = trained_elsewhere(toy, config)
    assert content(outcomes, exactly=True) == content(others, exactly=True)
    assert apart(policy, other) == 0.0
    # The same weights sampled, and that is measured.
    assert all(outcome.drift is not None and max(outcome.drift.turns) < 1e-5 for outcome in others)
    assert {lag for outcome in others for lag in outcome.staleness} == {0}


@pytest.mark.parametrize("lockstep", [True, False])
def test_with_several_that_are_lost_again_and_again_the_groups_are_the_same(
    toy: Any, config: TrainConfig, lockstep: bool
) -> None:
    outcomes, policy = trained(toy, config)
    config = replace(config, sampling=replace(config.sampling, fault_wait_s=0.0, fault_retries=20))
    others, other, workforces = trained_elsewhere(toy, config, seats=2, lockstep=lockstep, mortal=True)
    assert content(outcomes, exactly=False) == content(others, exactly=False)
    assert apart(policy, other) < 1e-3
    assert sum(workers.lost for workers in workforces) > 5
    assert not any(outcome.lost_rollouts or outcome.lost_continuations for outcome in others)


def test_weights_of_another_model_are_refused(config: TrainConfig) -> None:
    settings = load_settings(config.policy, seed=0)
    worker = RolloutWorker("tiny-random", settings, HereShelf())
    with pytest.raises(ValueError, match="number or sizes"):
        worker.sample(Weights(version=1, key=[]), (), config.sampling.sampling, 0)


def placed(config: TrainConfig, hire: Any, **settings: Any) -> PlacedSampler:
    policy = load_policy("tiny-random", load_settings(config.policy, seed=0))
    sampler = PlacedSampler(
        policy, Workforce(hire, 2), partial(laid_on, HereShelf()), **{"lockstep": True, "attempts": 3, **settings}
    )
    sampler.stage(policy)
    sampler.adopt()
    return sampler


def prefixes(count: int) -> list[Prefix]:
    sequences = [TokenSequence(ids=(9, n), sampled=(False,) * 2, logprobs=(0.0,) * 2) for n in range(count)]
    return [Prefix(sequence=sequence, seed=n) for n, sequence in enumerate(sequences)]


class Unsound:
    """What a worker might meet: the second of the turns that it is given is not finite."""

    def sample(self, weights: Any, given: Any, sampling: Any, seed: int) -> Any:
        raise NonFiniteRowError("expected finite logits", row=1)

    def ready(self) -> None:
        return


def test_what_is_not_finite_is_told_of_its_row_among_all(config: TrainConfig) -> None:
    ordered = order(Unsound)
    sampler = placed(config, lambda: LocalWorker(ordered))
    with pytest.raises(NonFiniteRowError) as told:
        sampler.sample(prefixes(4), config.sampling.sampling, seed=0)
    # The two workers have rows 0 and 2, and 1 and 3.
    assert told.value.row in (2, 3)


def test_workers_that_are_lost_too_often_are_a_fault(config: TrainConfig) -> None:
    asked: list[str] = []

    class Gone(LocalWorker):
        def ask(self, method: str, *given: Any) -> bytes:
            asked.append(method)
            raise WorkerLost("gone")

    for lockstep in (True, False):
        asked.clear()
        sampler = placed(config, lambda: Gone(order(Unsound)), lockstep=lockstep)
        with pytest.raises(WorkerLost):
            sampler.sample(prefixes(1), config.sampling.sampling, seed=0)
        assert asked == ["sample"] * 3


def test_calls_with_effects_are_not_repeated_where_a_worker_died_behind_them(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    @tool(effects="external")
    def publish(text: str) -> str:
        """Publishes a text."""
        with journal.open("a") as file:
            file.write(text)
        return "published"

    class DiesBehind(LocalWorker):
        def ask(self, method: str, *given: Any) -> bytes:
            answer = super().ask(method, *given)
            if method == "advance":
                self.end()
                raise WorkerLost("gone")
            return answer

    questions = ListQuestions([Question(id="q", prompt=("?",), answer="a")])
    env = ToolEnv(ToolEnvSpec(env_id="t/Acting-v0", questions=questions, tools=(publish,), reward=ExactMatch()))
    ordered = env_order({"t": env})
    placed_env = outposted(env, "t", Workforce(lambda: DiesBehind(ordered), 1))
    begun = placed_env.begin(placed_env.questions.question(0))
    acting = call_turn("publish", {"text": "once"})
    with pytest.raises(WorkerLost):
        advance(placed_env, begun, acting, retries=Retries(attempts=5, first_wait_s=0.0))
    assert journal.read_text() == "once"


def test_settings_that_contradict_each_other_are_refused(config: TrainConfig) -> None:
    served = replace(config, sampler="http://host:8000", ray=RayConfig(address="local"))
    with pytest.raises(ConfigError, match=r"ray\.rollouts\.workers: expected 0"):
        check_cluster(served)
    for resources in (("browsers",), ("browsers=0",), ("=1",), ("a=1", "a=2"), ("a=nan",)):
        wrong = RayConfig(environments=WorkersConfig(resources=resources))
        with pytest.raises(ConfigError, match=r"ray\.environments\.resources: expected NAME=AMOUNT"):
            check_cluster(replace(config, ray=wrong))
