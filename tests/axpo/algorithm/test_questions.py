from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from axpo.algorithm.questions import held_out_questions, training_questions
from axpo.algorithm.seeds import derive_seed
from axpo_envs import ListQuestions, Question


class Endless:
    """Question n has the id n."""

    fingerprint = "endless"
    size = None

    def question(self, index: int) -> Question:
        return Question(id=str(index), prompt=("?",), answer="")


def few(size: int) -> ListQuestions:
    return ListQuestions(Question(id=str(index), prompt=("?",), answer="") for index in range(size))


def ids(questions: tuple[Question, ...]) -> list[int]:
    return [int(question.id) for question in questions]


class TestTraining:
    def test_an_endless_source_is_read_on_without_repeating(self):
        asked = [i for step in (1, 2, 3) for i in ids(training_questions(Endless(), seed=0, step=step, count=4))]
        assert asked == list(range(asked[0], asked[0] + 12))

    def test_seeds_read_an_endless_source_in_different_places(self):
        places = {ids(training_questions(Endless(), seed=seed, step=1, count=1))[0] for seed in range(50)}
        assert len(places) == 50

    @given(size=st.integers(1, 9), count=st.integers(1, 20), seed=st.integers(0, 5))
    def test_every_pass_over_a_finite_source_asks_each_question_once(self, size: int, count: int, seed: int) -> None:
        steps = -(-3 * size // count)
        asked = [
            i for s in range(1, steps + 1) for i in ids(training_questions(few(size), seed=seed, step=s, count=count))
        ]
        for start in range(0, 3 * size, size):
            assert Counter(asked[start : start + size]) == Counter(range(size))

    def test_the_order_depends_on_the_seed_and_on_the_pass(self):
        def order(seed: int, step: int) -> list[int]:
            return ids(training_questions(few(20), seed=seed, step=step, count=20))

        assert order(0, 1) == order(0, 1)
        assert order(0, 1) != order(1, 1)
        assert order(0, 1) != order(0, 2)


class TestHeldOut:
    def test_are_the_first_of_their_source(self):
        assert ids(held_out_questions(few(5), 3)) == [0, 1, 2]
        assert ids(held_out_questions(few(5), 100)) == [0, 1, 2, 3, 4]
        assert ids(held_out_questions(Endless(), 3)) == [0, 1, 2]


class TestSeeds:
    def test_are_the_same_everywhere(self):
        """Worked values: runs of other machines and versions must be repeatable."""
        assert derive_seed(0, 1, "sampling") == 939504712884272325
        assert derive_seed() == 8238016292129134938

    def test_differ_by_every_part_and_its_kind(self):
        parts = [(0,), (1,), ("0",), (0, 0), (0, "a"), ("a", 0), ("a0",)]
        assert len({derive_seed(*each) for each in parts}) == len(parts)

    @given(parts=st.lists(st.integers() | st.text(), max_size=4))
    def test_fit_every_generator(self, parts: list[int | str]) -> None:
        assert 0 <= derive_seed(*parts) < 2**63
