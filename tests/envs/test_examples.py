"""Example calls are made after any schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from axpo_envs.examples import example_arguments

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


@pytest.mark.parametrize(
    "document",
    [
        {"properties": {"p": {"$ref": "#/$defs/geo/P"}}, "$defs": {"geo": {"P": POINT}}},
        {"properties": {"p": {"$ref": "#/definitions/P"}}, "definitions": {"P": POINT}},
        {"properties": {"p": {"allOf": [POINT]}}},
        {"properties": {"p": {"anyOf": [POINT, {"type": "null"}]}}},
        {"properties": {"p": {"properties": POINT["properties"], "required": ["x"]}}},
    ],
)
def test_references_and_choices_are_followed(document: dict[str, Any]) -> None:
    assert example_arguments({**document, "required": ["p"]}) == {"p": {"x": 0}}


def test_what_requires_itself_has_an_example_that_ends() -> None:
    node = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"]}
    json.dumps(example_arguments({"$defs": {"N": node}, **node}))
    json.dumps(example_arguments({"properties": {"p": {"$ref": "#/properties/p"}}, "required": ["p"]}))
