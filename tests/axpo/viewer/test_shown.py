from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import axpo.viewer._library as library_module
from axpo.algorithm.types import Group
from axpo.records._rollout_log import ROLLOUTS_FILE, step_folder, write_rollouts
from axpo.viewer._library import Library
from axpo.viewer._looking_ahead import LookingAhead
from axpo.viewer._runs import Run, Shelf
from axpo.viewer._shown import FILE, Shown, ShownIndex
from axpo.viewer._step_index import index_step

SHOWN = Shown(made_of="then", flags=frozenset((frozenset(("mention", "premature")), frozenset())))


@pytest.fixture
def shelf(run: Path, group: Group) -> Shelf:
    """A run with the steps 2 to 5 saved, each with one group that recovered."""
    for step in (3, 4, 5):
        write_rollouts(run / "rollouts", step, [group], limit=0)
    return Shelf([run])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps whose files were read."""
    steps: list[int] = []

    def counting(rollouts: Path, step: int, *, tools: frozenset[str], success_threshold: float) -> object:
        steps.append(step)
        return index_step(rollouts, step, tools=tools, success_threshold=success_threshold)

    monkeypatch.setattr(library_module, "index_step", counting)
    return steps


def looked_through(shelf: Shelf, library: Library) -> int:
    with ThreadPoolExecutor(1) as executor:
        return LookingAhead(shelf, library, executor).look()


def run_of(shelf: Shelf) -> Run:
    return shelf.runs()["run"]


def test_a_step_has_what_one_group_shows_alone() -> None:
    assert SHOWN.has(())
    assert SHOWN.has(("mention",))
    assert SHOWN.has(("mention", "premature"))
    assert not SHOWN.has(("mention", "recovered"))
    assert not Shown(made_of="then", flags=frozenset()).has(())


def test_what_was_kept_is_known_again_run_by_run(tmp_path: Path) -> None:
    ShownIndex(tmp_path).keep(tmp_path / "one", {7: SHOWN})
    ShownIndex(tmp_path).keep(tmp_path / "other", {8: SHOWN})
    assert ShownIndex(tmp_path).of(tmp_path / "one") == {7: SHOWN}
    later = Shown(made_of="now", flags=frozenset())
    ShownIndex(tmp_path).keep(tmp_path / "one", {7: later})
    assert ShownIndex(tmp_path).of(tmp_path / "one") == {7: later}


def test_a_file_that_is_no_index_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"x" * 5000)
    index = ShownIndex(tmp_path)
    assert index.of(tmp_path) == {}
    index.keep(tmp_path, {1: SHOWN})
    assert ShownIndex(tmp_path).of(tmp_path) == {1: SHOWN}


def test_a_folder_that_cannot_be_written_is_done_without_and_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    index = ShownIndex(tmp_path / "file" / "folder")
    index.keep(tmp_path, {1: SHOWN})
    assert index.of(tmp_path) == {}
    assert capsys.readouterr().err.count("searches are not remembered") == 1


def test_steps_that_do_not_show_what_is_wanted_are_not_read_again(
    shelf: Shelf, read: list[int], tmp_path: Path
) -> None:
    Library(kept=ShownIndex(tmp_path)).find(run_of(shelf), ["cut_off"])
    assert set(read) == {2, 3, 4, 5}
    read.clear()
    library = Library(kept=ShownIndex(tmp_path))
    found = library.find(run_of(shelf), ["cut_off"])
    assert found.looked == (5, 4, 3, 2)
    assert found.before is None
    # The first step tells which tools there are.
    assert set(read) <= {2}


@pytest.mark.parametrize("wanted", [(), ("recovered",), ("cut_off",), ("recovered", "mention")])
def test_a_search_finds_the_same_with_and_without_what_is_known(shelf: Shelf, wanted: tuple[str, ...]) -> None:
    library = Library()
    assert looked_through(shelf, library) == 4
    assert library.find(run_of(shelf), wanted) == Library().find(run_of(shelf), wanted)


def test_a_step_that_has_changed_is_read_again(shelf: Shelf, group: Group, tmp_path: Path) -> None:
    run = run_of(shelf)
    assert looked_through(shelf, Library(kept=ShownIndex(tmp_path))) == 4
    write_rollouts(run.rollouts, 4, [group.with_branches(())], limit=0)
    library = Library(kept=ShownIndex(tmp_path))
    assert [unseen.step for unseen in library.unseen(run)] == [4]
    assert [step for step, _ in library.find(run, ["recovered"]).groups] == [5, 3, 2]


def test_other_tools_make_other_flags(shelf: Shelf, tmp_path: Path) -> None:
    looked_through(shelf, Library(kept=ShownIndex(tmp_path)))
    other = Library(["abacus"], kept=ShownIndex(tmp_path))
    assert [unseen.step for unseen in other.unseen(run_of(shelf))] == [5, 4, 3, 2]


def test_a_step_that_cannot_be_read_is_told_of_at_every_search_and_tried_again_when_something_is_saved(
    shelf: Shelf, group: Group
) -> None:
    run = run_of(shelf)
    with (step_folder(run.rollouts, 4) / ROLLOUTS_FILE).open("ab") as file:
        file.write(b"{torn")
    library = Library()
    with ThreadPoolExecutor(1) as executor:
        ahead = LookingAhead(shelf, library, executor)
        assert ahead.look() == 4
        assert ahead.look() == 0
        assert [len(library.find(run, ["cut_off"]).problems) for _ in range(2)] == [1, 1]
        write_rollouts(run.rollouts, 6, [group], limit=0)
        assert ahead.look() == 2


def test_a_process_of_its_own_finds_the_same(shelf: Shelf) -> None:
    library, own, run = Library(), Library(), run_of(shelf)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert LookingAhead(shelf, library, executor).look() == 4
    assert not list(library.unseen(run))
    looked_through(shelf, own)
    assert library.find(run, ["recovered"]) == own.find(run, ["recovered"])
