"""Tests of written sums: PythonReasoning as the embedded policy `tiny-python` meets it."""

from __future__ import annotations

from typing import Any

import pytest

from axpo_agents import roll_agent
from axpo_envs import EnvConfigError
from axpo_envs.suite.python_reasoning import PythonReasoning
from axpo_envs.suite.python_reasoning.written import FORMS, Sum, split_of
from axpo_envs.suite.python_reasoning.written_expert import CodingStyle, SumExpert
from axpo_envs.testing import check_tool_env


def sums(**knobs: Any) -> PythonReasoning:
    return PythonReasoning(**{"source": "written", "python": "expressions", "split": "test", **knobs})


@pytest.fixture(scope="module")
def env() -> PythonReasoning:
    return sums(guess_rate=0.6)


def success(env: PythonReasoning, style: CodingStyle, episodes: int = 300) -> float:
    starts = [env.begin(env.questions.question(index), seed=index) for index in range(episodes)]
    return sum(rollout.reward for rollout in roll_agent(SumExpert(env, style, seed=1), env, starts)) / episodes


def test_it_conforms_to_the_contract_of_tool_environments() -> None:
    check_tool_env(lambda: sums(guess_rate=0.6))


@pytest.mark.parametrize(
    ("form", "numbers", "text", "answer"),
    [
        ("remainder", (34, 57, 7), "What is the remainder of 34 * 57 divided by 7?", 6),
        ("last_of_sum", (12, 34, 56, 10), "What is the last digit of 12 + 34 + 56?", 2),
        ("last_of_difference", (12, 13, 57, 10), "What is the last digit of 12 * 13 - 57?", 9),
    ],
)
def test_a_sum_is_asked_and_computed_as_it_says(form: str, numbers: tuple[int, ...], text: str, answer: int) -> None:
    drawn = Sum(form=form, numbers=numbers)
    assert (drawn.text, drawn.answer) == (text, answer)


def test_the_expert_answers_all_and_a_guess_is_right_as_often_as_the_setting_says(env: PythonReasoning) -> None:
    assert success(env, CodingStyle()) == 1.0
    assert success(env, CodingStyle(tool_rate=0.0)) == pytest.approx(0.6, abs=0.08)
    assert success(env, CodingStyle(slip_rate=1.0)) < 0.3


def test_the_interpreter_in_its_sandbox_prints_what_the_expressions_do(env: PythonReasoning) -> None:
    for index in range(20):
        drawn = env.sum_of(env.questions.question(index))
        namespace: dict[str, Any] = {}
        exec(drawn.code.replace("print(", "printed = (", 1), namespace)
        assert str(namespace["printed"]) == env.questions.question(index).answer


def test_splits_share_no_sum_and_every_form_is_asked() -> None:
    for split in ("train", "validation", "test"):
        env = sums(split=split)
        drawn = [env.sum_of(env.questions.question(index)) for index in range(60)]
        assert {split_of(one) for one in drawn} == {split}
        assert {one.form for one in drawn} == set(FORMS)


def test_the_truth_of_other_sources_is_refused(env: PythonReasoning) -> None:
    question = env.questions.question(0)
    with pytest.raises(ValueError, match="expected source='figures'; got 'written'"):
        env.problem_of(question)
    with pytest.raises(ValueError, match="expected source='written'; got 'figures'"):
        PythonReasoning(python="expressions").sum_of(question)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"guess_rate": 2}, "guess_rate must be a number from 0 to 1"),
        ({"python": "calculator"}, "python must be one of expressions"),
        ({"path": "rows.jsonl"}, "path is that of source='mathvision'; got 'rows.jsonl' with 'written'"),
    ],
)
def test_unusable_settings_are_told(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        sums(**knobs)
