"""Chat messages of other libraries become turns that our parser reads, and parts become their content."""

from __future__ import annotations

from typing import Any, Literal, get_type_hints

import numpy as np
import pytest

from axpo_envs import CallOutcome, ExactMatch, ImageRef, ListQuestions, Question, ToolEnv, ToolEnvSpec, parse_turn
from axpo_envs.adapters.messages import (
    content_of,
    data_url,
    image_url_part,
    opening_messages,
    text_of_content,
    turn_of_message,
)
from axpo_envs.adapters.signatures import python_signature
from axpo_envs.errors import EnvConfigError
from axpo_envs.imaging._data_urls import read_data_url
from axpo_envs.tool.declared import DeclaredTool
from axpo_envs.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def call(arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "add", "arguments": arguments}}


def test_thinking_text_and_calls_become_one_turn() -> None:
    message = {"reasoning_content": "hm", "content": "I add.", "tool_calls": [call({"a": 1}), call('{"a": 2}')]}
    turn = parse_turn(turn_of_message(message))
    assert turn.thinking == "hm"
    assert [(parsed.call.name, parsed.call.arguments) for parsed in turn.calls] == [
        ("add", '{"a": 1}'),
        ("add", '{"a": 2}'),
    ]


def test_an_answer_stays_an_answer_and_broken_arguments_stay_broken() -> None:
    assert parse_turn(turn_of_message({"content": "<answer>3</answer>"})).answer == "3"
    (parsed,) = parse_turn(turn_of_message({"content": None, "tool_calls": [call("{a")]})).calls
    assert parsed.defect is CallOutcome.MALFORMED


def test_content_is_text_unless_there_are_images() -> None:
    image = ImageRef(np.zeros((2, 3, 3), dtype=np.uint8))
    assert content_of(("a", "b"), image_url_part) == "ab"
    mixed = content_of(("a", image), image_url_part)
    assert [part["type"] for part in mixed if not isinstance(part, str)] == ["text", "image_url"]
    assert ImageRef.from_bytes(read_data_url(data_url(image))) == image
    assert text_of_content(mixed) == "a"
    assert text_of_content(None) == ""


def test_tools_are_declared_in_the_system_message_where_that_is_asked_for() -> None:
    questions = ListQuestions([Question(id="q", prompt=("?",), answer="1")])
    env = ToolEnv(ToolEnvSpec(env_id="T", questions=questions, tools=(add,), reward=ExactMatch(), instructions="Go."))
    assert opening_messages(env, ("?",), image_url_part)[0] == {"role": "system", "content": "Go."}
    declared = opening_messages(env, ("?",), image_url_part, declare_tools=True)[0]["content"]
    assert '"name": "add"' in declared
    assert declared.startswith("Go.")


def test_a_schema_becomes_a_typed_function() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"], "description": "Which\n one."},
            "box": {"type": "array", "items": {"type": "number"}},
            "more": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "free": {"$ref": "#/$defs/free"},
        },
        "required": ["kind", "box"],
        "$defs": {"free": {"type": "object", "description": "Anything."}},
    }
    described = python_signature(DeclaredTool(name="t", description="Does.", parameters=schema))

    def function() -> None: ...

    function.__annotations__ = described.annotations
    hints = get_type_hints(function)
    assert hints == {"kind": Literal["a", "b"], "box": list[float], "more": int | None, "free": dict}
    assert described.docstring.split("\n") == [
        *("Does.", "", "Args:"),
        *("    kind: Which one.", "    box: box", "    more: more", "    free: Anything."),
    ]
    required = [p.name for p in described.parameters if p.default is p.empty]
    assert required == ["kind", "box"]


def test_arguments_without_a_python_name_are_refused() -> None:
    odd = DeclaredTool(name="t", description="d", parameters={"type": "object", "properties": {"a-b": {}}})
    with pytest.raises(EnvConfigError, match="a-b"):
        python_signature(odd)
