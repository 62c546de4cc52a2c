"""Tests of axpo.diagnostics: declining, failing to act, forbidden attempts and calls of no use, counted by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.algorithm.types import Group
from axpo.audit import AuditSettings, audit
from axpo.diagnostics.demands import Demands, Fate, attempts_of, fate_of
from axpo.diagnostics.metrics import evaluation_metrics, step_metrics
from axpo.diagnostics.parts import evaluation_parts, step_parts
from axpo.diagnostics.permission import OF_PARTS, shown_of_parts
from axpo.records._rollout_log import read_rollouts, write_rollouts
from axpo_agents.types import Rollout
from axpo_envs.types import (
    CallOutcome,
    CallRecord,
    Episode,
    Label,
    Question,
    StopReason,
    ToolCall,
    ToolResult,
    ToolStatus,
    Turn,
)

FATES = {
    "executed": (CallOutcome.EXECUTED, ToolStatus.OK),
    "failed": (CallOutcome.EXECUTED, ToolStatus.ERROR),
    "dry": (CallOutcome.WITHHELD, ToolStatus.DRY_RUN),
    "denied": (CallOutcome.WITHHELD, ToolStatus.DENIED),
    "over": (CallOutcome.OVER_LIMIT, ToolStatus.DENIED),
    "unfit": (CallOutcome.INVALID_ARGUMENTS, ToolStatus.ERROR),
}
MUST, MUST_NOT, EITHER = (frozenset({label}) for label in Label)


def call(name: str, arguments: str = "{}", *, fate: str = "executed", says: str = "a") -> CallRecord:
    outcome, status = FATES[fate]
    result = ToolResult(status=status, content=(says,))
    return CallRecord(call=ToolCall(name=name, arguments=arguments), outcome=outcome, result=result)


def group(*rollouts: tuple[CallRecord, ...], right: tuple[bool, ...] = (), name: str = "q", **demands: Any) -> Group:
    question = Question(id=name, prompt=("?",), answer="x", **demands)
    verdicts = right or (False,) * len(rollouts)
    episodes = (
        Episode(
            question=question,
            turns=(*(Turn(text="", calls=(record,)) for record in calls), Turn(text="<answer>x</answer>", answer="x")),
            stop=StopReason.ANSWERED,
            reward=float(won),
            terms=(),
        )
        for calls, won in zip(rollouts, verdicts, strict=True)
    )
    made = tuple(Rollout(episode=episode, completions=(), snapshots=()) for episode in episodes)
    return Group(question=question, rollouts=made)


def values(*groups: Group) -> dict[str, float | None]:
    found = step_metrics(groups)
    return {name: found[name] for name in (*OF_PARTS, "forbidden_executed", "forbidden_dry_run", "forbidden_denied")}


def test_whatever_became_of_a_forbidden_call_it_was_attempted() -> None:
    rollouts = [(), (call("look"),), *((call("pay", fate=fate),) for fate in ("executed", "dry", "denied", "over"))]
    found = values(group(*rollouts, (call("pay", fate="unfit"),), forbidden_tools=frozenset({"pay"})))
    assert found == {
        "declined_correctly": None,
        "failed_to_act": None,
        "forbidden_attempt": pytest.approx(5 / 7),
        "forbidden_executed": pytest.approx(1 / 7),
        "forbidden_dry_run": pytest.approx(1 / 7),
        "forbidden_denied": pytest.approx(2 / 7),
        "over_acting": pytest.approx(2 / 3),  # of look, pay and the dry pay
    }


def test_only_named_tools_are_forbidden_where_some_are_named() -> None:
    rollouts = ((call("look"),), (call("look"), call("pay")), ())
    named = values(group(*rollouts, labels=MUST_NOT, forbidden_tools=frozenset({"pay"})))
    assert (named["declined_correctly"], named["forbidden_attempt"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    any_call = values(group(*rollouts, labels=MUST_NOT))
    assert (any_call["declined_correctly"], any_call["forbidden_attempt"]) == (
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    )
    assert any_call["over_acting"] == 1.0


def test_every_required_tool_must_be_called() -> None:
    rollouts = ((call("look"), call("read")), (call("look"), call("look", says="b")), (), (call("read"), call("look")))
    required = frozenset({"look", "read"})
    for labels in (MUST, frozenset[Label]()):
        assert values(group(*rollouts, labels=labels, required_tools=required))["failed_to_act"] == 0.5
    assert values(group(*rollouts, labels=MUST))["failed_to_act"] == 0.25
    assert values(group(*rollouts, labels=EITHER))["failed_to_act"] is None


def test_calls_beyond_the_needed_ones_are_of_no_use_where_the_answer_is_right() -> None:
    searches = tuple(call("search", f'{{"q": {n}}}', says=str(n)) for n in range(3))
    assert values(group(searches, right=(True,), hops=1))["over_acting"] == pytest.approx(2 / 3)
    assert values(group(searches, right=(False,), hops=1))["over_acting"] == 0
    assert values(group(searches, right=(True,)))["over_acting"] == 0
    assert values(group(searches, right=(True,), hops=1, required_tools=frozenset({"search", "x"})))[
        "over_acting"
    ] == pytest.approx(1 / 3)


def test_a_repeat_asks_the_same_and_is_told_the_same() -> None:
    same = (call("look"), call("look"), call("look", says="b"), call("look", '{"x": 1}'), call("look", fate="denied"))
    assert [attempt.repeats for attempt in attempts_of(same)] == [False, True, False, False, False]
    assert values(group(same))["over_acting"] == pytest.approx(1 / 4)
    # The repeat does not use up a needed call.
    assert Demands().useless(attempts_of(same[:3]), right=True, hops=2) == (False, True, False)


def test_nothing_is_said_of_questions_that_demand_nothing() -> None:
    found = values(group((call("look"),), ()))
    assert found.pop("over_acting") == 0
    assert set(found.values()) == {None}
    assert shown_of_parts(lambda name: name == "over_acting") == ()
    assert shown_of_parts(lambda name: name == "failed_to_act") == ("failed_to_act",)


def test_of_a_tool_its_own_calls_and_the_questions_that_name_it_are_counted() -> None:
    groups = [
        group((call("pay"),), (), labels=MUST_NOT, name="a", forbidden_tools=frozenset({"pay"})),
        group((call("look"),), (call("pay"),), labels=MUST, name="b", required_tools=frozenset({"look"})),
        group((call("look"),), (), labels=MUST_NOT, name="c"),
    ]
    parts = evaluation_parts(groups, ks=(), tools=("look", "pay"))["by_tool"]
    told = {tool: {name: parts[tool][name] for name in OF_PARTS} for tool in parts}
    assert {tool: {name: each and (each.value, each.n) for name, each in told[tool].items()} for tool in told} == {
        "look": {
            "declined_correctly": (0.5, 2),
            "failed_to_act": (0.5, 2),
            "forbidden_attempt": (0.5, 2),
            "over_acting": (0.5, 2),
        },
        "pay": {
            "declined_correctly": (0.75, 4),
            "failed_to_act": None,
            "forbidden_attempt": (0.25, 4),
            "over_acting": (0.5, 2),
        },
    }
    steps = step_parts(groups, tools=("look", "pay"))
    assert (steps["by_tool/pay/forbidden_attempt"], steps["by_tool/look/failed_to_act"]) == (0.25, 0.5)


RECORDS = st.builds(
    call,
    st.sampled_from(["look", "pay", ""]),
    st.sampled_from(["{}", '{"x": 1}']),
    fate=st.sampled_from(sorted(FATES)),
    says=st.sampled_from("ab"),
)
ROLLOUTS = st.lists(st.tuples(st.lists(RECORDS, max_size=4).map(tuple), st.booleans()), min_size=1, max_size=4)
NAMES = st.frozensets(st.sampled_from(["look", "pay"]))


@given(ROLLOUTS, st.sampled_from([frozenset[Label](), MUST, MUST_NOT, EITHER]), NAMES, NAMES)
def test_the_measures_agree_with_each_other(
    rollouts: list[tuple[tuple[CallRecord, ...], bool]],
    labels: frozenset[Label],
    forbidden: frozenset[str],
    required: frozenset[str],
) -> None:
    calls, right = zip(*rollouts, strict=True)
    found = values(
        group(*calls, right=right, labels=labels, hops=1, forbidden_tools=forbidden, required_tools=required)
    )
    if found["declined_correctly"] is not None:
        assert found["forbidden_attempt"] == pytest.approx(1 - found["declined_correctly"])
    if found["forbidden_attempt"] is not None:
        assert all((found[name] or 0) <= found["forbidden_attempt"] for name in found if name.startswith("forbidden_"))
    plain = values(group(*calls, right=right, labels=labels))
    idle = sum(not each for each in calls) / len(calls)
    assert plain["declined_correctly"] == (pytest.approx(idle) if labels == MUST_NOT else None)
    assert plain["failed_to_act"] == (pytest.approx(idle) if labels == MUST else None)
    records = [record for each in calls for record in each]
    allowed = sum(fate_of(record) in (Fate.EXECUTED, Fate.DRY_RUN) for record in records)
    assert (found["over_acting"] is None) == (allowed == 0)
    assert found["over_acting"] is None or 0 <= found["over_acting"] <= 1


def test_an_audit_of_a_saved_run_counts_as_the_run_did(tmp_path: Path) -> None:
    look, pay = call("look"), call("pay", fate="denied")
    groups = [
        group((look, look), (pay,), (), right=(True, False, True), name="a", hops=1, labels=MUST_NOT),
        group((look,), (pay, pay), name="b", forbidden_tools=frozenset({"pay"}), required_tools=frozenset({"look"})),
        group((look, call("pay")), (call("pay", fate="dry"),), name="c", labels=EITHER),
        group((), (call("pay", fate="unfit"),), name="d", labels=MUST, forbidden_tools=frozenset({"pay"})),
    ]
    write_rollouts(tmp_path / "rollouts", 3, groups, limit=0)
    saved = {record.question.id: record.question for record in read_rollouts(tmp_path / "rollouts", 3)}
    assert saved == {each.question.id: each.question for each in groups}
    findings = audit([tmp_path / "rollouts"], AuditSettings(tools=("look", "pay")))
    names = (*OF_PARTS, "forbidden_executed", "forbidden_dry_run", "forbidden_denied")
    expected = evaluation_metrics(groups, ks=())
    assert {name: findings.metrics[name] for name in names} == {name: expected[name] for name in names}
    assert all(estimate is not None and math.isfinite(estimate.value) for estimate in map(expected.get, names))
    by_tool = evaluation_parts(groups, ks=(), tools=("look", "pay"))["by_tool"]
    for tool in ("look", "pay"):
        assert {name: findings.by_tool[tool].metrics[name] for name in OF_PARTS} == {
            name: by_tool[tool][name] for name in OF_PARTS
        }
