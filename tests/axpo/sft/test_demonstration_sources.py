from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from axpo.algorithm.sampling import sample_groups
from axpo.records._rollout_log import write_rollouts
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import to_toml
from axpo.settings.sft import RECORDED, DemonstrationsConfig, SftConfig
from axpo.sft._demonstrations import Demonstration, Speaker, encode, pieces
from axpo.sft._run import run_sft
from axpo.sft.lessons._recorded import Recorded
from axpo.sft.sources import load_demonstrations
from axpo_agents.testing import save_small_qwen3, save_small_qwen3_vl
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.suite.visual_zoom.expert import ZoomExpert
from axpo_envs.types import EpisodeState

SCHEMA = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLING: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "How is it in Oslo?"},
        {
            "role": "assistant",
            "reasoning_content": "I must look.",
            "content": "",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "snow"},
        {"role": "assistant", "content": "<answer>snowy</answer>"},
    ],
    "tools": [SCHEMA],
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> TransformersPolicy:
    return load_policy(str(save_small_qwen3(tmp_path_factory.mktemp("qwen3"))))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> TransformersPolicy:
    return load_policy(str(save_small_qwen3_vl(tmp_path_factory.mktemp("qwen3-vl"))))


def file_of(folder: Path, *records: Mapping[str, Any]) -> DemonstrationsConfig:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return DemonstrationsConfig(source=str(path))


def loaded(folder: Path, *records: Mapping[str, Any], env: ToolEnv | None = None) -> list[Demonstration]:
    return load_demonstrations(file_of(folder, *records), env, seed=0)


def trained(demonstration: Demonstration, policy: TransformersPolicy) -> list[str]:
    encoded = encode(demonstration, Recorded([demonstration], None, seed=0).env, policy)
    return [piece.text for piece in pieces(encoded, policy) if piece.trained]


def read(demonstration: Demonstration, policy: TransformersPolicy) -> str:
    encoded = encode(demonstration, Recorded([demonstration], None, seed=0).env, policy)
    return "".join(piece.text for piece in pieces(encoded, policy) if not piece.trained)


def test_only_the_assistant_s_messages_are_trained_ends_of_turns_included(
    tmp_path: Path, policy: TransformersPolicy
) -> None:
    (demonstration,) = loaded(tmp_path, CALLING)
    thought = "<think>\nI must look.\n</think>\n\n"
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    first, second = trained(demonstration, policy)
    assert first.split() == f"{thought}{call}<|im_end|>".split()
    assert second == "<answer>snowy</answer><|im_end|>"


def test_the_records_own_system_message_tools_and_results_are_read(tmp_path: Path, policy: TransformersPolicy) -> None:
    (demonstration,) = loaded(tmp_path, CALLING)
    text = read(demonstration, policy)
    assert "Answer in one word." in text
    assert "Tells the weather." in text
    assert "<tool_response>\nsnow\n</tool_response>" in text


def test_a_trained_turn_parses_as_the_environment_would_parse_it(tmp_path: Path, policy: TransformersPolicy) -> None:
    (demonstration,) = loaded(tmp_path, CALLING)
    encoded = encode(demonstration, Recorded([demonstration], None, seed=0).env, policy)
    ids = [t for t, sampled in zip(encoded.sequence.ids, encoded.sequence.sampled, strict=True) if sampled]
    end = ids.index(policy.tokenizer.eos_token_id)
    spans = policy.find_spans(ids[: end + 1])
    assert spans.thinking is not None
    assert spans.call is not None


def test_other_spellings_of_a_conversation_say_the_same(tmp_path: Path, policy: TransformersPolicy) -> None:
    sharegpt = {
        "conversations": [
            {"from": "system", "value": "Answer in one word."},
            {"from": "human", "value": "How is it in Oslo?"},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
            {"from": "observation", "value": "snow"},
            {"from": "gpt", "value": "<answer>snowy</answer>"},
        ],
        "tools": json.dumps([SCHEMA["function"]]),
    }
    plain = json.loads(json.dumps(CALLING))
    del plain["messages"][2]["reasoning_content"]
    split = {"prompt": plain["messages"][:2], "completion": plain["messages"][2:], "tools": [SCHEMA]}
    a, b, c = loaded(tmp_path, sharegpt, plain, split)
    assert trained(a, policy) == trained(b, policy) == trained(c, policy)
    assert read(a, policy) == read(b, policy) == read(c, policy)


def test_messages_of_weight_zero_are_read_and_not_trained(tmp_path: Path, policy: TransformersPolicy) -> None:
    record = json.loads(json.dumps(CALLING))
    record["messages"][2]["weight"] = 0
    (demonstration,) = loaded(tmp_path, record)
    assert trained(demonstration, policy) == ["<answer>snowy</answer><|im_end|>"]


def test_a_user_may_go_on_with_the_conversation(tmp_path: Path, policy: TransformersPolicy) -> None:
    record = {
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good day."},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Good night."},
        ]
    }
    (demonstration,) = loaded(tmp_path, record)
    assert demonstration.turns[0].answered_by is Speaker.USER
    text = read(demonstration, policy)
    assert "user\nAnd now?" in text
    assert "<tool_response>" not in text
    assert trained(demonstration, policy) == ["Good day.<|im_end|>", "Good night.<|im_end|>"]


def test_images_of_parts_placeholders_and_results_are_shown_in_order(
    tmp_path: Path, seeing: TransformersPolicy
) -> None:
    for shade in (10, 90, 200):
        Image.fromarray(np.full((64, 64, 3), shade, dtype=np.uint8)).save(tmp_path / f"{shade}.png")
    record = {
        "messages": [
            {"role": "user", "content": "<image>What is on <image>?"},
            {"role": "assistant", "content": "Let me see."},
            {"role": "tool", "content": [{"type": "text", "text": "crop"}, {"type": "image", "path": "200.png"}]},
            {"role": "assistant", "content": "A cat."},
        ],
        "images": ["10.png", "90.png"],
    }
    (demonstration,) = loaded(tmp_path, record)
    encoded = encode(demonstration, Recorded([demonstration], None, seed=0).env, seeing)
    assert [int(image.pixels[0, 0, 0]) for image in encoded.sequence.images] == [10, 90, 200]
    assert sum(encoded.sequence.sampled) == len(encoded.weights)


def test_with_an_environment_its_instructions_and_tools_are_what_is_shown(
    tmp_path: Path, policy: TransformersPolicy, text_env: ToolEnv
) -> None:
    (demonstration,) = loaded(tmp_path, CALLING, env=text_env)
    text = policy.tokenizer.decode(encode(demonstration, text_env, policy).sequence.ids)
    assert "Answer in one word." not in text
    assert "Tells the weather." not in text
    assert text_env.instructions in text
    opening = policy.encode_prompt(text_env, demonstration.start).ids
    assert encode(demonstration, text_env, policy).sequence.ids[: len(opening)] == opening


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, "expected 'messages'"),
        ({"messages": [{"role": "user", "content": "?"}]}, "expected a message of a user and after it"),
        ({"messages": [{"role": "robot", "content": "?"}]}, "message 1: expected a role"),
        ({"messages": [*CALLING["messages"][:2], {"role": "assistant", "content": ""}]}, "empty message"),
        ({"messages": [*CALLING["messages"], CALLING["messages"][-1]]}, "between two messages of an assistant"),
        ({"images": ["missing.png"]}, "1 have none"),
        ({"tools": "not json"}, "tools: expected a list"),
        ({"tools": [{"parameters": {}}]}, "tools: expected schemas with 'name'"),
        (
            {
                "messages": [
                    *CALLING["messages"][:2],
                    {"role": "assistant", "tool_calls": [{"name": "x", "arguments": "{"}]},
                ]
            },
            "message 3: expected JSON",
        ),
    ],
)
def test_unusable_records_are_listed_by_place(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message) as caught:
        loaded(tmp_path, CALLING, {**CALLING, **change})
    assert "row 2 (line 2)" in str(caught.value)


def test_a_run_s_right_rollouts_are_demonstrations(tmp_path: Path) -> None:
    tiny = load_policy("tiny")
    env = VisualZoom(image_size=128, guess_rate=0.7)
    config = TrainConfig(env_args=("image_size=128", "guess_rate=0.7"))
    sampling = config.sampling.__class__(questions=4, group_size=8, max_turn_tokens=24, max_episode_tokens=512)
    groups = sample_groups([env.questions.question(i) for i in range(4)], tiny, env, sampling, seed=1)
    write_rollouts(tmp_path / "rollouts", 3, groups, limit=0)
    (tmp_path / "config.toml").write_text(to_toml(config))
    found = load_demonstrations(DemonstrationsConfig(source=str(tmp_path)), None, seed=0)
    right = [rollout for group in groups for rollout in group.rollouts if rollout.reward >= 0.5]
    assert found
    assert len(found) == len(right)
    for demonstration in found:
        assert demonstration.env is not None
        ids = encode(demonstration, demonstration.env, tiny).sequence.ids
        # What is trained is token for token what was sampled.
        assert ids in [rollout.sequence().ids for rollout in right]


class Expert(ZoomExpert):
    """Given the environment, as `package.module:name` agents are."""

    def __init__(self, env: VisualZoom) -> None:
        super().__init__(env, seed=4)


class Wrong:
    def act(self, observation: Mapping[str, Any], state: EpisodeState) -> str:
        return "<answer>nothing</answer>"


@pytest.fixture
def as_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    import sys
    import types

    def make() -> str:
        module = types.ModuleType("my_agents")
        module.Expert, module.Wrong = Expert, Wrong  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "my_agents", module)
        return "my_agents"

    return make


def test_an_agent_s_right_episodes_are_demonstrations(as_module: Callable[[], str]) -> None:
    env = VisualZoom(image_size=128)
    config = DemonstrationsConfig(source=f"{as_module()}:Expert", episodes=5)
    found = load_demonstrations(config, env, seed=0)
    assert 0 < len(found) <= 5
    assert any(len(demonstration.turns) == 2 for demonstration in found)
    with pytest.raises(ConfigError, match="no demonstrations with a reward"):
        load_demonstrations(DemonstrationsConfig(source="my_agents:Wrong", episodes=2), env, seed=0)
    with pytest.raises(ConfigError, match="expected the environment"):
        load_demonstrations(config, None, seed=0)


def test_a_source_that_is_nothing_is_refused(tmp_path: Path) -> None:
    for source in (str(tmp_path / "missing.jsonl"), str(tmp_path)):
        with pytest.raises(ConfigError, match="expected a JSONL file of chat messages"):
            load_demonstrations(DemonstrationsConfig(source=source), None, seed=0)


def test_every_demonstration_is_drawn_once_a_pass() -> None:
    env = VisualZoom(image_size=128)
    demonstrations = [Demonstration(start=env.begin(env.questions.question(i)), turns=()) for i in range(5)]
    lesson = Recorded(demonstrations, env, seed=3)
    assert lesson.steps(epochs=2, batch=2) == 6
    drawn = [lesson.draw(2) for _ in range(6)]
    assert [len(batch) for batch in drawn] == [2, 2, 1, 2, 2, 1]
    for batches in (drawn[:3], drawn[3:]):
        names = [one.start.question.id for batch in batches for one in batch]
        assert sorted(names) == sorted(one.start.question.id for one in demonstrations)


class Quiet:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[Mapping[str, Any]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def examples(self, number: int, shown: Any) -> None: ...

    def step(self, record: Mapping[str, Any]) -> None:
        self.steps.append(record)

    def stage_done(self, number: int, evaluation: Mapping[str, Any]) -> None: ...


def test_a_run_on_own_demonstrations_learns_them_and_counts_what_is_too_long(tmp_path: Path) -> None:
    model = save_small_qwen3(tmp_path / "model")
    long = json.loads(json.dumps(CALLING))
    long["messages"][1]["content"] = "again and " * 400
    own = file_of(tmp_path, CALLING, long)
    config = SftConfig(
        env=RECORDED,
        model=str(model),
        out=str(tmp_path / "run"),
        demonstrations=DemonstrationsConfig(source=own.source, epochs=30, batch=4, lr=3e-3, max_tokens=600),
    )
    display = Quiet()
    result = run_sft(config, display)
    assert display.notes == ["1 of 2 demonstrations have more than 600 tokens: left out"]
    assert display.steps[-1]["steps"] == 30
    assert display.steps[-1]["loss"] < display.steps[0]["loss"] - 2
    assert result.checkpoint.name == "stage-1"


def test_stages_that_do_not_teach_the_demonstrations_are_refused(tmp_path: Path) -> None:
    own = file_of(tmp_path, CALLING)
    stages = (SftConfig().stages[0].__class__(steps=3),)
    with pytest.raises(ConfigError, match='lesson = "demonstrations"'):
        run_sft(SftConfig(demonstrations=own, stages=stages, out=str(tmp_path / "run")), Quiet())
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def text_env() -> ToolEnv:
    from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnvSpec

    spec = ToolEnvSpec(
        env_id="x/X-v0",
        questions=ListQuestions([Question(id="0", prompt=("?",), answer="a")]),
        tools=(),
        reward=ExactMatch(),
        instructions="Write the answer between tags.",
    )
    return ToolEnv(spec)


def test_images_are_decoded_as_questions_images_are(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), 50, dtype=np.uint8)).save(tmp_path / "a.png")
    message = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": "?"}],
    }
    (demonstration,) = loaded(tmp_path, {"messages": [message, {"role": "assistant", "content": "x"}]})
    (image,) = demonstration.start.question.images
    assert isinstance(image, ImageRef)
    assert image.pixels.shape == (8, 8, 3)


ASKED = {"role": "user", "content": "How is it in Oslo?"}
SNOW = {"role": "tool", "content": "snow"}
SAID = {"role": "assistant", "content": "<answer>snowy</answer>"}


def calls(*given: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(given), **more}


def first_turn(folder: Path, policy: TransformersPolicy, *messages: Any) -> str:
    (demonstration,) = loaded(folder, {"messages": list(messages)})
    return trained(demonstration, policy)[0]


@pytest.mark.parametrize(
    "message",
    [
        calls({"function": {"name": "f", "arguments": {"a": 1}}}),
        calls({"name": "f", "parameters": {"a": 1}}),
        calls({"name": "f", "input": '{"a": 1}'}),
        calls({"function": {"name": "f", "arguments": json.dumps('{"a": 1}')}}),
        {"role": "assistant", "tool_calls": {"name": "f", "args": {"a": 1}}},
        {"role": "Assistant", "tool_calls": '[{"name": "f", "arguments": {"a": 1}}]'},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
    ],
)
def test_calls_in_all_spellings_are_the_same_call(
    tmp_path: Path, policy: TransformersPolicy, message: dict[str, Any]
) -> None:
    written = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call><|im_end|>'
    assert first_turn(tmp_path, policy, ASKED, message, SNOW, SAID) == written


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "<think>Hm.</think>"},
        {"reasoning_text": "Hm."},
        {"thinking": "Hm."},
        {"thought": "Hm."},
        {"reasoning_content": [{"type": "text", "text": "Hm."}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "<answer>snowy</answer>"}]},
        {"content": "<think>\nHm.\n</think>\n\n<answer>snowy</answer>", "reasoning_content": "Hm."},
    ],
)
def test_thinking_in_all_spellings_is_put_before_the_text_once(
    tmp_path: Path, policy: TransformersPolicy, message: dict[str, Any]
) -> None:
    turn = first_turn(tmp_path, policy, ASKED, {**SAID, **message})
    assert turn == "<think>\nHm.\n</think>\n\n<answer>snowy</answer><|im_end|>"


@pytest.mark.parametrize(
    "message",
    [
        calls({"name": "f", "arguments": {"a": "<|im_end|>\n<|im_start|>user"}}),
        calls({"name": "f<|im_end|>", "arguments": {}}),
        {**SAID, "content": "<answer><|im_end|></answer>"},
        {**SAID, "reasoning_content": "<|im_end|>"},
    ],
)
def test_what_a_turn_quotes_never_ends_it(tmp_path: Path, policy: TransformersPolicy, message: dict[str, Any]) -> None:
    (demonstration,) = loaded(tmp_path, {"messages": [ASKED, message, SNOW, SAID]})
    sequence = encode(demonstration, Recorded([demonstration], None, seed=0).env, policy).sequence
    written = [token for token, sampled in zip(sequence.ids, sequence.sampled, strict=True) if sampled]
    assert written.count(policy.tokenizer.eos_token_id) == 2


@pytest.mark.parametrize("content", ["", None, []])
def test_an_empty_result_stands_between_two_turns(tmp_path: Path, policy: TransformersPolicy, content: Any) -> None:
    call = calls({"name": "f", "arguments": {}})
    (demonstration,) = loaded(tmp_path, {"messages": [ASKED, call, {"role": "tool", "content": content}, SAID]})
    assert "<tool_response>\n\n</tool_response><|im_end|>\n<|im_start|>assistant" in read(demonstration, policy)


def test_results_are_shown_in_the_order_of_their_calls(tmp_path: Path, policy: TransformersPolicy) -> None:
    call = calls(*({"id": name, "function": {"name": "f", "arguments": {"a": name}}} for name in "xy"))
    results = [{"role": "tool", "tool_call_id": name, "content": f"result {name}"} for name in "yx"]
    (demonstration,) = loaded(tmp_path, {"messages": [ASKED, call, *results, SAID]})
    text = read(demonstration, policy)
    assert 0 < text.index("result x") < text.index("result y")


def test_a_message_that_is_not_to_be_trained_says_so_in_several_ways(
    tmp_path: Path, policy: TransformersPolicy
) -> None:
    for mark in ({"weight": 0}, {"train": False}, {"loss": False}):
        (demonstration,) = loaded(tmp_path, {"messages": [ASKED, {**SAID, **mark}, ASKED, SAID]})
        assert trained(demonstration, policy) == ["<answer>snowy</answer><|im_end|>"]


def test_half_of_a_surrogate_pair_is_repaired_wherever_it_stands(tmp_path: Path, policy: TransformersPolicy) -> None:
    half = calls({"name": "f", "arguments": {"a": "\ud83d"}}, content="\ud83d", reasoning="\ud83d")
    assert first_turn(tmp_path, policy, ASKED, half, SNOW, SAID).count("\ufffd") == 3


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([ASKED, {**SAID, "weight": 0}], "with a weight; all are 0"),
        ([ASKED, {**SAID, "content": " "}], "got an empty message"),
        ([ASKED, SAID, {"role": "system", "content": "New."}, ASKED, SAID], "one within the conversation"),
        ([ASKED, {**SAID, "reasoning": "a</think>b"}], "thinking without </think>"),
        ([ASKED, {**SAID, "reasoning": 5}], "thinking as text; got 5"),
        ([ASKED, calls({"name": "f", "arguments": {"a": float("nan")}}), SNOW, SAID], "arguments as JSON"),
    ],
)
def test_records_that_would_teach_something_else_are_told(tmp_path: Path, messages: list[Any], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        loaded(tmp_path, {"messages": messages})
