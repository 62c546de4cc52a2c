from dataclasses import replace
from pathlib import Path

import pytest

from axpo.algorithm.types import Group
from axpo.records._rollout_log import write_rollouts
from axpo.report._gallery import pick_branches, pick_examples, pick_pairs
from axpo.report._pictures import Album


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(rollouts=tmp_path / "axpo")


def asking(group: Group, name: str, *order: int) -> Group:
    """The group's rollouts in another order, on a question of another name; without branches."""
    question = replace(group.question, id=name)
    rollouts = tuple(group.rollouts[index] for index in order)
    return Group(
        question=question,
        rollouts=tuple(replace(item, episode=replace(item.episode, question=question)) for item in rollouts),
    )


def test_a_branch_is_shown_with_its_best_continuation(album: Album, group: Group) -> None:
    write_rollouts(album.rollouts, 10, [group], limit=0)
    (branch,) = pick_branches(album)
    assert (branch.continuations, branch.recovered, branch.confidence) == (2, 1, 0.25)
    assert (branch.source.correct, branch.continuation.correct) == (False, True)


def test_each_step_shows_the_branch_that_recovered_best(album: Album, group: Group) -> None:
    branch = group.branches[0]
    lost = group.with_branches((replace(branch, continuations=branch.continuations[:1]),))
    write_rollouts(album.rollouts, 10, [lost], limit=0)
    write_rollouts(album.rollouts, 20, [lost, group], limit=0)
    write_rollouts(album.rollouts, 30, [group.with_branches(())], limit=0)
    assert [(view.source.step, view.recovered) for view in pick_branches(album)] == [(10, 0), (20, 1)]
    assert len(pick_branches(album, 1)) == 1


def test_branches_whose_continuations_were_not_saved_are_left_out(album: Album, group: Group) -> None:
    write_rollouts(album.rollouts, 10, [group], limit=2)
    assert pick_branches(album) == ()


def test_pairs_show_shared_questions_first_those_that_tell_methods_apart(tmp_path: Path, group: Group) -> None:
    grpo, axpo = Album(rollouts=tmp_path / "grpo"), Album(rollouts=tmp_path / "axpo")
    wrong, right = 2, 1
    write_rollouts(grpo.rollouts, 10, [asking(group, name, wrong) for name in "abc"], limit=0)
    write_rollouts(grpo.rollouts, 20, [asking(group, "a", right)], limit=0)
    write_rollouts(axpo.rollouts, 10, [asking(group, "b", wrong), asking(group, "c", right, wrong)], limit=0)
    pairs = pick_pairs({"GRPO": grpo, "AXPO": axpo})
    assert [[(name, view.correct) for name, view in pair.items()] for pair in pairs] == [
        [("GRPO", False), ("AXPO", True)],
        [("GRPO", False), ("AXPO", False)],
    ]


def test_nothing_saved_shows_nothing(album: Album) -> None:
    assert pick_branches(album) == ()
    assert pick_examples(album) == ()
    assert pick_pairs({"AXPO": album}) == ()
    assert pick_pairs({}) == ()


def test_examples_hold_one_of_each_kind_of_the_last_step(album: Album, group: Group) -> None:
    write_rollouts(album.rollouts, 10, [group], limit=1)
    write_rollouts(album.rollouts, 20, [asking(group, "a", 3, 2, 1, 0)], limit=0)
    examples = pick_examples(album, 3)
    assert [(view.step, view.used_tool, view.correct) for view in examples] == [
        (20, True, False),
        (20, False, True),
        (20, False, False),
    ]
