"""A stranger's schema is checked once and held against any arguments; whatever the two are, it ends."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from axpo_envs.backends.mcp._argument_schema import ArgumentSchema
from axpo_envs.backends.mcp._schema_parts import MAX_DEPTH, MAX_PARTS
from axpo_envs.tool.protocol import ToolArgumentError, ToolTimeout

TWOFOLD: dict[str, Any] = {
    "$defs": {"n": {"anyOf": [{"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["z"]}] * 2}},
    "properties": {"p": {"$ref": "#/$defs/n"}},
}


def of_p(schema: Any, **document: Any) -> ArgumentSchema:
    return ArgumentSchema({"properties": {"p": schema}, **document}, where="a server, tool 'x'")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("schema", "fitting", "other", "problem"),
    [
        ({"type": "integer"}, 1, "1", "p: '1' is not of type 'integer'"),
        ({"type": "string", "pattern": r"^\p{L}+$"}, "ä", "1", "p: '1' does not match"),
        ({"patternProperties": {r"^\d$": {"type": "integer"}}}, {"1": 2, "a": "b"}, {"1": "2"}, "p"),
        (
            {"properties": {"a": {}}, "patternProperties": {r"^\d$": {}}, "additionalProperties": False},
            {"a": 1, "1": 1},
            {"b": 1},
            "p: Additional properties are not allowed ('b' unexpected)",
        ),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "1"}, "p.a: '1' is not of type"),
        ({"uniqueItems": True}, [1, "1", [1], True], [1, 1.0], "p: [1, 1.0] has non-unique elements"),
        ({"propertyNames": {"pattern": "^[a-z]$"}}, {"a": 1}, {"A": 1}, "p: 'A' does not match"),
        ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"a": 1}, {"b": 1}, "p: Unevaluated properties"),
    ],
)
def test_arguments_fit_or_are_told_why_not(schema: Any, fitting: Any, other: Any, problem: str) -> None:
    schema = of_p(schema)
    schema.check({"p": fitting})
    with pytest.raises(ToolArgumentError) as refusal:
        schema.check({"p": other})
    assert str(refusal.value).startswith(problem)


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", None, ["no dialect"]])
def test_a_pattern_that_backtracks_is_checked_wherever_a_reference_leads(dialect: Any) -> None:
    inner = {"$schema": dialect, "type": "string", "pattern": "^(a+)+$"}
    schema = of_p({"$ref": "#/definitions/s"}, definitions={"s": inner}, **{"$schema": dialect})
    with pytest.raises(ToolArgumentError, match="does not match"):
        schema.check({"p": "a" * 10_000 + "b"})


def test_names_are_matched_in_linear_time_by_every_keyword() -> None:
    rest = {"additionalProperties": False, "unevaluatedProperties": False}
    schema = of_p({"patternProperties": {"^(a+)+$": {}}, **rest})
    schema.check({"p": {"a" * 10_000: 1}})
    with pytest.raises(ToolArgumentError):
        schema.check({"p": {"a" * 10_000 + "b": 1}})


def test_a_pattern_that_cannot_be_read_is_left_to_the_server_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        schema = of_p({"type": "string", "pattern": "^(?=.*[0-9])", "minLength": 2})
    (record,) = caplog.records
    assert record.getMessage() == (
        "a server, tool 'x', /properties/p/pattern: the pattern '^(?=.*[0-9])' is left to the server to check"
    )
    schema.check({"p": "no digit"})
    with pytest.raises(ToolArgumentError):
        schema.check({"p": "1"})


def test_a_property_named_pattern_is_no_pattern(caplog: pytest.LogCaptureFixture) -> None:
    of_p({"properties": {"pattern": {"type": "string", "default": "(?=a)"}, "$schema": {"type": "string"}}})
    assert not caplog.records


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/properties/p"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#/properties/p"}]},
        {"anyOf": [{"$ref": "#/properties/q"}, {"$ref": "#/properties/p"}]},
        {"not": {"$ref": "#/properties/p"}},
        {"$ref": "https://example.org/elsewhere"},
        {"$ref": "#/$defs/nowhere"},
    ],
)
def test_what_leads_nowhere_or_in_a_circle_is_left_to_the_server(schema: dict[str, Any]) -> None:
    of_p(schema).check({"p": {}})


def test_a_schema_that_is_itself_says_no_more() -> None:
    ArgumentSchema({"$ref": "#"}, where="").check({"p": 1})


def test_exponentially_many_ways_are_not_all_tried() -> None:
    schema = ArgumentSchema(TWOFOLD, where="")
    with pytest.raises(ToolArgumentError, match="more than 50000 checks"):
        schema.check({"p": nested(60)})
    schema.check({"p": {"z": 1}})


def test_checking_ends_at_the_time_limit() -> None:
    with pytest.raises(ToolTimeout):
        ArgumentSchema(TWOFOLD, where="").check({"p": nested(60)}, limit_s=1e-9)


def test_a_recursive_schema_is_held_against_deep_arguments() -> None:
    schema = of_p({"$ref": "#/$defs/n"}, **{"$defs": {"n": {"type": ["object", "integer"], "additionalProperties": {
        "$ref": "#/$defs/n"
    }}}})  # fmt: skip
    schema.check({"p": nested(60)})
    with pytest.raises(ToolArgumentError):
        schema.check({"p": nested(59) | {"b": "text"}})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "strng"}, r"at \$\.properties\.p\.type: 'strng'"),
        ({"minimum": "1"}, r"at \$\.properties\.p\.minimum"),
        (nested(MAX_DEPTH), f"more than {MAX_DEPTH} levels"),
        ({"enum": list(range(MAX_PARTS))}, f"more than {MAX_PARTS} values"),
    ],
)
def test_what_is_no_schema_is_told_with_its_place(schema: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        of_p(schema)


@pytest.mark.parametrize("keyword", ["not", "allOf"])
def test_the_deepest_schema_is_checked(keyword: str) -> None:
    schema: Any = True
    for _ in range((MAX_DEPTH - 4) // (1 if keyword == "not" else 2)):
        schema = {keyword: schema if keyword == "not" else [schema]}
    of_p(schema).check({})


@pytest.mark.parametrize(
    ("schema", "fitting", "other"),
    [
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 1, 0),
        ({"type": "array", "items": [{"type": "integer"}], "additionalItems": False}, [1], [1, 2]),
    ],
)
def test_a_schema_that_names_no_dialect_may_be_of_an_older_one(schema: Any, fitting: Any, other: Any) -> None:
    checked = ArgumentSchema({"properties": {"a": schema}}, where="here")
    checked.check({"a": fitting})
    with pytest.raises(ToolArgumentError):
        checked.check({"a": other})


def test_keywords_that_are_null_say_nothing() -> None:
    checked = ArgumentSchema({"type": "object", "properties": None, "required": None}, where="here")
    assert checked.document == {"type": "object", "properties": {}}
    checked.check({"a": 1})
    constant = ArgumentSchema({"properties": {"a": {"const": None, "default": None}}}, where="here")
    assert constant.document["properties"] == {"a": {"const": None, "default": None}}


@pytest.mark.parametrize(
    ("factor", "fitting", "other"),
    [(0.1, 0.3, 0.35), (0.01, 10**400, 1.005), (3, 9, 10), (1e-3, 1e308, 5e-4)],
)
def test_multiples_are_exact(factor: float, fitting: float, other: float) -> None:
    checked = ArgumentSchema({"properties": {"a": {"multipleOf": factor}}}, where="here")
    checked.check({"a": fitting})
    with pytest.raises(ToolArgumentError, match="not a multiple"):
        checked.check({"a": other})
