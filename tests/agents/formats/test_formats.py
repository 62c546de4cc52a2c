"""Tests of axpo_agents.formats: what families write as calls, as environments read it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_agents.formats import (
    CallFormat,
    FunctionTagsFormat,
    HermesFormat,
    LlamaFormat,
    MistralFormat,
    call_formats,
    translate,
)
from axpo_envs.parsing import ParsedCall, parse_turn
from axpo_envs.types import CallOutcome, ToolCall

LLAMA, MISTRAL = LlamaFormat(), MistralFormat()


def read(text: str, calls: CallFormat) -> list[ParsedCall]:
    return list(parse_turn(translate(text, calls).text).calls)


def told(text: str, calls: CallFormat) -> list[tuple[str, dict[str, object]]]:
    found = read(text, calls)
    assert all(call.defect is None for call in found)
    return [(call.call.name, dict(call.arguments)) for call in found]


F1, G2 = ("f", {"a": 1}), ("g", {"b": "x"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "f", "parameters": {"a": 1}}', [F1]),
        ('<|python_tag|>{"name": "f", "parameters": {"a": 1}}', [F1]),
        ('I call it.\n{"name": "f", "parameters": {"a": 1}}', [F1]),
        ('{"name": "f", "arguments": {"a": 1}}', [F1]),
        ('{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {"b": "x"}}', [F1, G2]),
        ('{"name": "f", "parameters": {"a": 1}}\n{"name": "g", "parameters": {"b": "x"}}', [F1, G2]),
        ('{"name": "f", "parameters": {"a": "</tool_call>{"}}', [("f", {"a": "</tool_call>{"})]),
        ('say {"name": "f", "parameters": {"a": 1}}', []),
        ('{"name": "Oslo"}', []),
        ("<answer>5</answer>", []),
    ],
)
def test_llama_writes_bare_json(text: str, expected: list[object]) -> None:
    assert told(text, LLAMA) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}]', [F1]),
        ('[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}, "id": "123456789"}]', [F1]),
        ('[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {"b": "x"}}]', [F1, G2]),
        ('Well. [TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{"b": "x"}', [F1, G2]),
        ('[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a": 1}', [F1]),
        ('[TOOL_CALLS]f{"a": 1}', [F1]),
        ('[TOOL_CALLS][{"name": "f", "arguments": {"a": "[TOOL_CALLS]"}}]', [("f", {"a": "[TOOL_CALLS]"})]),
        ('[{"name": "f", "arguments": {"a": 1}}]', []),
    ],
)
def test_mistral_opens_calls_with_a_token(text: str, expected: list[object]) -> None:
    assert told(text, MISTRAL) == expected


@pytest.mark.parametrize(
    ("text", "calls", "defect"),
    [
        ('{"name": "f", "parameters": {"a": "x', LLAMA, CallOutcome.UNCLOSED),
        ('{"name": "f", "parameters": {"a": x}}', LLAMA, CallOutcome.MALFORMED),
        ('<|python_tag|>{"name": 3, "parameters": {}}', LLAMA, CallOutcome.MALFORMED),
        ('{"name": "f", "parameters": {"a": NaN}}', LLAMA, CallOutcome.MALFORMED),
        ('{"name": "f", "parameters": {"a": ' + "1" * 5000 + "}}", LLAMA, CallOutcome.MALFORMED),
        ('{"name": "f", "parameters": ' + "[" * 100_000, LLAMA, CallOutcome.MALFORMED),
        ('[TOOL_CALLS][{"name": "f", "arguments": {"a"', MISTRAL, CallOutcome.UNCLOSED),
        ("[TOOL_CALLS]", MISTRAL, CallOutcome.UNCLOSED),
        ("[TOOL_CALLS][x]", MISTRAL, CallOutcome.MALFORMED),
        ("[TOOL_CALLS][]", MISTRAL, CallOutcome.MALFORMED),
        ("[TOOL_CALLS]3", MISTRAL, CallOutcome.MALFORMED),
        ('[TOOL_CALLS][{"name": "f", "parameters": {}}]', MISTRAL, CallOutcome.MALFORMED),
    ],
)
def test_what_is_wrong_with_a_call_stays_wrong(text: str, calls: CallFormat, defect: CallOutcome) -> None:
    (call,) = read(text, calls)
    assert call.defect is defect


def test_calls_in_thinking_are_not_touched() -> None:
    text = '<think>\n{"name": "f", "parameters": {}}\n</think>\n{"name": "f", "parameters": {"a": 1}}'
    read = translate(text, LLAMA)
    turn = parse_turn(read.text)
    assert turn.thinking == '\n{"name": "f", "parameters": {}}\n'
    assert [call.call.name for call in turn.calls] == ["f"]


@pytest.mark.parametrize(
    ("text", "calls", "span", "opening"),
    [
        (
            'Now:\n{"name": "f", "parameters": {"a": 1}}; no',
            LLAMA,
            '{"name": "f", "parameters": {"a": 1}}',
            '{"name":',
        ),
        (
            '<|python_tag|>{"name": "f", "parameters": {}}',
            LLAMA,
            '<|python_tag|>{"name": "f", "parameters": {}}',
            "<|python_tag|>",
        ),
        (
            'é [TOOL_CALLS] [{"name": "f", "arguments": {}}]',
            MISTRAL,
            '[TOOL_CALLS] [{"name": "f", "arguments": {}}]',
            "[TOOL_CALLS]",
        ),
        ('x <tool_call>{"name": "f"}</tool_call>', LLAMA, '<tool_call>{"name": "f"}</tool_call>', "<tool_call>"),
        (
            'x <tool_call>{"name": "f"}</tool_call>',
            HermesFormat(),
            '<tool_call>{"name": "f"}</tool_call>',
            "<tool_call>",
        ),
    ],
)
def test_a_call_is_found_where_it_stood_in_the_turn(text: str, calls: CallFormat, span: str, opening: str) -> None:
    read = translate(text, calls)
    (call,) = parse_turn(read.text).calls
    start, stop = read.origin(call.span)
    assert text[start:stop] == span
    assert text[start : read.opening(call.span)] == opening


PLAIN = st.lists(
    st.sampled_from(["<tool_call>", "</tool_call>", "</think>", "[TOOL_CALLS]", "\n", '"', "\\", "{", "}", ";"])
    | st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=4),
    max_size=4,
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=5,
)
NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)


@pytest.mark.parametrize("calls", [HermesFormat(), LLAMA, MISTRAL], ids=lambda calls: calls.name)
@given(NAMES, st.dictionaries(PLAIN, VALUES, max_size=3))
def test_what_a_format_writes_is_read_as_that_call(calls: CallFormat, name: str, arguments: dict[str, object]) -> None:
    text = calls.write(ToolCall(name=name, arguments=json.dumps(arguments)))
    assert told(text, calls) == [(name, arguments)]
    assert calls.recognizes(text)


@given(NAMES, st.dictionaries(NAMES, st.integers() | st.lists(st.integers())))
def test_function_tags_hold_json_for_what_is_no_text(name: str, arguments: dict[str, object]) -> None:
    text = FunctionTagsFormat().write(ToolCall(name=name, arguments=json.dumps(arguments | {"text": "a\nb"})))
    (call,) = parse_turn(text).calls
    assert call.untyped
    assert {key: json.loads(value) for key, value in call.arguments.items() if key != "text"} == arguments
    assert call.arguments["text"] == "a\nb"


PIECES = st.sampled_from(
    [
        *("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "f", '{"name":', '"parameters":', '{"name": "f", '),
        *("<think>", "</think>", "<tool_call>", "</tool_call>", "\ud83d"),
        *("{", "}", "[", "]", '"', "\\", "\n", ";", "1", ",", ":"),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.sampled_from(call_formats()))
def test_any_turn_is_translated_without_raising_and_every_span_leads_back(text: str, calls: CallFormat) -> None:
    read = translate(text, calls)
    turn = parse_turn(read.text)
    for span in [*turn.thinking_spans, *(call.span for call in turn.calls)]:
        start, stop = read.origin(span)
        assert 0 <= start < stop <= len(text)
    for call in turn.calls:
        start, stop = read.origin(call.span)
        assert start < read.opening(call.span) <= stop
