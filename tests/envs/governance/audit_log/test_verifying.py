"""Whatever is done to a log is found, and placed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axpo_envs.governance import (
    Anchor,
    AuditLog,
    AuditLogError,
    LogSettings,
    Problem,
    ReadCalls,
    Verification,
    read_calls,
    verify_log,
)
from axpo_envs.governance.audit_log._chain import HEAD, Head, files_of, read_line, written

FILES = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a log of some records in three files, by name."""
    folder = tmp_path_factory.mktemp("log")
    log = AuditLog(folder, LogSettings(rotate_bytes=1450))
    for call in range(9):
        log.append({"kind": "decision", "tool": "pay", "call": call, "outcome": "executed", "text": "ü\n"})
    log.close()
    assert len(files_of(folder)) == FILES
    return {path.name: path.read_bytes() for path in (*files_of(folder), folder / HEAD)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


def checked(folder: Path, files: dict[str, bytes], anchor: Anchor | None = None) -> Verification:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return verify_log(folder, anchor=anchor)


def lines_of(files: dict[str, bytes]) -> list[tuple[str, int]]:
    """Name of the file and index of every line."""
    return [(name, at) for name, data in files.items() if name != HEAD for at in range(data.count(b"\n"))]


def changed(files: dict[str, bytes], name: str, lines: list[bytes]) -> dict[str, bytes]:
    return {**files, name: b"".join(lines)}


hasty = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_a_log_as_it_was_written_has_no_problems(whole: dict[str, bytes], folder: Path) -> None:
    found = checked(folder, whole)
    assert (found.problems, found.files, found.records) == ((), FILES, len(lines_of(whole)))
    assert verify_log(folder, anchor=found.last).problems == ()


@hasty
@given(data=st.data())
def test_any_changed_byte_is_found_in_its_line(whole: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(whole)))
    at = data.draw(st.integers(0, len(whole[name]) - 1))
    byte = data.draw(st.integers(1, 255))
    altered = bytearray(whole[name])
    altered[at] ^= byte
    found = checked(folder, {**whole, name: bytes(altered)})
    assert found.problems
    if name != HEAD:
        line = whole[name][:at].count(b"\n") + 1
        # A line feed more or less makes two lines of one, or one of two.
        assert any(problem.file == name and problem.line in (line, line + 1) for problem in found.problems)


@hasty
@given(data=st.data())
def test_any_removed_records_are_found_and_numbered(whole: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    name, at = data.draw(st.sampled_from(lines_of(whole)))
    lines = whole[name].splitlines(keepends=True)
    many = data.draw(st.integers(1, len(lines) - at))
    first = read_line(lines[at][:-1]).number
    found = checked(folder, changed(whole, name, lines[:at] + lines[at + many :]))
    assert any(problem.n == first and "missing" in problem.what for problem in found.problems), found.problems


@hasty
@given(data=st.data())
def test_any_two_swapped_records_are_found(whole: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.sampled_from(lines_of(whole)), min_size=2, max_size=2, unique=True))
    (name, at), (other, to) = sorted(places)
    lines = {file: bytes_.splitlines(keepends=True) for file, bytes_ in whole.items() if file != HEAD}
    lines[name][at], lines[other][to] = lines[other][to], lines[name][at]
    early = read_line(lines[other][to][:-1]).number
    swapped = {**whole, **{file: b"".join(each) for file, each in lines.items()}}
    found = checked(folder, swapped)
    assert any(problem.n == early and "was moved" in problem.what for problem in found.problems), found.problems


@hasty
@given(data=st.data())
def test_any_repeated_record_is_found(whole: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    name, at = data.draw(st.sampled_from(lines_of(whole)))
    lines = whole[name].splitlines(keepends=True)
    to = data.draw(st.integers(0, len(lines)))
    found = checked(folder, changed(whole, name, [*lines[:to], lines[at], *lines[to:]]))
    assert any("was put in" in problem.what or "was moved" in problem.what for problem in found.problems)


@hasty
@given(data=st.data())
def test_any_cut_end_is_found(whole: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    name = max(file for file in whole if file != HEAD)
    kept = data.draw(st.integers(0, len(whole[name]) - 1))
    found = checked(folder, {**whole, name: whole[name][:kept]})
    assert any("at the end" in problem.what for problem in found.problems)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_any_removed_file_is_found(whole: dict[str, bytes], folder: Path, number: int) -> None:
    gone = f"calls-00000{number}.jsonl"
    found = checked(folder, {name: data for name, data in whole.items() if name != gone})
    assert any("missing" in problem.what for problem in found.problems)


def test_a_record_that_was_put_in_with_a_hash_of_its_own_is_found(whole: dict[str, bytes], folder: Path) -> None:
    name = "calls-000001.jsonl"
    lines = whole[name].splitlines(keepends=True)
    link = read_line(lines[1][:-1])
    forged, _ = written({**{k: v for k, v in link.record.items() if k != "prev"}, "tool": "other"}, link.prev)
    found = checked(folder, changed(whole, name, [lines[0], forged, *lines[2:]]))
    assert [str(problem) for problem in found.problems] == [
        "calls-000001.jsonl, line 3: record 3 does not follow the one before it: one of them was written anew"
    ]


def test_without_a_head_a_cut_end_goes_unnoticed_but_not_the_missing_head(
    whole: dict[str, bytes], folder: Path
) -> None:
    last = "calls-000003.jsonl"
    cut = {name: data for name, data in whole.items() if name != HEAD}
    cut[last] = b"".join(cut[last].splitlines(keepends=True)[:-1])
    found = checked(folder, cut)
    assert [problem.file for problem in found.problems] == [HEAD]


def test_a_head_that_was_changed_to_suit_is_found_by_an_anchor(whole: dict[str, bytes], folder: Path) -> None:
    anchor = checked(folder, whole).last
    last = "calls-000003.jsonl"
    lines = whole[last].splitlines(keepends=True)[:-1]
    link, head = read_line(lines[-1][:-1]), Head.from_bytes(whole[HEAD])
    forged = Head(file=last, size=len(b"".join(lines)), n=link.number, hash=link.hash, log=head.log)
    files = {**changed(whole, last, lines), HEAD: forged.to_bytes()}
    assert checked(folder, files).problems == ()
    (problem,) = checked(folder, files, anchor).problems
    assert problem.what == f"record {anchor.n}, which was expected, is not there"
    (problem,) = checked(folder, whole, Anchor(n=anchor.n, hash="0" * 64)).problems
    assert problem == Problem(
        file=last, line=0, n=anchor.n, what=f"record {anchor.n} is not the one that was expected: {'0' * 64}"
    )


@pytest.mark.parametrize("text", ["", "3", "3:abc", f"x:{'a' * 64}", f"3:{'A' * 64}"])
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(AuditLogError, match="expected NUMBER:HASH"):
        Anchor.read(text)


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditLogError, match="holds none"):
        verify_log(tmp_path)
    with pytest.raises(AuditLogError, match="cannot be read"):
        verify_log(tmp_path / "nothing")


@pytest.mark.parametrize(
    "change",
    [lambda head: b"[" * 100_000, lambda head: head.replace(b'"n":', b'"n":"').replace(b',"size"', b'","size"')],
)
def test_a_head_of_another_shape_is_found_and_mended(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    AuditLog(tmp_path).append({"kind": "decision"})
    head = change((tmp_path / "head.json").read_bytes())
    (tmp_path / "head.json").write_bytes(head if len(head) > 384 else head[:383].ljust(383) + b"\n")
    assert [problem.file for problem in verify_log(tmp_path).problems] == ["head.json"]
    AuditLog(tmp_path).append({"kind": "decision"})
    assert verify_log(tmp_path).problems == ()


def test_forged_records_that_no_call_is_are_counted_as_damaged(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for record in ({"kind": "decision"}, {"kind": "result", "call": [1]}, {"kind": "decision", "tool": 5}):
        log.append(record)
    assert read_calls(tmp_path) == ReadCalls(calls=(), damaged=3)


def test_an_anchor_of_too_many_digits_is_none() -> None:
    with pytest.raises(AuditLogError, match="expected NUMBER:HASH"):
        Anchor.read("9" * 5000 + ":" + "a" * 64)
