"""Every scorer calls the gold right however it is phrased, near misses never; faults found in the field stay out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_benchmarks.loaders import BENCHMARKS
from axpo_benchmarks.scorers import SCORERS, Outcome, Scorer, Tally, Verdict, score_response, self_test
from axpo_benchmarks.scorers._final_answer import boxed, final_answer
from axpo_benchmarks.scorers._self_test import letter_phrasings, near_misses, phrasings, short_answers
from axpo_benchmarks.scorers._short_answer import short_answer
from axpo_benchmarks.scorers.dynamath import contains_words
from axpo_benchmarks.scorers.math_vr import MathVRScorer, answers_of
from axpo_benchmarks.scorers.visual_probe import VisualProbeScorer
from axpo_envs import Question
from axpo_envs.plumbing.columns import Columns

OPTIONS = ("a red car (left)", "Based on nothing", "rubber", "cotton")


def asking(answer: str, *alternatives: str, options: tuple[str, ...] = (), **extra: Any) -> Question:
    columns = Columns(extra.items())
    return Question(
        id="q", prompt=("What is it?",), answer=answer, alternatives=alternatives, options=options, extra=columns
    )


CHOICE = asking("C", options=OPTIONS)
WORDS = asking("Mount Fuji", "Fujisan", "富士山")
NUMBER = asking("12.5", answer_type="float")
LETTER = asking("C", options=OPTIONS, answer_type="multiple choice")
PARITY = asking("odd function", answer_type="text")
VALUE = asking("42")
GOLDS = asking("42", golds=("42",))

CASES: dict[str, list[tuple[Question, str, str]]] = {
    "mathvision": [(VALUE, "42", "43"), (CHOICE, "C", "D"), (asking("D"), "D", "B")],
    "dynamath": [(NUMBER, "12.5", "12.6"), (LETTER, "C", "D"), (PARITY, "odd function", "even function")],
    "math-vr": [(GOLDS, "42", "43")],
    "v-star": [(CHOICE, "C", "D"), (CHOICE, "C", "a red car (left)")],
    "visual-probe": [(WORDS, "Mount Fuji", "Mount Etna")],
    "hr-bench-4k": [(CHOICE, "C", "D")],
    "hr-bench-8k": [(CHOICE, "rubber", "cotton")],
    "hr-mmsearch": [(WORDS, "Mount Fuji", "Mount Etna"), (WORDS, "富士山", "泰山")],
    "mmsearch": [(WORDS, "Mount Fuji", "Mount Etna"), (WORDS, "富士山", "泰山")],
}
PAIRS = [(name, *case) for name, cases in CASES.items() for case in cases]


def outcome(name: str, question: Question, response: str | None) -> Outcome:
    return SCORERS[name]()(question, response).outcome


@pytest.mark.parametrize(("name", "question", "gold", "other"), PAIRS, ids=[f"{row[0]} {row[2]}" for row in PAIRS])
def test_the_gold_is_right_in_every_phrasing_and_near_misses_are_not(
    name: str, question: Question, gold: str, other: str
) -> None:
    scorer = SCORERS[name]()
    rights, wrongs = phrasings(gold), near_misses(gold, other)
    assert min(len(rights), len(wrongs)) >= 20
    assert self_test(scorer, question, rights=rights, wrongs=wrongs) == ()


@pytest.mark.parametrize("name", ["v-star", "hr-bench-4k", "hr-bench-8k", "mathvision"])
def test_letters_texts_and_both_choose(name: str) -> None:
    scorer = SCORERS[name]()
    wrongs = [*letter_phrasings("A", OPTIONS[0]), *letter_phrasings("D", OPTIONS[3]), "C. cotton", "D. rubber", "E"]
    assert self_test(scorer, CHOICE, rights=letter_phrasings("C", OPTIONS[2]), wrongs=wrongs) == ()


def test_the_self_test_finds_a_scorer_that_takes_any_letter_and_one_that_takes_none() -> None:
    def first_letter(question: Question, response: str | None) -> Verdict:
        hit = (response or "").upper().startswith(question.answer)
        return Verdict(outcome=Outcome.RIGHT if hit else Outcome.WRONG, reason="first letter", score=float(hit))

    found = self_test(first_letter, CHOICE, rights=["C", "(C)"], wrongs=["Cotton", "D"])
    assert [(one.response, one.expected_right) for one in found] == [("(C)", True), ("Cotton", False)]


def test_every_benchmark_has_a_scorer() -> None:
    assert set(SCORERS) == set(BENCHMARKS) == set(CASES)


@pytest.mark.parametrize("response", ["Based on the picture", "A red bus stands there.", "A", "a car", "Because of D"])
def test_words_that_begin_with_a_letter_choose_nothing(response: str) -> None:
    expected = Outcome.WRONG if response == "A" else Outcome.UNPARSABLE
    assert outcome("v-star", CHOICE, response) is expected
    assert outcome("hr-bench-4k", CHOICE, response) is expected


def test_a_last_line_chooses_where_what_is_stated_does_not() -> None:
    assert outcome("v-star", CHOICE, "The answer is in plain sight.\n\n(C)") is Outcome.RIGHT
    assert outcome("v-star", CHOICE, "The answer is in plain sight.\n\nNot (C)") is Outcome.UNPARSABLE
    assert outcome("v-star", CHOICE, "\\boxed{unclear}\nC") is Outcome.UNPARSABLE


def test_options_may_stand_in_the_question_alone() -> None:
    text = "Which is even?\nChoices: (A) sin x (B) cos x (C) x"
    question = Question(id="q", prompt=(text,), answer="B", extra=Columns({"answer_type": "multiple choice"}.items()))
    responses = ['{"short answer": "B"}', '{"short answer": "cos x"}', '{"short answer": "A"}', '{"short answer": "E"}']
    expected = [Outcome.RIGHT, Outcome.RIGHT, Outcome.WRONG, Outcome.UNPARSABLE]
    assert [outcome("dynamath", question, response) for response in responses] == expected


def test_an_option_that_is_the_letter_a_counts_as_text() -> None:
    question = asking("D", options=("red", "green", "blue", "A"))
    # The bare letter is the option A and the text of D: two options, hence none.
    assert outcome("hr-bench-4k", question, "D") is Outcome.RIGHT
    assert outcome("hr-bench-4k", question, "A") is not Outcome.RIGHT


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_nothing_is_executed_and_nothing_said_is_unparsable(name: str, tmp_path: Any) -> None:
    trap = tmp_path / "trap"
    question = CASES[name][0][0]
    for response in (f"__import__('pathlib').Path({str(trap)!r}).touch()", f"\\boxed{{open({str(trap)!r}, 'w')}}"):
        assert outcome(name, question, response) is not Outcome.RIGHT
        assert not trap.exists()
    for nothing in (None, "", " \n", "<answer> </answer>", "<think>it is"):
        assert outcome(name, question, nothing) is Outcome.UNPARSABLE


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("\\boxed{1} and \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{2} and \\boxed{3", "2"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{\\boxed{5}}", "5"),
        ("The answer is 4. Then the answer is 5", "5"),
        ("Answer:\n\n7\nDone.", "7"),
        ("<answer>1</answer></think><answer>2</answer><answer>3</answer>", "3"),
        ("<answer>1</answer><answer>2", None),
        ("</think>", None),
    ],
)
def test_where_the_answer_stands(response: str, answer: str | None) -> None:
    assert final_answer(response).text == answer


@given(st.lists(st.sampled_from(["\\boxed{", "{", "}", "\\}", "x", " ", "\\"]), max_size=30).map("".join))
def test_boxes_are_pieces_of_the_text_without_boxes_in_them(text: str) -> None:
    for box in boxed(text):
        assert f"\\boxed{{{box}}}" in text
        assert boxed(box) == []


@given(st.text(alphabet='"{}\\ntu:short answer1,[] ', max_size=60), st.sampled_from(sorted(SCORERS)))
def test_no_text_breaks_a_scorer(text: str, name: str) -> None:
    if name not in ("mathvision", "math-vr"):
        assert SCORERS[name]()(CASES[name][0][0], text).outcome in tuple(Outcome)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_an_endless_answer_is_none(name: str) -> None:
    for marks in (".,;:", "'", "__a ", "answer is "):
        assert outcome(name, CASES[name][0][0], f"<answer>a{marks * 9000}</answer>") is Outcome.UNPARSABLE


def test_long_thoughts_may_end_in_a_choice() -> None:
    assert outcome("v-star", CHOICE, "Hm. " * 9000 + "\n(C)") is Outcome.RIGHT
    assert outcome("visual-probe", WORDS, "Hm. " * 9000 + "\nMount Fuji") is Outcome.UNPARSABLE


def test_long_texts_are_read_in_one_pass() -> None:
    for text in (
        "\\boxed{" * 50_000,
        "answer" + " " * 200_000 + "x",
        "{" * 100_000,
        '"' * 100_001,
        '{"a":' * 20_000 + '"short answer"',
        "answer is " * 20_000,
    ):
        final_answer(text)
        short_answer(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"solution": "a\\nb", "short answer": "5"}', "5"),
        ('{"short answer": 5}', "5"),
        ('{"short answer": 0.50}', "0.50"),
        ('{"short answer": true}', "true"),
        ('{"short answer": "\\pi/2"}', "\\pi/2"),
        ('{"solution": "\\sqrt{2}\\n", "short answer": "1\\n"}', "1"),
        ('{"short answer": "1"} then {"short answer": "2"}', "2"),
        ('{"solution": {"a": 1}, "short answer": "3"}', "3"),
        ('{"short answer": ""}', None),
        ('{"short answer": ["1"]}', None),
        ('{"short answer": "1"', None),
        ('{"answer": "1"}', None),
        ('A 5" nail. {"short answer": "5"}', "5"),
        ('{"solution": "$\\frac{1}{2}$ {\\"x\\"}", "short answer": "1/2"}', "1/2"),
        ('{"Short_Answer": "x"} { "y": 1 }', "x"),
        ('{"short answer": NaN}', "NaN"),
    ],
)
def test_the_short_answer_is_read_from_json(text: str, answer: str | None) -> None:
    assert short_answer(text) == answer


@pytest.mark.parametrize(
    ("question", "gold", "other"),
    [(NUMBER, "12.5", "12.502"), (LETTER, "C", "B"), (PARITY, "odd function", "even function")],
)
def test_dynamath_reads_its_json(question: Question, gold: str, other: str) -> None:
    scorer = SCORERS["dynamath"]()
    assert self_test(scorer, question, rights=short_answers(gold), wrongs=short_answers(other)) == ()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ('{"short answer": 12.501}', Outcome.RIGHT),
        ('{"short answer": 12.5011}', Outcome.WRONG),
        ('{"short answer": 25/2}', Outcome.UNPARSABLE),
        ('{"short answer": "25/2"}', Outcome.RIGHT),
        ('{"short answer": "12.5 cm"}', Outcome.RIGHT),
        ('{"short answer": "about twelve"}', Outcome.UNPARSABLE),
        ('{"short answer": "12.5 or 13"}', Outcome.UNPARSABLE),
    ],
)
def test_dynamath_numbers_are_within_a_thousandth(response: str, expected: Outcome) -> None:
    assert outcome("dynamath", NUMBER, response) is expected


@pytest.mark.parametrize(
    ("answer", "gold", "contained"),
    [
        ("o", "odd", False),
        ("", "odd", False),
        ("odd", "odd function", False),
        ("It is odd.", "odd", True),
        ("oddly", "odd", False),
        ("not odd", "odd", False),
        ("it isn't odd", "odd", False),
        ("odd or even", "odd", False),
        ("odd, even", "odd", False),
        ("even and odd", "odd", False),
        ("Yes, as it is even.", "yes", True),
        ("no, yes", "yes", False),
        ("odd,", "odd", True),
        ("ODD function", "odd", True),
        ("(-1, 2)", "(-1, 2)", True),
        ("(1, 2)", "(-1, 2)", False),
    ],
)
def test_a_text_holds_the_whole_gold(answer: str, gold: str, contained: bool) -> None:
    assert contains_words(answer, gold) is contained


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("\\boxed{-1} and \\boxed{2}", Outcome.RIGHT),
        ("\\boxed{9}, \\boxed{-1}, \\boxed{\\frac{4}{2}}", Outcome.RIGHT),
        ("\\boxed{-1, 2}", Outcome.RIGHT),
        ("<answer>-1; 2</answer>", Outcome.RIGHT),
        ("\\boxed{2} and \\boxed{-1}", Outcome.WRONG),
        ("\\boxed{-1}", Outcome.UNPARSABLE),
        ("\\boxed{-1, 2, 3}", Outcome.UNPARSABLE),
    ],
)
def test_math_vr_asks_for_every_gold_in_order(response: str, expected: Outcome) -> None:
    assert outcome("math-vr", asking("-1; 2", golds=("-1", "2")), response) is expected


def test_several_lines_without_a_mark_are_no_answer() -> None:
    assert answers_of("First,\n42", 1) == (None, "no answer is marked in several lines")
    assert outcome("mathvision", VALUE, "First,\n42") is Outcome.UNPARSABLE


def test_a_judge_decides_only_where_one_is_given_and_equality_fails() -> None:
    asked: list[str] = []

    def judge(question: Question, answer: str) -> bool | None:
        asked.append(answer)
        return {"the volcano": True, "a hill": False}.get(answer)

    scorers: list[Scorer] = [VisualProbeScorer(judge=judge), SCORERS["hr-mmsearch"]()]
    assert [scorer(WORDS, "<answer>the volcano</answer>").outcome for scorer in scorers] == ["right", "wrong"]
    answers = ["fujisan", "a hill", "mumble", "<answer>"]
    assert [scorers[0](WORDS, answer).outcome for answer in answers] == ["right", "wrong", "unparsable", "unparsable"]
    assert asked == ["the volcano", "fujisan", "a hill", "mumble"]
    with_judge = MathVRScorer(judge=lambda _question, answer: "two" in answer)
    asked.clear()
    equal = scorers[0](WORDS, "<answer>fujisan</answer>")
    assert (equal.outcome, equal.rule, equal.judge, asked) == ("right", "right", "unreadable", ["fujisan"])
    overruled = scorers[0](WORDS, "the volcano")
    assert (overruled.outcome, overruled.rule, overruled.judge) == ("right", "wrong", "right")
    alone = SCORERS["visual-probe"]()(WORDS, "the volcano")
    assert (alone.rule, alone.judge) == (None, None)
    outcomes = [with_judge(GOLDS, said).outcome for said in ("\\boxed{42}", "forty two", "41", None)]
    assert outcomes == ["right", "right", "wrong", "unparsable"]


def test_verdicts_say_which_rule_matched_what() -> None:
    assert "the last <answer>: '(C)' chooses C" in SCORERS["v-star"]()(CHOICE, "<answer>(C)</answer>").reason
    assert "no judge was asked" in SCORERS["visual-probe"]()(WORDS, "Etna").reason
    assert SCORERS["v-star"]()(CHOICE, "<think>C").reason == "<think> is never closed"


def test_cut_and_unparsable_responses_stay_in_the_count() -> None:
    scorer = SCORERS["v-star"]()
    verdicts = [
        score_response(scorer, CHOICE, "C"),
        score_response(scorer, CHOICE, "C", cut=True),
        score_response(scorer, CHOICE, "D"),
        score_response(scorer, CHOICE, "who knows"),
    ]
    tally = Tally.of(verdicts)
    assert (tally.right, tally.wrong, tally.unparsable, tally.cut, tally.total) == (1, 1, 2, 1, 4)
    assert (tally.accuracy, tally.mean) == (0.25, 0.25)
    with pytest.raises(ValueError, match="at least one verdict"):
        _ = Tally.of([]).accuracy
