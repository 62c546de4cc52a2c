from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, EpisodeState, ExactMatch, FunctionReward, InfrastructureFault, Question
from axpo_envs.errors import RewardFault
from axpo_envs.rewards._answer_text import normalize_answer
from axpo_envs.rewards.reward import WeightedSum, score
from axpo_envs.types import RewardTerm

QUESTION = Question(id="q", prompt=("?",), answer="Blue Whale")
STATE = EpisodeState(question=QUESTION, seed=0)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Blue Whale", 1.0),
        (" blue\n whale. ", 1.0),
        ("**“BLUE WHALE”**!", 1.0),
        ("\uff22lue\u00a0whale", 1.0),
        ("bluewhale", 0.0),
        ("a blue whale", 0.0),
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_exact_match_compares_normalized_text(answer: str | None, value: float) -> None:
    assert score(ExactMatch(), QUESTION, answer, STATE) == (RewardTerm(name="correct", value=value),)


@pytest.mark.parametrize("text", ["-5", ".5", "50%", "$5", "[0,1)", "(0,1]", "f(x)", "+", "...", "c#", "x^2", "1.5"])
def test_normalization_keeps_what_carries_meaning(text: str) -> None:
    assert normalize_answer(text) == text


def test_an_empty_answer_is_no_match_for_marks() -> None:
    assert score(ExactMatch(), Question(id="q", prompt=(), answer="."), "", STATE)[0].value == 0.0


def test_a_function_scores_answers_and_never_sees_a_missing_one() -> None:
    def closeness(question: Question, answer: str, state: EpisodeState) -> float:
        return len(answer) / len(question.answer)

    reward = FunctionReward(closeness)
    assert score(reward, QUESTION, "Blue ", STATE) == (RewardTerm(name="closeness", value=0.5),)
    assert score(reward, QUESTION, None, STATE) == (RewardTerm(name="closeness", value=0.0),)
    renamed = FunctionReward(lambda question, answer, state: True, name="any")
    assert score(renamed, QUESTION, "", STATE) == (RewardTerm(name="any", value=1.0),)


def test_a_weighted_sum_keeps_every_term() -> None:
    short = FunctionReward(lambda question, answer, state: float(len(answer) < 20), name="short")
    terms = score(WeightedSum((1.0, ExactMatch()), (0.25, short)), QUESTION, "blue whale", STATE)
    assert terms == (RewardTerm(name="correct", value=1.0), RewardTerm(name="short", value=0.25))


@pytest.mark.parametrize("parts", [(), ((float("nan"), ExactMatch()),), ((float("inf"), ExactMatch()),)])
def test_a_weighted_sum_refuses_unusable_weights(parts: Any) -> None:
    with pytest.raises(EnvConfigError):
        WeightedSum(*parts)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (1.0, "must return a tuple of RewardTerm; got 1.0"),
        ((1.0,), "must return a tuple of RewardTerm"),
        ((RewardTerm(name="a", value=float("nan")),), "finite numbers; term 'a' is nan"),
        ((RewardTerm(name="a", value=float("inf")),), "finite numbers; term 'a' is inf"),
        ((RewardTerm(name="a", value="1"),), "finite numbers; term 'a' is '1'"),  # type: ignore[arg-type]
    ],
)
def test_an_unusable_reward_is_a_fault_that_names_the_question(returned: Any, message: str) -> None:
    with pytest.raises(RewardFault, match="question 'q'") as caught:
        score(lambda *_: returned, QUESTION, "x", STATE)
    assert message in str(caught.value)


def test_a_reward_that_raises_is_a_fault_with_its_cause() -> None:
    def broken(*_: object) -> Any:
        raise KeyError("judge")

    with pytest.raises(RewardFault, match="question 'q' raised KeyError: 'judge'") as caught:
        score(broken, QUESTION, "x", STATE)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_infrastructure_fault_of_a_judge_passes_unchanged() -> None:
    fault = InfrastructureFault("down")

    def broken(*_: object) -> Any:
        raise fault

    with pytest.raises(InfrastructureFault) as caught:
        score(broken, QUESTION, "x", STATE)
    assert caught.value is fault


@given(st.text(max_size=30))
def test_normalization_is_settled_after_one_pass(text: str) -> None:
    assert normalize_answer(normalize_answer(text)) == normalize_answer(text)


def test_any_of_several_references_will_do() -> None:
    question = Question(id="q", prompt=(), answer="NYC", alternatives=("New York",))
    values = [ExactMatch()(question, answer, STATE)[0].value for answer in ("nyc", "new york", "Boston", None)]
    assert values == [1.0, 1.0, 0.0, 0.0]
