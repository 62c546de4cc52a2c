from __future__ import annotations

import numpy as np
import torch

from axpo_benchmarks.envs._perception_probe import probe_perception
from axpo_benchmarks.envs._probing import Exhibits, guesses, numbered, read, train_probe
from axpo_benchmarks.envs._sign_probe import probe_signs
from axpo_envs.suite.perception_qa import PerceptionQA
from axpo_envs.suite.visual_zoom import VisualZoom


def exhibits(number: int, *, seed: int, telling: bool) -> Exhibits:
    """Two sorts of questions with two answers each: whether a patch, or the view, is light; or noise."""
    rng = np.random.default_rng(seed)
    groups, light = rng.integers(0, 2, (2, number))
    patches = rng.integers(1, 100, (number, 1, 12, 12, 3)).astype(np.uint8)
    views = rng.integers(1, 100, (number, 12, 12, 3)).astype(np.uint8)
    if telling:
        patches[(groups == 0) & (light == 1)] += 100
        views[(groups == 1) & (light == 1)] += 100
    asked = np.stack([groups == 0, groups == 1], axis=1).astype(np.float32)
    return Exhibits(patches=patches, views=views, asked=asked, groups=groups, answers=2 * groups + light)


def test_a_probe_reads_what_is_shown_and_nothing_else() -> None:
    shares = {}
    for telling in (True, False):
        probe = train_probe(exhibits(400, seed=0, telling=telling), answers=4, epochs=6)
        shown = exhibits(200, seed=1, telling=telling)
        shares[telling] = (read(probe, shown) == shown.answers).mean()
    assert shares[True] > 0.95
    assert 0.35 < shares[False] < 0.65


def test_a_probe_answers_only_what_the_sort_of_question_may_have_as_its_answer() -> None:
    probe = train_probe(exhibits(120, seed=0, telling=False), answers=4, epochs=1)
    shown = exhibits(100, seed=1, telling=False)
    assert (read(probe, shown) // 2 == shown.groups).all()


def test_training_repeats_itself_and_leaves_threads_and_random_numbers_alone() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    examples = exhibits(120, seed=0, telling=True)
    one, other = (train_probe(examples, answers=4, epochs=1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_guessing_answers_what_was_most_frequent_in_training() -> None:
    def asked(groups: list[int], answers: list[int]) -> Exhibits:
        count = len(groups)
        return Exhibits(
            patches=np.zeros((count, 0, 1, 1, 3), dtype=np.uint8),
            views=np.zeros((count, 0, 0, 3), dtype=np.uint8),
            asked=np.zeros((count, 0), dtype=np.float32),
            groups=np.array(groups),
            answers=np.array(answers),
        )

    examples = asked([0, 0, 0, 1, 1, 1], [0, 1, 1, 3, 2, 3])
    assert guesses(examples, asked([1, 0, 0], [-1, 0, 1])).tolist() == [3, 1, 1]
    assert numbered(["b", "x", "a"], ["a", "b"]).tolist() == [1, -1, 0]


def test_signs_that_the_view_shows_are_read_and_closed_ones_are_not() -> None:
    open_to_all = VisualZoom(image_size=96, view_size=96, sign_size=0.25, signs=1, characters="18", split="test")
    share = probe_signs(open_to_all, 40, trained_on=300, epochs=16)
    assert share.n == 40
    assert share.right > 36
    assert "chance: 50.0%" in share.note
    closed = VisualZoom(difficulty="closed", split="test")
    share = probe_signs(closed, 40, trained_on=20, epochs=1)
    assert share.right < 20
    assert "trained on 80 signs of 20 scenes" in share.note


def test_the_probe_of_perception_answers_held_out_questions_and_tells_the_guessing_level() -> None:
    env = PerceptionQA(image_size=1344, view_size=112, split="test")
    share = probe_perception(env, 24, trained_on=48, epochs=1)
    assert share.n == 24
    assert 0 <= share.right < 12
    assert share.note.startswith("always the most frequent answer of its form of question: ")
    assert "questions about 48 views of the train split" in share.note
    assert "character " in share.note
