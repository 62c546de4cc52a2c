"""Tests of questions: what rows demand of acting, and which demands are refused, with row and field."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

import axpo_envs
from axpo_envs import EnvConfigError
from axpo_envs.questions import load_questions
from axpo_envs.tools import tool
from axpo_envs.types import Label, Question


@tool
def look(place: str) -> str:
    """Looks at a place."""
    return place


@tool
def pay(to: str) -> str:
    """Pays."""
    return to


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "q", "prompt": "?", "answer": "x", **fields}


def asked(**fields: Any) -> Question:
    return load_questions([row(**fields)]).question(0)


@pytest.mark.parametrize("given", ["pay", ["pay"], ("pay",)])
def test_a_row_names_tools_alone_or_as_a_list(given: Any) -> None:
    question = asked(labels="either", forbidden_tools=given)
    assert (question.labels, question.forbidden_tools) == ({Label.EITHER}, {"pay"})
    assert asked(required_tools=given).required_tools == {"pay"}
    assert "forbidden_tools" not in question.extra


def test_rows_that_name_no_tools_keep_their_fingerprint_and_others_differ() -> None:
    rows: list[dict[str, Any]] = [{}, {"forbidden_tools": ["pay"]}, {"required_tools": ["pay"]}, {"labels": "either"}]
    assert len({load_questions([row(**fields)]).fingerprint for fields in rows}) == len(rows)
    assert load_questions([row(forbidden_tools=[])]).fingerprint == load_questions([row()]).fingerprint


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"labels": ["must_act", "must_not_act"]}, "field 'labels': expected one label; must_act and must_not_act"),
        ({"labels": ["either", "must_act"]}, "field 'labels': expected one label; either and must_act contradict"),
        (
            {"forbidden_tools": ["pay", "look"], "required_tools": "pay"},
            "field 'required_tools': expected tools that are not forbidden; 'pay' is in forbidden_tools",
        ),
        (
            {"labels": "must_not_act", "required_tools": "pay"},
            "field 'required_tools': expected none where every call is forbidden",
        ),
        ({"labels": "either", "required_tools": "pay"}, "field 'required_tools': expected none with the label either"),
        ({"forbidden_tools": [3]}, "field 'forbidden_tools': expected a name of a tool, or a list of such; got 3"),
        ({"required_tools": [""]}, "field 'required_tools': expected a name of a tool, or a list of such; got ''"),
    ],
)
def test_contradictions_are_refused_with_row_and_field(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(EnvConfigError) as caught:
        load_questions([row(id="good"), row(**fields)])
    assert f"row 2 (questions[1]), {problem}" in str(caught.value)


def test_what_declines_one_tool_may_require_another() -> None:
    question = asked(labels="must_not_act", forbidden_tools="pay", required_tools="look")
    assert (question.forbidden_tools, question.required_tools) == ({"pay"}, {"look"})


def test_tools_that_the_environment_does_not_have_are_refused_where_it_is_made() -> None:
    assert axpo_envs
    questions = [row(forbidden_tools=["pay"]), row(id="r", required_tools=["look", "fly"], forbidden_tools="wave")]
    with pytest.raises(EnvConfigError) as caught:
        gymnasium.make("axpo/ToolTask-v0", questions=questions, tools=[look, pay])
    expected = "expected names of the environment's tools (look, pay); got"
    assert f"row 2 (questions[1]), field 'forbidden_tools': {expected} 'wave'" in str(caught.value)
    assert f"row 2 (questions[1]), field 'required_tools': {expected} 'fly'" in str(caught.value)
    with pytest.raises(EnvConfigError, match=r"environment's tools \(it has none\); got 'pay'"):
        gymnasium.make("axpo/ToolTask-v0", questions=questions[:1], tools=[])
    gymnasium.make("axpo/ToolTask-v0", questions=questions[:1], tools=[look, pay])
