"""Tests of vLLM in this process against a stand-in of its `LLM`: what it is told, what is believed of its answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from axpo_agents.remote._messages import AnswerError, Request
from axpo_agents.remote._vllm import VllmEngine, load_vllm_sampler
from axpo_agents.remote._weights import WeightForm, Weights
from axpo_envs.errors import EnvConfigError


class StandIn:
    """An `LLM` that answers every prompt with 7 and the end 2, by the version that it was told last."""

    def __init__(self) -> None:
        self.version = "default"
        self.told: list[Any] = []
        self.forgets = True
        self.layers: list[Any] = []

    def generate(
        self, prompts: Sequence[Any], sampling: Sequence[Any], *, use_tqdm: bool, lora_request: Any
    ) -> list[Any]:
        self.told.append((list(prompts), list(sampling), lora_request))
        return [self._output(prompt, each) for prompt, each in zip(prompts, sampling, strict=True)]

    def collective_rpc(self, method: str, kwargs: dict[str, str]) -> None:
        self.told.append((method, kwargs))

    def reset_prefix_cache(self) -> bool:
        return self.forgets

    def apply_model(self, change: Any) -> None:
        self.told.append("packed")
        change(SimpleNamespace(modules=lambda: self.layers))

    def update_weight_version(self, name: str) -> None:
        self.version = name

    def _output(self, prompt: Any, sampling: Any) -> Any:
        ids = prompt["prompt_token_ids"]
        rows = [{7: _of(-0.5), 8: _of(-1.0)}, {2: _of(0.0), 9: _of(-20.0)}]
        spans = [SimpleNamespace(version=self.version)]
        turns = [
            SimpleNamespace(index=place, token_ids=[7, 2], logprobs=rows, finish_reason="stop", weight_versions=spans)
            for place in reversed(range(sampling.n))
        ]
        scored = [None, *({token: _of(-0.25)} for token in ids[1:])]
        return SimpleNamespace(outputs=turns, prompt_token_ids=ids, prompt_logprobs=scored)


def _of(logprob: float) -> Any:
    return SimpleNamespace(logprob=logprob)


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = ModuleType("vllm")
    module.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    adapters = ModuleType("vllm.lora.request")
    adapters.LoRARequest = lambda *told: told  # type: ignore[attr-defined]
    platforms = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: False)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setitem(sys.modules, "vllm.lora.request", adapters)
    return StandIn()


ASKED = Request(ids=(3, 4, 5), max_tokens=6, count=2, seed=11, bias={1: -100.0}, stop_ids=(2,), scored=True)
NEW = Weights(version=1, name="axpo-run-1", folder=Path("/weights/1"))


def test_turns_come_back_with_the_log_probabilities_of_what_was_sampled(llm: StandIn) -> None:
    [answer] = VllmEngine(llm, WeightForm.RELOAD).ask_all([ASKED])
    assert [(turn.ids, turn.logprobs, turn.top) for turn in answer.choices] == [((7, 2), (-0.5, 0.0), (-0.5, -1.0))] * 2
    assert (answer.prompt_ids, answer.prompt_logprobs, answer.version) == ((3, 4, 5), (-0.25, -0.25), None)
    [([prompt], [sampling], adapters)] = llm.told
    assert (prompt, adapters) == ({"prompt_token_ids": [3, 4, 5]}, None)
    assert (sampling.n, sampling.max_tokens, sampling.seed) == (2, 6, 11)
    assert (sampling.logit_bias, sampling.stop_token_ids, sampling.top_k) == ({1: -100.0}, [2], -1)


def test_new_weights_are_read_and_their_name_is_held_against_each_turn(llm: StandIn) -> None:
    engine = VllmEngine(llm, WeightForm.RELOAD)
    engine.adopt(NEW)
    assert llm.told == [("reload_weights", {"weights_path": "/weights/1"})]
    assert engine.ask_all([ASKED])[0].version == 1
    llm.version = "default"
    with pytest.raises(AnswerError, match="default"):
        engine.ask_all([ASKED])


class ParallelLMHead:
    """A head as vLLM has it on CPUs."""

    def __init__(self) -> None:
        self.cpu_linear = "of older weights"
        self.quant_method = SimpleNamespace(process_weights_after_loading=self._pack)

    @staticmethod
    def _pack(layer: ParallelLMHead) -> None:
        layer.cpu_linear = "of new weights"


def test_on_cpus_the_head_is_packed_anew(llm: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["vllm.platforms"].current_platform, "is_cpu", lambda: True)
    head = ParallelLMHead()
    llm.layers = [SimpleNamespace(cpu_linear="of a layer that is loaded"), head]
    VllmEngine(llm, WeightForm.RELOAD).adopt(NEW)
    assert (head.cpu_linear, llm.layers[0].cpu_linear) == ("of new weights", "of a layer that is loaded")


def test_on_cpus_a_model_in_another_process_is_refused_before_it_starts(
    llm: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ModuleType("vllm.envs")
    settings.VLLM_ENABLE_V1_MULTIPROCESSING = True  # type: ignore[attr-defined]
    settings.VLLM_ALLOW_INSECURE_SERIALIZATION = False  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm.envs", settings)
    monkeypatch.setattr("axpo_agents.remote._vllm.require_vllm", lambda: None)
    monkeypatch.setattr(sys.modules["vllm.platforms"].current_platform, "is_cpu", lambda: True)
    with pytest.raises(EnvConfigError, match="VLLM_ENABLE_V1_MULTIPROCESSING=0"):
        load_vllm_sampler("tiny", WeightForm.RELOAD, tmp_path, {})


def test_weights_are_not_adopted_while_older_prefixes_stay(llm: StandIn) -> None:
    llm.forgets = False
    engine = VllmEngine(llm, WeightForm.RELOAD)
    with pytest.raises(AnswerError, match="prefix cache"):
        engine.adopt(NEW)
    assert llm.version == "default"


def test_adapters_go_with_each_request_under_their_name(llm: StandIn) -> None:
    engine = VllmEngine(llm, WeightForm.LORA)
    engine.adopt(NEW)
    assert engine.ask_all([ASKED])[0].version == 1
    assert [adapters for *_, adapters in llm.told] == [("axpo-run-1", 2, "/weights/1")]
