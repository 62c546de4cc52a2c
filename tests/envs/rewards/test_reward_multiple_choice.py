"""Lettered options: how they are found in a question, and which one an answer chooses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EpisodeState, Question
from axpo_envs.rewards._multiple_choice import MultipleChoice, chosen_letter, read_options

ANIMALS = {"A": "a cat", "B": "a dog", "C": "the dog"}
LINES = "Which animal?\n(A) a cat\n(B) a dog\n(C) the dog\nAnswer with the option's letter."


def score(prompt: str, reference: str, answer: str | None) -> float:
    question = Question(id="q", prompt=(prompt,), answer=reference)
    (term,) = MultipleChoice()(question, answer, EpisodeState(question=question, seed=0))
    assert term.name == "choice"
    return term.value


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (LINES, ANIMALS),
        ("Which?\nA. a cat\nB. a dog\nC. the dog", ANIMALS),
        ("Which?\n  A) a cat\n  B) a dog\n  C) the dog\n", ANIMALS),
        ("Which? (A) a cat (B) a dog (C) the dog", ANIMALS),
        ("Which? A: a cat B: a dog C: the dog\nThink first.", ANIMALS),
        ("Option A. is bad.\nA. x\nB. y", {"A": "x", "B": "y"}),
        ("A. long\n   text\nB. y", {"A": "long\n   text", "B": "y"}),
        ("(A) 1 (B) 2\nNow:\n(A) 3 (B) 4 ", {"A": "3", "B": "4"}),
        ("(A) 1 (B) 2 (C) 3\nof which\n(A) 3 (B) 4", {"A": "1", "B": "2", "C": "3"}),
        ("Which?\n- A. a cat\n- B. a dog\n- C. the dog", ANIMALS),
        ("Which?\n* A) a cat\n* B) a dog\n* C) the dog", ANIMALS),
        ("Which?\n**A.** a cat\n**B.** a dog\n**C.** the dog", ANIMALS),
        ("Which?\n**A**. a cat\n**B**. a dog\n**C**. the dog", ANIMALS),
        ("Which?\n**(A)** a cat\n**(B)** a dog\n**(C)** the dog", ANIMALS),
        ("Which?\n**A. a cat**\n**B. a dog**\n**C. the dog**", ANIMALS),
        ("Which?\nA.a cat\nB.a dog\nC.the dog", ANIMALS),
        ("Which?\n(A)a cat\n(B)a dog\n(C)the dog", ANIMALS),
        ("Which? (A)a cat (B)a dog (C)the dog", ANIMALS),
        ("Which?\n[A] a cat\n[B] a dog\n[C] the dog", ANIMALS),
        ("Which?\nA - a cat\nB - a dog\nC - the dog", ANIMALS),
        ("Which?\nA\uff0ea cat\nB\uff0ea dog\nC\uff0ethe dog", ANIMALS),
        ("Which?\n\uff08A\uff09a cat\n\uff08B\uff09a dog\n\uff08C\uff09the dog", ANIMALS),
        ("Which?\nA\u3001a cat\nB\u3001a dog\nC\u3001the dog", ANIMALS),
        ("Which?\na) a cat\nb) a dog\nc) the dog", ANIMALS),
        ("Which?\n(a) a cat\n(b) a dog\n(c) the dog", ANIMALS),
        ("Which?\nOption A: a cat\nOption B: a dog\nOption C: the dog", ANIMALS),
        ("Which?<br>A. a cat<br>B. a dog<br/>C. the dog", ANIMALS),
        ("Which?\n\u24b6 a cat\n\u24b7 a dog\n\u24b8 the dog", ANIMALS),
        ("Which?\n<b>A.</b> a cat\n<b>B.</b> a dog\n<b>C.</b> the dog", ANIMALS),
        ("Which?\n<li>A. a cat</li><li>B. a dog</li><li>C. the dog</li>", ANIMALS),
        ("Which?\nA\\. a cat\nB\\) a dog\nC\\. the dog", ANIMALS),
        ("Which?\n\\item[A.] a cat\n\\item[B.] a dog\n\\item[C.] the dog", ANIMALS),
        ("Which? a) a cat b) a dog c) the dog", ANIMALS),
        ("Which? A.cat B.dog", {"A": "cat", "B": "dog"}),
        ("Which?\nA ) a cat\nB ) a dog\nC ) the dog", ANIMALS),
        ("Vitamin C. What does it do?", {}),
        ("A. alone", {}),
        ("B. one\nC. two", {}),
        ("", {}),
    ],
)
def test_options_are_found_in_the_question(text: str, options: dict[str, str]) -> None:
    assert read_options(text) == options


@pytest.mark.parametrize(
    "answer",
    [
        "B",
        "b",
        "(B)",
        "(b).",
        "B.",
        "B)",
        " B: ",
        "a dog",
        "A  Dog.",
        "B. a dog",
        "(B) a dog",
        "B) a dog because it barks",
        "The answer is B.",
        "The correct answer is: (B)",
        "Answer: B",
        "option B",
        r"\boxed{B}",
        r"$\text{B}$",
        "**B**",
        "The answer is **B**.",
    ],
)
def test_letter_and_text_choose_an_option(answer: str) -> None:
    assert chosen_letter(answer, ANIMALS) == "B"
    assert score(LINES, "B", answer) == 1.0
    assert score(LINES, "a dog", answer) == 1.0
    assert score(LINES, "A", answer) == 0.0


@pytest.mark.parametrize("answer", ["(B) or (A)", "B) or A)", "B. a dog or A", "B / A", "(B) (A)", "B (not A)"])
def test_a_letter_beside_another_chooses_nothing(answer: str) -> None:
    assert chosen_letter(answer, ANIMALS) is None
    assert score(LINES, "B", answer) == 0.0


@pytest.mark.parametrize("reference", ["AC", "A, C", "A and C", "(A) and (C)", "a cat, the dog", "C, A"])
@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("AC", 1),
        ("C, A.", 1),
        ("A & C", 1),
        ("A C", 1),
        ("(A), (C)", 1),
        ("A. a cat; C. the dog", 1),
        ("the dog and a cat", 1),
        ("A", 0),
        ("C", 0),
        ("A, B, C", 0),
        ("A or C", 0),
        ("AAC", 0),
        ("A, D", 0),
    ],
)
def test_a_reference_of_several_options_asks_for_all_of_them(reference: str, answer: str, value: float) -> None:
    assert MultipleChoice().problem(Question(id="q", prompt=(LINES,), answer=reference)) is None
    assert score(LINES, reference, answer) == value
    assert score("Which of them?", "AC", answer) == value or " " in answer


@pytest.mark.parametrize(
    ("prompt", "reference", "other"),
    [
        ("Which?\nI. cat\nII. dog\nIII. cow", "II", "III"),
        ("Which?\n(i) cat\n(ii) dog\n(iii) cow", "ii", "i"),
        ("Which? (i) cat (ii) dog", "(ii)", "(i)"),
        ("Which?\n1. cat\n2. dog\n3. cow", "2", "3"),
        ("Which?\n1) cat\n2) dog", "dog", "cat"),
    ],
)
def test_numbers_of_a_list_are_options_where_the_reference_is_one(prompt: str, reference: str, other: str) -> None:
    assert MultipleChoice().problem(Question(id="q", prompt=(prompt,), answer=reference)) is None
    assert [score(prompt, reference, answer) for answer in (reference, "dog", f"The answer is {reference}")] == [1] * 3
    assert score(prompt, reference, other) == 0.0


def test_a_number_that_is_also_the_text_of_another_option_is_told() -> None:
    question = Question(id="q", prompt=("Which?\n1. 3\n2. 1",), answer="1")
    assert MultipleChoice().problem(question) is not None


@pytest.mark.parametrize("answer", ["", "D", "dog", "A or B", "A, B", "B. the dog", "a bird", "Because", "AB", "1"])
def test_other_answers_choose_nothing(answer: str) -> None:
    assert chosen_letter(answer, ANIMALS) is None
    assert score(LINES, "B", answer) == 0.0


def test_an_episode_without_answer_is_wrong() -> None:
    assert score(LINES, "B", None) == 0.0


def test_options_that_read_alike_are_chosen_by_letter_only() -> None:
    options = {"A": "yes", "B": "Yes."}
    assert chosen_letter("yes", options) is None
    assert chosen_letter("B", options) == "B"


def test_without_options_letters_are_compared() -> None:
    assert score("Which?", "C", "(c)") == 1.0
    assert score("Which?", "C", "C. whatever") == 1.0
    assert score("Which?", "C", "B") == 0.0


def test_references_that_are_no_option_are_told() -> None:
    def problem(prompt: str, answer: str) -> str | None:
        return MultipleChoice().problem(Question(id="q", prompt=(prompt,), answer=answer))

    assert problem(LINES, "C") is None
    assert problem(LINES, "the dog") is None
    assert "A. a cat, B. a dog" in (problem(LINES, "D") or "")
    assert "has no lettered options" in (problem("Which?", "a cat") or "")
    assert problem("Which point is nearer, A or B?", "B") is None


@pytest.mark.parametrize(
    "prompt", ["Which?\n| A | cat |\n| B | dog |", "Which?\n1. cat\n2. dog", "Which?\ni) cat\nii) dog"]
)
def test_options_in_a_form_that_is_not_read_are_told(prompt: str) -> None:
    question = Question(id="q", prompt=(prompt,), answer="B")
    assert "seems to list options" in (MultipleChoice().problem(question) or "")


def test_options_of_the_question_itself_come_first() -> None:
    question = Question(id="q", prompt=("Which?",), answer="B", alternatives=("C",), options=("x. y\nz", "dog", "cow"))
    state = EpisodeState(question=question, seed=0)
    values = {said: MultipleChoice()(question, said, state)[0].value for said in ("dog", "cow", "B", "x. y z", "A")}
    assert values == {"dog": 1.0, "cow": 1.0, "B": 1.0, "x. y z": 0.0, "A": 0.0}


@given(st.text(alphabet="AB().: abx\n", max_size=30), st.text(alphabet="AB().: abx\n", max_size=12))
def test_any_texts_are_read_without_raising(text: str, answer: str) -> None:
    options = read_options(text)
    letter = chosen_letter(answer, options)
    assert letter is None or not options or letter in options
