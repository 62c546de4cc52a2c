from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axpo.algorithm.types import Group
from axpo.records._jsonl import DamagedFileError
from axpo.records._rollout_log import read_image, read_rollouts, saved_steps, step_folder, write_rollouts
from axpo.records._rollout_records import Kind, SavedBranch, SavedCut, SavedImage, SavedOrigin, SavedRollout
from axpo_envs.types import CallOutcome, ToolStatus, Turn

CUT = SavedCut(turn=0, token=3, characters=49, confidence=0.25)
FROZEN = "<think>I cannot read it: zoom in.</think>\n<tool_call>"


def saved(folder: Path, groups: list[Group], limit: int) -> tuple[SavedRollout, ...]:
    write_rollouts(folder, 10, groups, limit=limit)
    return read_rollouts(folder, 10)


def test_a_branch_is_saved_with_its_source_and_its_cut(tmp_path: Path, group: Group) -> None:
    rollouts = saved(tmp_path, [group], 0)
    assert [(item.kind, item.index) for item in rollouts] == [
        *((Kind.ROLLOUT, index) for index in range(4)),
        *((Kind.CONTINUATION, index) for index in range(2)),
    ]
    cut = replace(CUT, characters=len(FROZEN))
    assert rollouts[0].branches == (SavedBranch(cut=cut, rewards=(0.0, 1.0)),)
    assert rollouts[0].turns[0].text.startswith(FROZEN + "{")
    assert rollouts[1].branches == ()
    assert [item.origin for item in rollouts] == [None] * 4 + [SavedOrigin(rollout=0, cut=cut)] * 2
    assert [turn.forced_tokens for turn in rollouts[4].turns] == [3, 0]


def test_turns_calls_rewards_and_tokens_come_back(tmp_path: Path, group: Group) -> None:
    source = saved(tmp_path, [group], 0)[0]
    assert (source.step, source.group, source.reward, source.used_tool) == (10, 0, 0.0, True)
    assert [(term.name, term.value) for term in source.terms] == [("correct", 0.0)]
    assert (source.sampled_tokens, source.context_tokens) == (8, 6)
    call = source.turns[0].calls[0]
    assert (call.name, call.arguments) == ("image_zoom_in", '{"bbox_2d": [0, 0, 200, 200], "label": "red"}')
    assert (call.outcome, call.status) == (CallOutcome.EXECUTED, ToolStatus.OK)
    assert source.turns[1].answer == "4"
    assert source.question.answer == "7"
    assert source.question.prompt[1] == "What is on the <b>red</b> sign?"


def test_images_are_kept_once_each_by_content_and_pixel_for_pixel(tmp_path: Path, group: Group) -> None:
    source = saved(tmp_path, [group], 0)[0]
    image, crop = source.question.prompt[0], source.turns[0].calls[0].content[1]
    assert isinstance(image, SavedImage)
    assert isinstance(crop, SavedImage)
    names = sorted(path.name for path in (step_folder(tmp_path, 10) / "images").iterdir())
    assert names == sorted(f"{item.digest}.png" for item in (image, source.question.shown[0], crop))
    assert np.array_equal(read_image(tmp_path, 10, image).pixels, group.question.images[0].pixels)


def test_a_limit_keeps_recovered_branches_whole_and_spreads_the_rest_over_groups(tmp_path: Path, group: Group) -> None:
    branch = group.branches[0]
    lost = replace(branch, continuations=(branch.continuations[0],) * 2)
    groups = [group.with_branches((lost,)), group.with_branches(()), group]
    rollouts = saved(tmp_path, groups, 6)
    assert [(item.group, item.index, item.kind.value) for item in rollouts] == [
        (2, 0, "rollout"),
        (2, 0, "continuation"),
        (2, 1, "continuation"),
        (0, 0, "rollout"),
        (1, 0, "rollout"),
        (0, 1, "rollout"),
    ]


def test_a_branch_too_large_for_the_limit_leaves_the_place_to_others(tmp_path: Path, group: Group) -> None:
    assert [item.kind for item in saved(tmp_path, [group], 3)] == [Kind.ROLLOUT] * 3


def test_several_branches_of_one_source_save_it_once(tmp_path: Path, group: Group) -> None:
    rollouts = saved(tmp_path, [group.with_branches(group.branches * 2)], 12)
    kinds = [item.kind for item in rollouts]
    assert (kinds.count(Kind.ROLLOUT), kinds.count(Kind.CONTINUATION)) == (4, 4)


def test_agents_without_tokens_are_saved_too(tmp_path: Path, group: Group) -> None:
    plain = replace(group.rollouts[0], completions=())
    rollout = saved(tmp_path, [Group(question=group.question, rollouts=(plain,))], 0)[0]
    assert rollout.question.shown == ()
    assert [turn.sampled_tokens for turn in rollout.turns] == [0, 0]


def test_text_that_is_no_unicode_is_saved_all_the_same(tmp_path: Path, group: Group) -> None:
    turn = Turn(text="\ud800\r\n\x85\u2028<answer>\udfff</answer>", answer="\udfff", observation=("\ud800",))
    broken = replace(group.rollouts[1], episode=replace(group.rollouts[1].episode, turns=(turn,)))
    found = saved(tmp_path, [Group(question=group.question, rollouts=(broken, broken))], 0)[1].turns[0]
    assert (found.text, found.answer, found.observation) == ("?\r\n\x85\u2028<answer>?</answer>", "?", ("?",))


def test_a_step_appears_whole_or_not_at_all(tmp_path: Path, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        write_rollouts(tmp_path, 10, [group], limit=0)
    assert list(tmp_path.iterdir()) == []
    assert saved_steps(tmp_path) == ()


def test_what_a_killed_process_left_is_removed(tmp_path: Path, group: Group) -> None:
    (tmp_path / ".partial-1-step-000010").mkdir()
    saved(tmp_path, [group], 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]


def test_writing_a_step_again_replaces_it(tmp_path: Path, group: Group) -> None:
    saved(tmp_path, [group], 0)
    assert len(saved(tmp_path, [group], 1)) == 1
    assert saved_steps(tmp_path) == (10,)


def test_a_damaged_line_is_named(tmp_path: Path, group: Group) -> None:
    saved(tmp_path, [group], 1)
    with (step_folder(tmp_path, 10) / "rollouts.jsonl").open("a") as file:
        file.write('{"step": "ten"}\n')
    with pytest.raises(DamagedFileError, match=r"rollouts\.jsonl, line 2: step: Input should be a valid integer"):
        read_rollouts(tmp_path, 10)
