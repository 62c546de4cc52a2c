"""Defines example turns: calls made after a tool's schema, and turns as broken as a policy can write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo_envs.tool._schema_references import resolve
from axpo_envs.tool.protocol import Tool

BAD_TURNS: Final = (
    "",
    " \n",
    "\x00\ud800\U0010ffff",
    "</think></tool_call></answer>",
    "<think>" * 100,
    "<tool_call>" * 100,
    "<tool_call></tool_call>",
    "<tool_call>null</tool_call>",
    "<tool_call>[1, 2]</tool_call>",
    '<tool_call>{"name": "no_such_tool", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>',
    '<tool_call>{"name": 1}</tool_call>',
    '<tool_call>{"name": "x", "arguments": "{"}</tool_call>',
    '<tool_call>{"name": "x", "arguments": {"a": NaN, "b": 1e999, "c": ' + "9" * 5000 + "}}</tool_call>",
    "<tool_call>" + "[" * 100_000 + "</tool_call>",
    '<tool_call>{"name": "x", "arguments": ' + '{"a":' * 500 + "1" + "}" * 501 + "</tool_call>",
    "<tool_call><function=x><parameter=a>1</function></tool_call>",
    "<tool_call><function=no_such_tool></function></tool_call>",
    "<answer>",
    "\\boxed{" * 1000,
    "<answer></answer>",
)
"""Turns that a policy may write and that none may take badly."""

_MAX_DEPTH: Final = 32
_ODD_VALUES: Final[tuple[Any, ...]] = (None, True, -1, 10**200, 1e300, "", "\x00", [], [[]], {}, {"": None})


def call_turn(name: str, arguments: Mapping[str, Any]) -> str:
    """A turn that makes one call."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def example_turns(tools: Sequence[Tool], *, variant: int = 0) -> tuple[str, ...]:
    """A call of every tool with arguments that fit its schema, then an answer; variants have other values."""
    calls = (call_turn(tool.name, example_arguments(tool.parameters, variant=variant)) for tool in tools)
    return (*calls, f"<answer>{variant}</answer>")


def example_arguments(schema: Mapping[str, Any], *, variant: int = 0) -> dict[str, Any]:
    """Values for the required arguments of an object schema: small numbers (ascending in arrays), short texts."""
    return _Examples(schema).arguments(schema, variant)


def odd_arguments(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The arguments with one of them replaced by an odd value, for every argument, and with one too many."""
    names = {*schema.get("properties", {}), *arguments}
    replaced = tuple({**arguments, name: value} for name in sorted(names) for value in _ODD_VALUES)
    return (*replaced, {**arguments, "no such argument": 1}, {})


class _Examples:
    """Makes examples after one schema document."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def arguments(self, schema: Mapping[str, Any], number: int, depth: int = 0) -> dict[str, Any]:
        properties = schema.get("properties", {})
        return {name: self._example(properties.get(name, {}), number, depth) for name in schema.get("required", ())}

    def _example(self, schema: Any, number: int, depth: int) -> Any:
        # What is required of itself has no example that ends.
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return {}
        if "$ref" in schema:
            return self._example(resolve(schema["$ref"], self._root), number, depth + 1)
        if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            return self._example(choices[0], number, depth + 1)
        if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
            return values[number % len(values)]
        return self._of_type(schema, number, depth + 1)

    def _of_type(self, schema: Mapping[str, Any], number: int, depth: int) -> Any:
        example: Any
        match schema.get("type", "object" if "properties" in schema else None):
            case "integer" | "number":
                least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
                example = min(least + number, schema.get("maximum", least + number))
            case "array":
                items = [*schema.get("prefixItems", ())]
                items += [schema.get("items", {})] * (max(schema.get("minItems", 1), 1) - len(items))
                example = [self._example(item, number + place, depth) for place, item in enumerate(items)]
            case "object":
                example = self.arguments(schema, number, depth)
            case "boolean":
                example = number % 2 == 1
            case "null":
                example = None
            case _:
                example = "ab"[number % 2] * max(1, schema.get("minLength", 1))
        return example
