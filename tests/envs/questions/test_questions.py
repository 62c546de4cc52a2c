from dataclasses import replace

import numpy as np
import pytest

from axpo_envs import EnvConfigError, ImageRef, Label, ListQuestions, Question, QuestionSource

QUESTION = Question(id="a", prompt=("1 + 1?", ImageRef(np.zeros((2, 2, 3), np.uint8))), answer="2", hops=1)
OTHER = Question(id="b", prompt=("?",), answer="")


def test_a_list_hands_out_its_questions_with_its_fingerprint() -> None:
    source = ListQuestions([QUESTION, OTHER])
    assert isinstance(source, QuestionSource)
    assert source.size == 2
    assert source.question(1) == replace(OTHER, source=source.fingerprint)
    assert source.question(0) is source.question(0)


def test_the_fingerprint_is_of_the_contents_alone() -> None:
    assert ListQuestions([QUESTION]).fingerprint == ListQuestions([replace(QUESTION, source="x")]).fingerprint
    white = ImageRef(np.full((2, 2, 3), 255, np.uint8))
    lists = [
        [QUESTION],
        [QUESTION, OTHER],
        [OTHER, QUESTION],
        [replace(QUESTION, id="c")],
        [replace(QUESTION, answer="3")],
        [replace(QUESTION, prompt=("1 + 1?",))],
        [replace(QUESTION, prompt=("1 + 1?", white))],
        [replace(QUESTION, prompt=("1 + 1?", *QUESTION.images, ""))],
        [replace(QUESTION, hops=None)],
        [replace(QUESTION, labels=frozenset({Label.MUST_ACT}))],
    ]
    assert len({ListQuestions(questions).fingerprint for questions in lists}) == len(lists)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_question_that_is_not_there_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match=f"from 0 to 1; got {index}"):
        ListQuestions([QUESTION, OTHER]).question(index)


def test_an_empty_list_and_repeated_ids_are_refused() -> None:
    with pytest.raises(EnvConfigError, match="at least one question"):
        ListQuestions([])
    with pytest.raises(EnvConfigError, match="unique; got 'a' twice"):
        ListQuestions([QUESTION, replace(QUESTION, answer="3")])
