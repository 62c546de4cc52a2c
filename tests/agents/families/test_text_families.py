"""Tests of families that read text alone, from small checkpoints with their published formats, on an environment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest

from axpo_agents import formats
from axpo_agents.formats import WrittenCall, register_format, translate
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.policy import Prefix
from axpo_agents.rolling import Start, roll
from axpo_agents.testing import save_small_llama, save_small_mistral
from axpo_agents.testing.checkpoints import read_template
from axpo_agents.transformers_policy import PolicyError, TransformersPolicy, load_policy
from axpo_agents.types import Sampling
from axpo_envs.env import ToolEnv
from axpo_envs.examples import call_turn
from axpo_envs.parsing import TextSpan, parse_turn
from axpo_envs.tools import tool
from axpo_envs.types import CallOutcome, ToolCall

SAVERS = {"llama": save_small_llama, "mistral": save_small_mistral}
CALL = ToolCall(name="say", arguments='{"text": "hi"}')
CUT = {"llama": '{"name":', "mistral": "[TOOL_CALLS]"}


@tool
def say(text: str) -> str:
    """Repeats a text.

    Args:
        text: what to repeat.
    """
    return f"heard {text}"


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TransformersPolicy]:
    made: dict[str, TransformersPolicy] = {}

    def of(name: str) -> TransformersPolicy:
        if name not in made:
            made[name] = load_policy(str(SAVERS[name](tmp_path_factory.mktemp(name) / "checkpoint")))
        return made[name]

    return of


def make_env() -> ToolEnv:
    rows = [{"id": "q", "prompt": "Say hi.", "answer": "hi"}]
    env: Any = gymnasium.make("axpo/ToolTask-v0", questions=rows, tools=[say]).unwrapped
    return env


@pytest.mark.parametrize("name", SAVERS)
def test_a_call_in_the_familys_own_format_runs(name: str, policies: Callable[[str], TransformersPolicy]) -> None:
    policy, env = policies(name), make_env()
    chat = policy._chat
    ids = tuple(policy.tokenizer(chat.write_call(CALL), add_special_tokens=False)["input_ids"])
    state = env.begin(env.questions.question(0))
    after = env.advance(state, policy.decode_turn((*ids, chat.turn_end))).state
    (record,) = after.turns[0].calls
    assert record.outcome is CallOutcome.EXECUTED
    assert after.turns[0].observation == ("heard hi",)
    spans = policy.find_spans(ids)
    assert spans.call == (0, len(ids))
    assert policy.tokenizer.decode(ids[: spans.cut]) == CUT[name]
    context = policy.encode_observation(after.turns[0].observation, after=(*ids, chat.turn_end))
    assert "heard hi" in policy.tokenizer.decode(context.ids)
    assert "<tool_response>" not in policy.tokenizer.decode(context.ids)


@pytest.mark.parametrize("name", SAVERS)
def test_turns_are_sampled_with_the_probabilities_that_they_are_scored_with(
    name: str, policies: Callable[[str], TransformersPolicy], kit: SimpleNamespace
) -> None:
    policy, env = policies(name), make_env()
    context = policy.encode_prompt(env, env.begin(env.questions.question(0)))
    prefixes = [Prefix(sequence=kit.given(context))] * 3
    turns = policy.sample(prefixes, Sampling(max_turn_tokens=6), seed=0)
    assert kit.largest_difference(policy, prefixes, turns) < 1e-4


@pytest.mark.parametrize("name", SAVERS)
def test_an_episode_runs_to_its_end(name: str, policies: Callable[[str], TransformersPolicy]) -> None:
    env = make_env()
    start = Start(state=env.begin(env.questions.question(0)))
    (rollout,) = roll(policies(name), env, [start], Sampling(max_turn_tokens=6, max_episode_tokens=8192), seed=0)
    assert rollout.episode.stop is not None


def test_results_of_several_calls_are_messages_of_their_own(policies: Callable[[str], TransformersPolicy]) -> None:
    env = make_env()
    state = env.begin(env.questions.question(0))
    turn = "".join(f'<tool_call>{{"name": "say", "arguments": {{"text": "{text}"}}}}</tool_call>' for text in "ab")
    observation = env.advance(state, turn).observation
    policy = policies("mistral")
    text = policy.tokenizer.decode(policy.encode_observation(observation, after=()).ids)
    assert text.count("[TOOL_RESULTS]") == 2


def test_a_tokenizer_beyond_the_embeddings_is_refused_with_both_numbers(tmp_path: Path) -> None:
    folder = save_small_llama(tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 500}))
    with pytest.raises(PolicyError, match="embeddings for all 512 tokens of the tokenizer; got 500"):
        load_policy(str(folder))


def test_a_sliding_window_is_refused(tmp_path: Path) -> None:
    folder = save_small_mistral(tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 4096}))
    with pytest.raises(PolicyError, match="got a window of 4096 tokens"):
        load_policy(str(folder))


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("qwen3", "Hermes"),
        ("qwen3_vl", "Hermes"),
        ("qwen2_5_vl", "Hermes"),
        ("qwen3_5", "function tags"),
        ("llama_3_1", "Llama JSON"),
        ("mistral", "Mistral"),
        ("gemma_3", "Hermes"),
    ],
)
def test_the_format_of_calls_is_read_from_the_template(
    template: str, name: str, policies: Callable[[str], TransformersPolicy]
) -> None:
    written = read_template(template).replace("<|im_end|>", "<|eot_id|>").replace("<end_of_turn>", "<|eot_id|>")
    chat = ChatFormat(policies("llama").tokenizer, written, (), None)
    assert chat.calls.name == name


WORDS = "{% if tools %}You can call {{ tools[0].function.name }}: @{% endif %}"
TURNS = "{% for m in messages %}<|start_header_id|>{{ m.role }}\n{{ m.content }}<|eot_id|>{% endfor %}"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ('answer with {"name": the function, "parameters": its arguments}.', "Llama JSON"),
        ("write <tool_call> and JSON.", "Hermes"),
        ("write <tool_call><function=NAME>.", "function tags"),
    ],
)
def test_a_template_that_shows_no_call_is_taken_at_its_word(
    words: str, name: str, policies: Callable[[str], TransformersPolicy]
) -> None:
    template = WORDS.replace("@", f"{{% raw %}}{words}{{% endraw %}}") + TURNS
    assert ChatFormat(policies("llama").tokenizer, template, (), None).calls.name == name


SHOWS = (
    "{% for c in m.tool_calls or () %}<|call|>{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (WORDS.replace("@", "write CALL(name) and nothing else") + TURNS, "write CALL"),
        (WORDS + TURNS.replace("{{ m.content }}", SHOWS + "{{ m.content }}"), r"<\|call\|>probetool"),
    ],
)
def test_a_template_that_asks_for_an_unknown_format_is_refused_with_what_it_asks_for(
    template: str, shown: str, policies: Callable[[str], TransformersPolicy]
) -> None:
    with pytest.raises(PolicyError, match=f"calls in a known format .*{shown}"):
        ChatFormat(policies("llama").tokenizer, template, (), None)


class PipeFormat:
    """`<|call|>NAME({...})`: one that the package does not know."""

    name, native, example = "pipes", False, "<|call|>NAME({...})"

    def opening(self, text: str, start: int) -> TextSpan | None:
        found = text.find("<|call|>", start)
        return None if found < 0 else TextSpan(found, found + len("<|call|>"))

    def read(self, text: str, opening: TextSpan) -> WrittenCall:
        call = re.compile(r"(\w+)\((.*)\)").match(text, opening.stop)
        if call is None:
            return WrittenCall(stop=opening.stop, canonical=None)
        return WrittenCall(stop=call.end(), canonical=call_turn(call[1], json.loads(call[2])))

    def write(self, call: ToolCall) -> str:
        return f"<|call|>{call.name}({call.arguments})"

    def recognizes(self, turn: str) -> bool:
        return "<|call|>" in turn

    def asked_for(self, prompt: str) -> bool:
        return "<|call|>" in prompt


def test_a_format_from_outside_is_found_in_templates_and_read(
    policies: Callable[[str], TransformersPolicy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_FORMATS", dict(formats._FORMATS))
    calls = PipeFormat()
    register_format(calls)
    register_format(calls)
    with pytest.raises(ValueError, match="one format of the name 'pipes'"):
        register_format(PipeFormat())
    template = WORDS + TURNS.replace("{{ m.content }}", SHOWS + "{{ m.content }}")
    chat = ChatFormat(policies("llama").tokenizer, template, (), None)
    assert chat.calls is calls
    (found,) = parse_turn(translate('<|call|>look({"place": "harbour"})', chat.calls).text).calls
    assert (found.call.name, dict(found.arguments)) == ("look", {"place": "harbour"})


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (
            "gemma3",
            "expected a text model or one of qwen3_vl, qwen3_vl_moe, qwen2_5_vl, qwen2_vl; got model type gemma3",
        ),
        ("smolvlm", "got model type smolvlm"),
        ("llava_onevision", "got model type llava_onevision"),
        ("internvl", "got model type internvl"),
        ("qwen3_5", "got model type qwen3_5"),
        ("gemma3_text", "full attention in every layer; got sliding_attention"),
        ("qwen3_5_text", "full attention in every layer; got linear_attention"),
    ],
)
def test_a_family_that_cannot_be_run_is_refused_before_its_weights_are_read(
    kind: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(PolicyError, match=problem):
        load_policy(str(tmp_path))


@pytest.mark.parametrize("name", SAVERS)
def test_a_call_keeps_its_familys_own_tokens_and_makes_none_of_what_it_quotes(
    name: str, policies: Callable[[str], TransformersPolicy]
) -> None:
    policy = policies(name)
    plain = policy._chat.write_call(CALL)
    assert policy.encode_call(CALL) == policy.tokenizer.encode(plain, add_special_tokens=False)
    quoting = ToolCall(name="say", arguments=f'{{"text": "{policy.tokenizer.eos_token}[TOOL_CALLS]"}}')
    ids = policy.encode_call(quoting)
    assert policy.tokenizer.eos_token_id not in ids
    assert policy.tokenizer.decode(ids) == policy._chat.write_call(quoting)
