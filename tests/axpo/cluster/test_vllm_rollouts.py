"""Training with turns sampled by vLLM in workers elsewhere: a stand-in for its `LLM` samples as a policy does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import gymnasium
import pytest

from axpo import TrainConfig, Training, train_step
from axpo.algorithm.outcome import StepOutcome
from axpo.cluster._weights import HereShelf
from axpo.cluster.opening import check_cluster
from axpo.cluster.rollouts import PlacedSampler
from axpo.cluster.vllm_rollouts import VllmRolloutWorker, files_laid_on
from axpo.run.trainer import load_settings
from axpo.settings._engine import engine_options
from axpo.settings.config import ConfigError, RayConfig, ServingConfig
from axpo_agents.policy import Prefix, Sampled, Sampler
from axpo_agents.remote import WeightForm, load_vllm_sampler
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_agents.types import Context, Sampling, TokenSequence
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.outposts import LocalWorker, Workforce, order

STEPS = 2


class StandIn:
    """An `LLM` whose model is a policy."""

    made: ClassVar[list[StandIn]] = []

    def __init__(self, model: str, **options: Any) -> None:
        self.policy = load_policy(model)
        self.options = options
        self.version = "default"
        self.read: list[str] = []
        self.made.append(self)

    def generate(self, prompts: Sequence[Any], sampling: Sequence[Any], **_: Any) -> list[Any]:
        assert all(each.n == 1 for each in sampling)
        rows = [tuple(prompt["prompt_token_ids"]) for prompt in prompts]
        prefixes = [
            Prefix(sequence=TokenSequence.of((), then=Context(ids=row)), seed=each.seed)
            for row, each in zip(rows, sampling, strict=True)
        ]
        turns = self.policy.sample(prefixes, Sampling(max_turn_tokens=sampling[0].max_tokens), seed=0)
        return [self._output(row, turn) for row, turn in zip(rows, turns, strict=True)]

    def collective_rpc(self, method: str, kwargs: dict[str, str]) -> None:
        assert method == "reload_weights"
        self.read.append(kwargs["weights_path"])
        self.policy = load_policy(kwargs["weights_path"])

    def reset_prefix_cache(self) -> bool:
        return True

    def update_weight_version(self, name: str) -> None:
        self.version = name

    def _output(self, ids: Sequence[int], turn: Sampled) -> Any:
        pairs = zip(turn.ids, turn.logprobs, strict=True)
        written = SimpleNamespace(
            index=0,
            token_ids=turn.ids,
            logprobs=[{token: SimpleNamespace(logprob=value)} for token, value in pairs],
            finish_reason=str(turn.finish),
            weight_versions=[SimpleNamespace(version=self.version)],
        )
        return SimpleNamespace(outputs=[written], prompt_token_ids=list(ids), prompt_logprobs=None)


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    module, settings, platforms = ModuleType("vllm"), ModuleType("vllm.envs"), ModuleType("vllm.platforms")
    module.LLM, module.SamplingParams = StandIn, SimpleNamespace  # type: ignore[attr-defined]
    settings.VLLM_ENABLE_V1_MULTIPROCESSING = False  # type: ignore[attr-defined]
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: False)  # type: ignore[attr-defined]
    for made in (module, settings, platforms):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr("axpo_agents.remote._vllm.require_vllm", lambda: None)
    # A worker sets it in its process, which is this one here.
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setattr(StandIn, "made", [])


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def config(toy: Any, tmp_path: Path) -> TrainConfig:
    config: TrainConfig = toy.toy_config(tmp_path / "run", steps=STEPS)
    serving = ServingConfig(options=("enforce_eager=true",))
    return replace(config, optim=replace(config.optim, lr=1e-3), sampler="vllm", serving=serving)


class Mortal(LocalWorker):
    """Dies behind its second call, which is not answered."""

    def __init__(self, ordered: bytes) -> None:
        super().__init__(ordered)
        self._calls = 0

    def ask(self, method: str, *given: Any) -> bytes:
        answer = super().ask(method, *given)
        self._calls += 1
        if self._calls == 2:
            self.end()
        return super().ask(method, *given) if self._gone else answer


def placed(config: TrainConfig, policy: TransformersPolicy) -> PlacedSampler:
    form = WeightForm.RELOAD
    ordered = order(partial(VllmRolloutWorker, "tiny", form, engine_options(config), HereShelf()))
    workers = Workforce(lambda: Mortal(ordered), 2)
    lay = partial(files_laid_on, HereShelf(), form)
    sampler = PlacedSampler(policy, workers, lay, lockstep=True, attempts=2)
    sampler.stage(policy)
    sampler.adopt()
    return sampler


def trained(toy: Any, config: TrainConfig, policy: TransformersPolicy, sampler: Sampler) -> list[StepOutcome]:
    env = gymnasium.make(toy.ENV_ID, pictures=False).unwrapped
    training = replace(Training.of(config, env, policy), sampler=sampler)
    return [train_step(training, step) for step in range(1, STEPS + 1)]


def content(outcomes: list[StepOutcome]) -> Any:
    """The turns of every rollout and continuation, as they were sampled."""
    groups = [group for outcome in outcomes for group in outcome.groups]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rollouts += [grown for group in groups for branch in group.branches for grown in branch.continuations]
    return [[(turn.ids, turn.policy_version) for turn in rollout.completions] for rollout in rollouts]


def test_workers_that_are_lost_sample_what_vllm_in_this_process_does(
    toy: Any, config: TrainConfig, tmp_path: Path
) -> None:
    settings = load_settings(config.policy, seed=0)
    policy = load_policy("tiny", settings)
    with load_vllm_sampler("tiny", WeightForm.RELOAD, tmp_path / "w", engine_options(config)) as here:
        alone = trained(toy, config, policy, here)
    other = load_policy("tiny", settings)
    sampler = placed(config, other)
    outcomes = trained(toy, config, other, sampler)
    assert content(outcomes) == content(alone)
    assert {turn[1] for rollout in content(outcomes) for turn in rollout} == {0, 1}
    assert all(outcome.drift is not None and max(outcome.drift.turns) < 1e-5 for outcome in outcomes)
    assert sampler._workers.lost >= 2
    # Every worker read both versions, and left nothing of them.
    assert all(engine.options["enforce_eager"] for engine in StandIn.made)
    assert not any(Path(folder).parent.exists() for engine in StandIn.made[1:] for folder in engine.read)


def test_a_worker_keeps_its_engine_in_its_own_process(config: TrainConfig) -> None:
    VllmRolloutWorker("tiny", WeightForm.RELOAD, engine_options(config), HereShelf())
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    # Turns are given images, and no videos.
    assert StandIn.made[0].options["limit_mm_per_prompt"] == {"video": 0}


def test_adapters_travel_alone_and_stay_while_they_are_used(config: TrainConfig) -> None:
    config = replace(config, policy=replace(config.policy, lora_rank=2))
    learner = load_policy("tiny", load_settings(config.policy, seed=0))
    shelf = HereShelf()
    files = shelf.get(files_laid_on(shelf, WeightForm.LORA, learner))
    assert {name for name in files if name.startswith("adapter")} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert "model.safetensors" not in files


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (2, 8), (8, 8), (24, 32), (512, 512)])
def test_vllm_makes_room_for_adapters_in_the_sizes_it_knows(config: TrainConfig, rank: int, room: int) -> None:
    config = replace(config, policy=replace(config.policy, lora_rank=rank))
    assert engine_options(config)["max_lora_rank"] == room


@pytest.mark.parametrize(
    ("rank", "options", "message"),
    [(513, (), "policy.lora_rank: expected at most 512"), (16, ("max_lora_rank=8",), "at least policy.lora_rank, 16")],
)
def test_adapters_that_vllm_has_no_room_for_are_refused_before_any_work(
    config: TrainConfig, rank: int, options: tuple[str, ...], message: str
) -> None:
    policy, serving = replace(config.policy, lora_rank=rank), replace(config.serving, options=options)
    with pytest.raises(ConfigError, match=message):
        engine_options(replace(config, policy=policy, serving=serving))


def test_turns_of_other_weights_are_a_fault_where_the_trainer_is_too(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy("tiny", load_settings(config.policy, seed=0))
    sampler = placed(config, policy)
    monkeypatch.setattr(StandIn, "update_weight_version", lambda *_: None)
    prefix = Prefix(sequence=TokenSequence.of((), then=Context(ids=(70, 71))), seed=1)
    with pytest.raises(InfrastructureFault, match=r"the server's answer was sampled by the weights \['default'\]"):
        sampler.sample([prefix], Sampling(max_turn_tokens=2), seed=0)


def test_vllm_is_asked_for_where_the_workers_are(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo.cluster.opening.require_extra", lambda *_: None)
    check_cluster(replace(config, ray=RayConfig(address="local")))
    with pytest.raises(ConfigError, match=r"ray\.rollouts\.workers: expected 0"):
        check_cluster(replace(config, sampler="http://host:8000", ray=RayConfig(address="local")))

    def missing() -> None:
        raise EnvConfigError("vllm must be installed")

    monkeypatch.setattr("axpo_agents.remote._vllm.require_vllm", missing)
    ordered = order(partial(VllmRolloutWorker, "tiny", WeightForm.RELOAD, {}, HereShelf()))
    with pytest.raises(EnvConfigError, match="must be installed"):
        Workforce(lambda: LocalWorker(ordered), 1).start("ready", within_s=60.0)
