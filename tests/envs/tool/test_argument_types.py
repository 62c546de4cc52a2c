"""Arguments written as bare texts get the types that a schema asks for, wherever in it the type stands."""

from __future__ import annotations

from typing import Any

import pytest

from axpo_envs.plumbing.strict_json import MAX_DEPTH
from axpo_envs.tool._argument_types import type_arguments

OBJECT = {"type": "object", "properties": {"x": {"type": "integer"}}}
DEEP: dict[str, Any] = {"$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(50)}}
DEEP["$defs"]["d50"] = {"type": "integer"}


def typed(text: str, schema: Any, **document: Any) -> Any:
    return type_arguments({"p": text}, {"type": "object", "properties": {"p": schema}, **document})["p"]


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        (OBJECT, {}),
        ({"$ref": "#/$defs/P"}, {"$defs": {"P": OBJECT}}),
        ({"$ref": "#/$defs/geo/P"}, {"$defs": {"geo": {"P": OBJECT}}}),
        ({"$ref": "#/$defs/a~1b%20c"}, {"$defs": {"a/b c": OBJECT}}),
        ({"$ref": "#/definitions/P"}, {"definitions": {"P": {"$ref": "#/definitions/Q"}, "Q": OBJECT}}),
        ({"$ref": "#/allOf/0"}, {"allOf": [OBJECT]}),
        ({"$ref": "#point"}, {"$defs": {"P": {"$anchor": "point", **OBJECT}}}),
        ({"$ref": "#point"}, {"definitions": {"P": {"$id": "#point", **OBJECT}}}),
        ({"$ref": "point.json"}, {"$defs": {"P": {"$id": "https://example.org/point.json", **OBJECT}}}),
        ({"allOf": [{"$ref": "#/$defs/P"}], "description": "a point"}, {"$defs": {"P": OBJECT}}),
        ({"anyOf": [OBJECT, {"type": "null"}]}, {}),
        ({"oneOf": [{"type": "array"}, {"$ref": "#/$defs/P"}]}, {"$defs": {"P": OBJECT}}),
        ({"anyOf": [{"type": "string"}, OBJECT]}, {}),
        ({"if": {}, "then": OBJECT, "else": {"type": "null"}}, {}),
        ({"properties": {"x": {}}}, {}),
        ({"required": ["x"]}, {}),
        ({"anyOf": [{"required": ["x"]}, {"required": ["y"]}]}, {}),
        ({"type": ["object", "null"]}, {}),
        ({"enum": [{"x": 1}, {"x": 2}]}, {}),
        ({"const": {"x": 1}}, {}),
        ({}, {}),
        (True, {}),
    ],
)
def test_an_object_is_read_wherever_the_schema_admits_one(schema: Any, document: dict[str, Any]) -> None:
    assert typed('{"x": 1}', schema, **document) == {"x": 1}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "12", "12"),
        ({"type": "string"}, '{"x": 1}', '{"x": 1}'),
        ({"type": "string"}, "null", "null"),
        ({"pattern": "^[0-9]+$"}, "12", "12"),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"allOf": [{"type": ["string", "integer"]}, {"type": "string"}]}, "12", "12"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "null", None),
        ({"type": "string", "nullable": True}, "null", None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "12", "12"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "12", "12"),
        ({"enum": ["a", 12, None]}, "12", 12),
        ({"enum": ["a", "12", 12]}, "12", "12"),
        ({"enum": [1, 2]}, "2", 2),
        ({"const": 2.5}, "2.5", 2.5),
        ({"minimum": 1}, "12", 12),
        ({"items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"type": "integer"}, "three", "three"),
        ({"type": "boolean"}, "True", True),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "None", None),
    ],
)
def test_texts_stay_where_text_is_admitted_and_nothing_speaks_for_another_reading(
    schema: Any, text: str, value: Any
) -> None:
    assert typed(text, schema) == value
    assert type(typed(text, schema)) is type(value)


def test_members_are_found_behind_the_whole_schemas_own_references() -> None:
    arguments = {"properties": {"p": {"type": "integer"}}}
    for schema in (
        {"$ref": "#/$defs/A", "$defs": {"A": arguments}},
        {"allOf": [{"properties": {"q": {"type": "string"}}}, arguments]},
        {"oneOf": [arguments, {"properties": {"q": {"type": "string"}}}]},
        {"additionalProperties": {"type": "integer"}},
    ):
        assert type_arguments({"p": "12"}, schema) == {"p": 12}
    assert type_arguments({"r": "12"}, arguments) == {"r": "12"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/properties/p"},
        {"anyOf": [{"$ref": "#/properties/p"}, {"type": "null"}]},
        {"allOf": [{"$ref": "#/properties/p/allOf/0"}]},
        {"$ref": "#/nowhere/at/all"},
        {"$ref": "https://example.org/elsewhere"},
        {"$ref": 1},
        {"type": 1, "enum": 2, "anyOf": 3, "allOf": 4, "properties": 5},
    ],
)
def test_circles_and_dead_ends_say_nothing(schema: dict[str, Any]) -> None:
    assert typed("some text", schema) == "some text"


def test_a_schema_of_exponentially_many_ways_is_read_once() -> None:
    assert typed("7", {"$ref": "#/$defs/d0"}, **DEEP) == 7


def test_a_schema_nested_deeper_than_python_can_call_says_nothing() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(10_000):
        schema = {"allOf": [schema]}
    assert typed("7", schema) == "7"
    while "allOf" in schema:
        schema = schema.pop("allOf")[0]


def test_a_value_nested_too_deeply_stays_a_text() -> None:
    text = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    assert typed(text, {"type": "array"}) == text
