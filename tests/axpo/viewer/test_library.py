from collections.abc import Callable
from pathlib import Path

import pytest

import axpo.viewer._library as library_module
from axpo.algorithm.types import Group
from axpo.records._rollout_log import ROLLOUTS_FILE, step_folder, write_rollouts
from axpo.viewer import _step_index
from axpo.viewer._library import Library
from axpo.viewer._runs import Run, Shelf
from axpo.viewer._step_index import index_step, read_place

Counted = list[int]


@pytest.fixture
def shelved(run: Path) -> Run:
    return Shelf([run]).runs()["run"]


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The steps whose files were read."""
    steps: Counted = []
    plain = index_step

    def counting(rollouts: Path, step: int, *, tools: frozenset[str], success_threshold: float) -> object:
        steps.append(step)
        return plain(rollouts, step, tools=tools, success_threshold=success_threshold)

    monkeypatch.setattr(library_module, "index_step", counting)
    return steps


def test_lines_are_found_again_at_their_places(run: Path) -> None:
    rollouts = run / "rollouts"
    index = index_step(rollouts, 2, tools=(), success_threshold=0.5)
    lines = (step_folder(rollouts, 2) / ROLLOUTS_FILE).read_bytes().splitlines()
    entries = index.groups[0].entries
    assert sorted(entry.place.line for entry in entries) == [1, 2, 3, 4, 5, 6]
    for entry in entries:
        assert read_place(rollouts, 2, entry.place).strip() == lines[entry.place.line - 1]


def test_a_line_too_long_is_passed_over_and_those_behind_it_keep_their_places(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollouts = run / "rollouts"
    file = step_folder(rollouts, 2) / ROLLOUTS_FILE
    file.write_bytes(b"x" * 20_000 + b"\n" + file.read_bytes())
    monkeypatch.setattr(_step_index, "MAX_LINE_BYTES", 8_000)
    index = index_step(rollouts, 2, tools=(), success_threshold=0.5)
    assert index.problems == ("step 2, line 1: expected at most 8000 bytes; got 20001",)
    assert [entry.place.line for entry in index.groups[0].rollouts] == [2, 3, 4, 5]
    first = index.groups[0].rollouts[0].place
    assert read_place(rollouts, 2, first).startswith(b'{"version":2')


def test_a_file_is_read_again_only_when_it_has_changed(shelved: Run, group: Group, indexed: Counted) -> None:
    library = Library()
    first = library.step(shelved, 2)
    read = len(indexed)
    assert library.step(shelved, 2) is first
    assert len(indexed) == read
    write_rollouts(shelved.rollouts, 2, [group.with_branches(())], limit=0)
    assert len(library.step(shelved, 2).groups[0].entries) == 4


def test_only_the_steps_that_are_shown_are_read(shelved: Run, group: Group, indexed: Counted) -> None:
    for step in range(3, 10):
        write_rollouts(shelved.rollouts, step, [group], limit=0)
    library = Library()
    assert library.saved(shelved) == tuple(range(2, 10))
    library.step(shelved, 9)
    # The first one tells which tools there are.
    assert set(indexed) == {2, 9}


def test_a_search_looks_at_one_step_at_least_and_at_none_twice(shelved: Run, group: Group) -> None:
    for step in (3, 4):
        write_rollouts(shelved.rollouts, step, [group], limit=0)
    library, looked = Library(), []
    before: int | None = None
    while True:
        found = library.find(shelved, ["recovered"], before=before, look_s=0.0)
        looked += found.looked
        before = found.before
        if before is None:
            break
    assert looked == [4, 3, 2]


def test_a_run_without_rollouts_is_empty(run: Path, finished_run: Callable[..., Path]) -> None:
    library = Library()
    shelved = Shelf([run]).runs()["run"]
    assert library.find(shelved, [], before=2).looked == ()
