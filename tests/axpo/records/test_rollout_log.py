import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axpo.algorithm.types import Group
from axpo.records._jsonl import DamagedFileError
from axpo.records._rollout_log import read_image, read_rollouts, saved_steps, step_folder, write_rollouts
from axpo.records.rollout_record import Cut, GrownBranch, Kind, Origin, RolloutRecord
from axpo_agents.types import Span
from axpo_envs.plumbing.columns import Columns
from axpo_envs.types import Turn

CUT = Cut(turn=0, token=3, confidence=0.25)
FROZEN = "<think>I cannot read it: zoom in.</think>\n<tool_call>"


def saved(folder: Path, groups: list[Group], limit: int) -> tuple[RolloutRecord, ...]:
    write_rollouts(folder, 10, groups, limit=limit)
    return read_rollouts(folder, 10)


def test_a_branch_is_saved_with_its_source_and_its_cut(tmp_path: Path, group: Group) -> None:
    rollouts = saved(tmp_path, [group], 0)
    assert [(item.kind, item.index) for item in rollouts] == [
        *((Kind.ROLLOUT, index) for index in range(4)),
        *((Kind.CONTINUATION, index) for index in range(2)),
    ]
    assert rollouts[0].branches == (GrownBranch(cut=CUT, rewards=(0.0, 1.0)),)
    assert CUT.characters(rollouts[0].turns[0].text) == len(FROZEN)
    assert rollouts[0].turns[0].text.startswith(FROZEN + "{")
    assert rollouts[1].branches == ()
    assert [item.origin for item in rollouts] == [None] * 4 + [Origin(rollout=0, cut=CUT)] * 2
    assert [completion.forced for completion in rollouts[4].completions] == [3, 0]


def test_rollouts_come_back_as_they_were(tmp_path: Path, group: Group) -> None:
    records = saved(tmp_path, [group], 0)
    written = (*group.rollouts, *group.branches[0].continuations)
    assert [record.rollout for record in records] == [replace(rollout, snapshots=()) for rollout in written]
    assert (records[0].step, records[0].group, records[0].reward, records[0].used_tool) == (10, 0, 0.0, True)


def test_images_are_kept_once_each_by_content_and_pixel_for_pixel(tmp_path: Path, group: Group) -> None:
    source = saved(tmp_path, [group], 0)[0]
    image, crop = source.question.images[0], source.turns[0].calls[0].result.content[1]
    names = sorted(path.name for path in (step_folder(tmp_path, 10) / "images").iterdir())
    assert names == sorted(f"{item.digest}.png" for item in (image, source.shown[0], crop))
    found = read_image(tmp_path, 10, image.digest, image.width, image.height)
    assert np.array_equal(found.pixels, group.question.images[0].pixels)


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
    record = saved(tmp_path, [Group(question=group.question, rollouts=(plain,))], 0)[0]
    assert record.shown == ()
    assert record.rollout == replace(plain, snapshots=())


def test_text_that_is_no_unicode_comes_back_as_it_was(tmp_path: Path, group: Group) -> None:
    turn = Turn(text="\ud800\r\n\x85\u2028<answer>\udfff</answer>", answer="\udfff", observation=("\ud800",))
    broken = replace(group.rollouts[1], episode=replace(group.rollouts[1].episode, turns=(turn,)))
    assert saved(tmp_path, [Group(question=group.question, rollouts=(broken, broken))], 0)[1].turns[0] == turn


COLUMNS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions(),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture is immutable
@given(
    extra=st.dictionaries(st.text(max_size=4), COLUMNS, max_size=4),
    logprob=st.floats(max_value=0.0, allow_nan=False, allow_infinity=False),
)
def test_whatever_a_row_holds_comes_back_equal(group: Group, extra: dict[str, Any], logprob: float) -> None:
    source = group.rollouts[0]
    question = replace(group.question, extra=Columns(extra.items()), alternatives=("8",), options=("a", "b"))
    completions = tuple(replace(c, logprobs=(logprob,) * len(c.ids), thinking=Span(0, 2)) for c in source.completions)
    rollout = replace(source, episode=replace(source.episode, question=question), completions=completions)
    with TemporaryDirectory() as folder:
        found = saved(Path(folder), [Group(question=question, rollouts=(rollout,))], 0)[0]
    assert found.rollout == replace(rollout, snapshots=())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 1}, "version: expected 2; got 1"),
        ({"step": "ten"}, "step: expected a value of type int; got 'ten'"),
        ({"step": True}, "step: expected a value of type int; got 'True'"),
        ({"more": 1}, "more: expected one of the fields"),
        ({"rollout": {"episode": None}}, "rollout.completions: expected a value; got none"),
        ({"branches": {}}, r"branches: expected a list; got '\{\}'"),
        ({"origin": []}, "origin: expected an object; got list"),
    ],
)
def test_a_record_that_is_none_is_named_by_its_place(
    tmp_path: Path, group: Group, change: dict[str, Any], problem: str
) -> None:
    saved(tmp_path, [group], 1)
    path = step_folder(tmp_path, 10) / "rollouts.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    with pytest.raises(DamagedFileError, match=rf"rollouts\.jsonl, line 1: {problem}"):
        read_rollouts(tmp_path, 10)


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
    with pytest.raises(DamagedFileError, match=r"rollouts\.jsonl, line 2: version: expected 2; got None"):
        read_rollouts(tmp_path, 10)
