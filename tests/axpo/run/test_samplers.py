"""Tests of runs whose turns come from servers: they learn the same way, and say before any work what cannot be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo import ConfigError, Silent, TrainConfig
from axpo.distributed.ranks import Ranks
from axpo.run._samplers import opened_sampler
from axpo.run.environments import make_env, parse_env_args
from axpo.run.policy_loading import load_settings
from axpo.run.validation import check_ranks, resolved
from axpo.settings.config import RayConfig, SamplingConfig, ServingConfig, WorkersConfig
from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import load_policy
from axpo_envs.errors import EnvConfigError

NONE = WorkersConfig(workers=0)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def config(toy: Any, tmp_path: Path) -> TrainConfig:
    config: TrainConfig = toy.toy_config(tmp_path / "run", steps=2)
    log = replace(config.log, eval_questions=0, tensorboard=False, rollouts_every=0)
    return replace(config, model="tiny", log=log)


@pytest.fixture
def server() -> Iterator[CompletionsServer]:
    with CompletionsServer(load_policy("tiny"), quick=True) as server:
        yield server


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_run_samples_on_servers_with_the_weights_that_it_trains(
    staleness: int, config: TrainConfig, server: CompletionsServer
) -> None:
    config = replace(config, sampler=server.url, max_staleness=staleness)
    first, second = axpo.train(config, display=Silent()).metrics
    assert first["drift_max"] < 1e-4
    assert (second["staleness_max"], second["dropped_stale"]) == (staleness, 0.0)
    assert (second["drift_max"] < 1e-4) == (staleness == 0)
    assert server.weights.version.endswith("-1" if staleness == 0 else "-0")
    assert not list((Path(config.out) / "weights").iterdir())


@pytest.mark.parametrize("staleness", [0, 1])
def test_evaluations_ask_servers_with_the_weights_of_then(
    staleness: int, config: TrainConfig, server: CompletionsServer
) -> None:
    sampled_by: list[str] = []

    class Noting(axpo.Callback):
        def after_evaluation(self, moment: axpo.RunMoment, record: Any) -> None:
            sampled_by.append(server.weights.version.rpartition("-")[2])

    log = replace(config.log, eval_questions=1, eval_samples=1, eval_every=1)
    sampling = replace(config.sampling, questions=1, max_turn_tokens=4)
    config = replace(config, method="grpo", log=log, sampling=sampling)
    config = replace(config, sampler=server.url, max_staleness=staleness)
    axpo.train(config, display=Silent(), callbacks=(Noting(),))
    assert sampled_by == ["0", "1", "2"]


def test_prompts_are_made_alike_wherever_they_are_sampled_from(config: TrainConfig, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_folder("tiny"), folder)
    template = folder / "chat_template.jinja"
    template.write_text("{% if brief %}Be brief. {% endif %}" + template.read_text(encoding="utf-8"), encoding="utf-8")
    config = replace(config, model=str(folder), policy=replace(config.policy, template_options=("brief=true",)))
    learner = load_policy(config.model, load_settings(config.policy, seed=0))
    env = make_env(config.env, parse_env_args(config.env_args))
    start = env.begin(env.questions.question(0))
    with (
        CompletionsServer(learner, quick=True) as server,
        opened_sampler(replace(config, sampler=server.url), learner) as sampler,
    ):
        assert sampler is not None
        told = sampler.encode_prompt(env, start)
    assert told.ids == learner.encode_prompt(env, start).ids
    assert learner.decode_turn(told.ids).startswith("Be brief. ")


def test_servers_may_have_other_weights_than_an_untrained_learner_begins_with(
    config: TrainConfig, server: CompletionsServer
) -> None:
    config = replace(config, model="tiny-random", method="grpo", steps=1, sampler=server.url)
    (step,) = axpo.train(config, display=Silent()).metrics
    assert step["drift_max"] < 1e-4


def test_servers_can_be_others_when_a_run_is_resumed(config: TrainConfig, server: CompletionsServer) -> None:
    result = axpo.train(replace(config, steps=1, sampler=server.url), display=Silent())
    with CompletionsServer(load_policy("tiny"), quick=True) as other:
        changes = {"steps": 2, "sampler": f"{other.url},{server.url}"}
        resumed = axpo.resume(result.folder, changes=changes, display=Silent())
    assert [record["step"] for record in resumed.metrics] == [1, 2]
    assert resumed.metrics[1]["drift_max"] < 1e-4


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sampler": "host:8000"}, "expected learner, vllm, or addresses"),
        ({"sampler": "http://h:1", "serving": ServingConfig(folder=__file__)}, "serving.folder: expected a folder"),
        ({"sampler": "http://host:8000,http://"}, "sampler: expected an address .*; address 2 of 2 is none"),
        ({"sampler": "http://a:1,http://a:1"}, "expected every server once"),
        ({"sampler": "http://a:1", "serving": ServingConfig(weights="lora")}, "needs policy.lora_rank"),
        ({"sampler": "http://a:1", "serving": ServingConfig(weights="sglang-lora")}, "needs policy.lora_rank"),
        (
            {"sampler": "http://a:1", "serving": ServingConfig(weights="sglang"), "sampling": SamplingConfig(top_k=5)},
            "top_k 0 and top_p 1",
        ),
        ({"sampler": "vllm", "serving": ServingConfig(weights="sglang")}, "expected reload or lora.*; got sglang"),
        ({"max_staleness": -1}, "max_staleness"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(settings: dict[str, Any], problem: str, config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=problem):
        resolved(replace(config, **settings))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sampler": "vllm"}, "expected learner, addresses of servers, or vllm in workers of Ray"),
        ({"max_staleness": 1}, "max_staleness: expected 0 where 2 processes sample for themselves"),
        ({"sampler": "vllm", "max_staleness": 1}, "got vllm"),
        (
            {"ray": RayConfig(address="auto", rollouts=NONE, environments=WorkersConfig(workers=1))},
            "expected one at least for each of 2 processes that sample for themselves; got 1",
        ),
    ],
)
def test_what_several_processes_cannot_have_is_said_before_any_work(
    settings: dict[str, Any], problem: str, config: TrainConfig
) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_ranks(replace(config, **settings), Ranks(count=2))


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "http://a:1"},
        {"sampler": "http://a:1", "max_staleness": 2},
        {"ray": RayConfig(address="auto"), "max_staleness": 1},
        {"ray": RayConfig(address="auto", rollouts=NONE)},
        {"sampler": "vllm", "ray": RayConfig(address="auto")},
        {"sampler": "http://a:1", "ray": RayConfig(rollouts=NONE, environments=WorkersConfig(workers=1))},
    ],
)
def test_what_one_process_can_have_sampled_elsewhere_several_can(settings: dict[str, Any], config: TrainConfig) -> None:
    check_ranks(replace(config, **settings), Ranks(count=2))


def test_vllm_that_is_not_installed_is_asked_for_by_name(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EnvConfigError, match="pip install vllm"):
        resolved(replace(config, sampler="vllm"))


def test_importance_is_weighted_where_what_samples_is_not_what_learns(config: TrainConfig) -> None:
    assert resolved(config).loss.max_importance == 0.0
    assert resolved(replace(config, max_staleness=1)).loss.max_importance == 2.0
    assert resolved(replace(config, sampler="http://a:1")).loss.max_importance == 2.0
    given = replace(config, loss=replace(config.loss, max_importance=5.0))
    assert resolved(replace(given, max_staleness=1)).loss.max_importance == 5.0
