"""Tests of servers that follow a learner: weights in every form, deaths, new starts, and episodes side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from axpo_agents.policy import Prefix
from axpo_agents.remote import Dialect, RemoteSettings, ServedSampler, WeightForm, load_served_sampler
from axpo_agents.rolling import Start, roll
from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.testing.served_prompt import ServedPrompt
from axpo_agents.testing.served_weights import ServedWeights
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import LoadSettings, PolicyError, TransformersPolicy, load_policy
from axpo_agents.types import Context, Rollout, Sampling, TokenSequence
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.web import Retries
from axpo_envs.plumbing.web.service import ServiceRefusedError
from axpo_envs.suite.visual_zoom.env import VisualZoom

SHORT = Sampling(max_turn_tokens=4)
PROMPTS = [
    Prefix(sequence=TokenSequence.of((), then=Context(ids=(70, 71, 72 + number))), seed=number) for number in range(6)
]
QUICK = Retries(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)


def changed(seed: int, *, lora: bool = False) -> TransformersPolicy:
    """A learner after an update that shows."""
    learner = load_policy("tiny-random", LoadSettings(lora_rank=2 if lora else 0))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in learner.trainable_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    learner.advance_version()
    return learner


@pytest.fixture(scope="module")
def learner() -> TransformersPolicy:
    return changed(1)


class Servers:
    """Servers of the untrained policy, and what samples with them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.servers: list[CompletionsServer] = []

    def sampler(self, form: WeightForm = WeightForm.RELOAD, *, count: int = 1, **details: Any) -> ServedSampler:
        kind = "sglang" if form.dialect is Dialect.SGLANG else "vllm"
        self.servers = [CompletionsServer(load_policy("tiny-random"), kind=kind, quick=True) for _ in range(count)]
        first, *more = [self._stack.enter_context(server).url for server in self.servers]
        settings = RemoteSettings(url=first, more=tuple(more), retries=QUICK, **details)
        return self._stack.enter_context(load_served_sampler(str(tiny_folder()), settings, form, self._folder))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, tmp_path / "weights")


def assert_sampled_by(learner: TransformersPolicy, sampler: ServedSampler, *, seed: int = 0) -> None:
    turns = sampler.sample(PROMPTS, SHORT, seed=seed)
    sequences = []
    for prefix, turn in zip(PROMPTS, turns, strict=True):
        given = prefix.sequence.ids
        nothing, whole = (0.0,) * len(given), (False,) * len(given) + (True,) * len(turn.ids)
        sequences.append(TokenSequence(ids=given + turn.ids, sampled=whole, logprobs=nothing + turn.logprobs))
    with torch.no_grad():
        scores = learner.logprobs(sequences)
    for turn, score in zip(turns, scores, strict=True):
        assert score.tolist() == pytest.approx(turn.logprobs, abs=1e-4)
        assert turn.version == learner.version


@pytest.mark.parametrize("form", list(WeightForm))
def test_servers_sample_with_the_weights_of_the_learner_once_they_are_adopted(
    form: WeightForm, servers: Servers, learner: TransformersPolicy
) -> None:
    learner = changed(2, lora=True) if form.adapters else learner
    sampler = servers.sampler(form)
    sampler.stage(learner)
    assert sampler.version == 0
    sampler.adopt()
    assert sampler.version == 1
    assert_sampled_by(learner, sampler)


def test_a_server_that_was_started_again_gets_its_weights_before_it_is_believed(
    servers: Servers, learner: TransformersPolicy
) -> None:
    sampler = servers.sampler()
    sampler.stage(learner)
    sampler.adopt()
    fresh = CompletionsServer(load_policy("tiny-random"), quick=True)
    servers.servers[0]._server.weights = fresh.weights
    assert fresh.weights.version == "default"
    assert_sampled_by(learner, sampler)
    assert fresh.weights.version.startswith("axpo-")
    fresh._server.server_close()


def test_adapters_that_a_new_start_has_forgotten_are_loaded_again(servers: Servers) -> None:
    learner = changed(2, lora=True)
    sampler = servers.sampler(WeightForm.LORA)
    sampler.stage(learner)
    sampler.adopt()
    servers.servers[0].weights._adapters.clear()
    assert_sampled_by(learner, sampler)


@pytest.mark.parametrize("form", [form for form in WeightForm if form.adapters])
def test_a_server_that_answers_for_adapters_it_does_not_have_is_refused(
    form: WeightForm, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("named", "adapted"):
        monkeypatch.setattr(ServedWeights, name, lambda weights, _name: weights._base)
    with pytest.raises(PolicyError, match="refuses adapters it does not have"):
        servers.sampler(form)


def test_sglang_keeps_no_adapters_but_the_newest_and_loads_those_that_it_forgot(servers: Servers) -> None:
    learner = changed(2, lora=True)
    sampler = servers.sampler(WeightForm.SGLANG_LORA)
    weights = servers.servers[0].weights
    for _ in range(2):
        sampler.stage(learner)
        sampler.adopt()
        assert_sampled_by(learner, sampler)
        learner.advance_version()
    assert [name[-2:] for name in weights._adapters] == ["-2"]
    weights._adapters.clear()
    turns = sampler.sample(PROMPTS, SHORT, seed=0)
    assert {turn.version for turn in turns} == {2}
    assert [name[-2:] for name in weights._adapters] == ["-2"]


def test_adapters_whose_loading_was_not_heard_of_are_there(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = changed(2, lora=True)
    sampler = servers.sampler(WeightForm.SGLANG_LORA)
    sampler.stage(learner)
    sampler.adopt()
    monkeypatch.setattr(sampler._engine._lanes[0], "_loaded", None)  # type: ignore[attr-defined]
    assert_sampled_by(learner, sampler)


def test_adapters_that_a_server_has_still_are_no_refusal(servers: Servers) -> None:
    learner = changed(2, lora=True)
    sampler = servers.sampler(WeightForm.LORA)
    sampler.stage(learner)
    sampler.adopt()
    # As after a request that timed out, or was answered by 503.
    sampler._engine._lanes[0].fared(well=False)  # type: ignore[attr-defined]
    assert_sampled_by(learner, sampler)


def test_older_adapters_are_unloaded(servers: Servers) -> None:
    learner = changed(2, lora=True)
    sampler = servers.sampler(WeightForm.LORA)
    for version in (1, 2, 3):
        learner.advance_version(version)
        sampler.stage(learner)
        sampler.adopt()
    assert [name[-2:] for name in servers.servers[0].weights._adapters] == ["-3"]


def test_requests_of_a_dead_server_go_to_the_other_and_new_weights_do_without_it(
    servers: Servers, learner: TransformersPolicy
) -> None:
    sampler = servers.sampler(count=2)
    sampler.stage(learner)
    sampler.adopt()
    sampler.sample(PROMPTS, SHORT, seed=0)
    assert all(server.requests for server in servers.servers)
    servers.servers[0].__exit__(None, None, None)
    assert_sampled_by(learner, sampler)
    later = changed(3)
    later.advance_version()
    sampler.stage(later)
    sampler.adopt()
    assert_sampled_by(later, sampler)


def test_where_no_server_is_left_it_is_a_fault(servers: Servers, learner: TransformersPolicy) -> None:
    sampler = servers.sampler()
    servers.servers[0].__exit__(None, None, None)
    with pytest.raises(InfrastructureFault):
        sampler.sample(PROMPTS, SHORT, seed=0)
    sampler.stage(learner)
    with pytest.raises(InfrastructureFault):
        sampler.adopt()


def test_weights_that_a_server_refuses_are_no_fault(
    servers: Servers, learner: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = servers.sampler()
    monkeypatch.setattr(type(servers.servers[0].weights), "control", lambda *_: None)
    sampler.stage(learner)
    with pytest.raises(ServiceRefusedError, match="VLLM_SERVER_DEV_MODE"):
        sampler.adopt()


def test_weights_are_not_adopted_while_a_server_keeps_older_prefixes(
    servers: Servers, learner: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = servers.sampler()
    weights = servers.servers[0].weights
    monkeypatch.setattr(weights, "_forget", lambda: {"success": False})
    sampler.stage(learner)
    with pytest.raises(InfrastructureFault, match="prefix cache"):
        sampler.adopt()
    assert (weights.version, weights.paused) == ("default", False)


def test_a_server_that_does_not_tell_its_version_is_refused_before_any_work(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axpo_agents.remote._dialect._versions", lambda _: ())
    with pytest.raises(PolicyError, match="tells by which weights it sampled"):
        servers.sampler()


def test_a_server_that_samples_all_turns_of_a_request_with_one_seed_is_refused(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = ServedPrompt.turns
    monkeypatch.setattr(ServedPrompt, "turns", lambda *told: turns(*told)[:1] * told[1]["n"])
    with pytest.raises(PolicyError, match="enable-deterministic-inference"):
        servers.sampler(WeightForm.SGLANG)


def test_a_learner_without_adapters_has_none_to_load(servers: Servers, tmp_path: Path) -> None:
    sampler = servers.sampler(WeightForm.LORA)
    with pytest.raises(PolicyError, match="LoRA adapters"):
        sampler.stage(changed(1))


def test_only_weights_that_may_be_needed_again_are_kept(
    servers: Servers, learner: TransformersPolicy, tmp_path: Path
) -> None:
    sampler = servers.sampler()
    for version in (1, 2, 3):
        learner.advance_version(version)
        sampler.stage(learner)
        sampler.adopt()
    assert [path.name[-2:] for path in (tmp_path / "weights").iterdir()] == ["-3"]
    sampler.close()
    assert not list((tmp_path / "weights").iterdir())
    learner.advance_version(1)


def test_prompts_that_begin_alike_go_to_one_server(servers: Servers) -> None:
    sampler = servers.sampler(count=2)
    for server in servers.servers:
        server.requests.clear()
    group = [Prefix(sequence=PROMPTS[0].sequence, forced=(80 + number,), seed=number) for number in range(4)]
    sampler.sample(group, SHORT, seed=0)
    assert sorted(len(server.requests) for server in servers.servers) == [0, 4]


def test_weights_change_between_turns_and_not_within(servers: Servers, learner: TransformersPolicy) -> None:
    sampler = servers.sampler()
    sampler.stage(learner)
    sampler.adopt()
    lanes = sampler._engine._lanes  # type: ignore[attr-defined]
    lanes[0].under_way += 1
    later = changed(3)
    later.advance_version()
    sampler.stage(later)
    thread = threading.Thread(target=sampler.adopt)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    assert sampler.version == 1
    with sampler._engine._gate:  # type: ignore[attr-defined]
        lanes[0].under_way -= 1
        sampler._engine._gate.notify_all()  # type: ignore[attr-defined]
    thread.join()
    assert sampler.version == 2


def test_episodes_go_their_own_ways_and_come_out_as_they_would_alone(servers: Servers) -> None:
    env = VisualZoom(split="validation")
    sampler = servers.sampler(count=2)
    starts = [Start(state=env.begin(env.questions.question(number)), seed=number) for number in range(3)]
    together = roll(sampler, env, starts, SHORT, seed=0)
    alone = [roll(sampler, env, [start], SHORT, seed=0)[0] for start in starts]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Rollout)
        assert isinstance(other, Rollout)
        assert [turn.ids for turn in one] == [turn.ids for turn in other]
        assert [turn.policy_version for turn in one] == [0] * len(one.completions)
