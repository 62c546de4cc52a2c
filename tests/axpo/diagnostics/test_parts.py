"""Tests of axpo.diagnostics.parts: measures per environment, tool and number of needed calls, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from axpo.algorithm.types import Group
from axpo.diagnostics.metrics import evaluation_metrics, step_metrics
from axpo.diagnostics.parts import environment_of, evaluation_parts, step_parts
from axpo_agents.types import Rollout
from axpo_envs.plumbing.columns import Columns

TOOL = "<think>t</think><tool_call>{}</tool_call>"
DIRECT = "<answer>1</answer>"


def group_of(toy: SimpleNamespace, *rollouts: Rollout, family: str | None = None, hops: int | None = None) -> Group:
    extra = Columns() if family is None else Columns({"family": family}.items())
    return Group(question=toy.question(extra=extra, hops=hops), rollouts=rollouts)


@pytest.fixture
def groups(toy: SimpleNamespace) -> list[Group]:
    return [
        group_of(toy, toy.rollout(TOOL, DIRECT, reward=1), toy.rollout(DIRECT), family="maps", hops=1),
        group_of(toy, toy.rollout(TOOL, DIRECT), toy.rollout(TOOL, DIRECT), family="hops", hops=2),
        group_of(toy, toy.rollout(DIRECT, reward=1), toy.rollout(DIRECT)),
    ]


def tool_of(groups: list[Group]) -> str:
    return groups[0].rollouts[0].episode.calls[0].call.name


def test_parts_of_an_evaluation_are_evaluations_of_the_parts(groups: list[Group]) -> None:
    parts = evaluation_parts(groups, tools=("zoom",))
    assert list(parts["by_environment"]) == ["hops", "maps"]
    assert parts["by_environment"]["maps"] == evaluation_metrics(groups[:1], tools=("zoom",))
    assert parts["by_hops"] == {
        "1": evaluation_metrics(groups[:1], tools=("zoom",)),
        "2": evaluation_metrics(groups[1:2], tools=("zoom",)),
    }


def test_a_tool_is_measured_by_its_own_calls_and_an_idle_one_stands_with_none(groups: list[Group]) -> None:
    name = tool_of(groups)
    found = evaluation_parts(groups, tools=(name, "idle"))["by_tool"]
    shares = {
        tool: {key: None if each is None else (each.value, each.n) for key, each in measures.items()}
        for tool, measures in found.items()
    }
    assert shares[name]["tool_attempt_rate"] == (0.5, 6)
    assert shares[name]["tool_pass1"] == (pytest.approx(1 / 3), 3)
    assert shares[name]["all_wrong_tool_subgroups"] == (0.5, 2)
    assert shares["idle"] == {
        "tool_attempt_rate": (0.0, 6),
        "tool_call_valid_rate": None,
        "tool_success_rate": None,
        "tool_pass1": None,
        "all_wrong_tool_subgroups": None,
        "declined_correctly": None,
        "failed_to_act": None,
        "forbidden_attempt": None,
        "over_acting": None,
    }


def test_a_step_tells_of_its_parts_where_there_are_several(groups: list[Group]) -> None:
    found = step_parts(groups, tools=("a", "b"))
    assert found["by_environment/maps/tool_attempt_rate"] == step_metrics(groups[:1])["tool_attempt_rate"] == 0.5
    assert found["by_hops/2/tool_pass1"] == 0
    assert found["by_tool/a/tool_attempt_rate"] == 0
    assert found["by_tool/a/tool_pass1"] is None
    assert step_parts(groups[:1], tools=("a",)) == {}


def test_only_words_name_an_environment(toy: SimpleNamespace) -> None:
    assert environment_of(toy.question(extra=Columns({"family": 3, "data_source": "gsm8k"}.items()))) == "gsm8k"
    assert environment_of(toy.question()) is None
