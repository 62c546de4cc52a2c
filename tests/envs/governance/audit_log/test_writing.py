"""Logs survive what befalls their writers: kills, full disks, other processes, removed files."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import AuditLog, AuditLogError, LogSettings, read_calls, verify_log
from axpo_envs.governance.audit_log._chain import HEAD, Head, files_of, read_line


def entry(call: int, text: str = "") -> dict[str, object]:
    return {"kind": "decision", "outcome": "executed", "tool": "pay", "status": "ok", "call": call, "text": text}


def kinds(folder: Path) -> list[str]:
    lines = [line for path in files_of(folder) for line in path.read_bytes().splitlines()]
    return [str(read_line(line).record["kind"]) for line in lines]


@contextmanager
def small_disk(bytes_left: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def in_child(work: Callable[[], None]) -> int:
    """What a forked process exits with."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def test_a_log_is_gone_on_with_where_it_ended(tmp_path: Path) -> None:
    for call in range(3):
        log = AuditLog(tmp_path / "log")
        assert log.append(entry(call)) == call + 2
        log.close()
    found = verify_log(tmp_path / "log")
    assert (found.records, found.files, found.problems, found.notes) == (4, 1, (), ())
    assert [call["call"] for call in read_calls(tmp_path / "log").calls] == [0, 1, 2]


def test_nothing_that_was_appended_is_lost_to_a_kill(tmp_path: Path) -> None:
    def work() -> None:
        log = AuditLog(tmp_path)
        for call in range(5):
            log.append(entry(call))
        os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(in_child(work)) == signal.SIGKILL
    assert verify_log(tmp_path).problems == ()
    assert len(read_calls(tmp_path).calls) == 5


@pytest.mark.parametrize("left", [1, 60])
def test_a_torn_line_is_told_of_and_cut_off_by_the_next_writer(tmp_path: Path, left: int) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    log.append(entry(1))
    log.close()
    (file,) = files_of(tmp_path)
    data = file.read_bytes()
    first, second, third = data.splitlines(keepends=True)
    # As a writer leaves it that is killed within its third line: the head knows of two.
    file.write_bytes(first + second + third[:left])
    head = Head.from_bytes((tmp_path / HEAD).read_bytes())
    before = Head(file=head.file, size=len(first + second), n=2, hash=read_line(second[:-1]).hash, log=head.log)
    (tmp_path / HEAD).write_bytes(before.to_bytes())
    (problem,) = verify_log(tmp_path).problems
    assert (problem.line, problem.n) == (3, 3)
    assert "ends within a record" in problem.what
    assert AuditLog(tmp_path).append(entry(2)) == 4
    found = verify_log(tmp_path)
    assert found.problems == ()
    assert [str(note) for note in found.notes] == [
        "calls-000001.jsonl, line 3: a writer found that calls-000001.jsonl ended within a record"
    ]
    assert kinds(tmp_path) == ["file", "decision", "repair", "decision"]


def test_a_record_that_only_lacks_its_line_feed_stays(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    log.close()
    (file,) = files_of(tmp_path)
    head = Head.from_bytes((tmp_path / HEAD).read_bytes())
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:-1])
    before = Head(file=head.file, size=len(first), n=1, hash=read_line(first[:-1]).hash, log=head.log)
    (tmp_path / HEAD).write_bytes(before.to_bytes())
    assert AuditLog(tmp_path).append(entry(1)) == 3
    assert verify_log(tmp_path).problems == ()
    assert [call["call"] for call in read_calls(tmp_path).calls] == [0, 1]


def test_a_record_that_was_cut_off_stays_missing_when_the_log_is_gone_on_with(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for call in range(3):
        log.append(entry(call))
    log.close()
    (file,) = files_of(tmp_path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    AuditLog(tmp_path).append(entry(3))
    found = verify_log(tmp_path)
    assert [problem.what for problem in found.problems] == ["record 4 is missing before this line"]
    assert "was cut short" in found.notes[0].what


@pytest.mark.parametrize("gone", ["head", "file", "both"])
def test_removed_files_are_told_of_and_keep_no_writer_from_writing(tmp_path: Path, gone: str) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    for path in (*((tmp_path / HEAD,) if gone != "file" else ()), *(files_of(tmp_path) if gone != "head" else ())):
        path.unlink()
    log.append(entry(1))
    assert [call["call"] for call in read_calls(tmp_path).calls] == ([0, 1] if gone == "head" else [1])
    notes = [note.what for note in verify_log(tmp_path).notes]
    expected = {"head": ["the head was missing or damaged"], "file": ["calls-000001.jsonl was missing"], "both": []}
    assert [note.removeprefix("a writer found that ") for note in notes] == expected[gone]


def test_on_a_full_disk_a_record_is_not_written_at_all(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    (file,) = files_of(tmp_path)
    before = file.read_bytes()
    with small_disk(len(before) + 40), pytest.raises(OSError, match="File too large"):
        log.append(entry(1))
    assert file.read_bytes() == before
    assert log.append(entry(2)) == 3
    assert verify_log(tmp_path).problems == ()


def test_an_end_that_cannot_be_written_is_written_before_what_can(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    number = log.append({"kind": "decision", "tool": "pay", "outcome": "executed"})
    (file,) = files_of(tmp_path)
    with small_disk(file.stat().st_size):
        log.append_later({"kind": "result", "call": number, "status": "ok"})
    assert [call["status"] for call in read_calls(tmp_path).calls] == ["unknown"]
    log.tell_lost()
    log.append(entry(1))
    assert kinds(tmp_path) == ["file", "decision", "lost", "result", "decision"]
    assert [call["status"] for call in read_calls(tmp_path).calls] == ["ok", "ok"]
    assert verify_log(tmp_path).notes[0].what == "1 calls were made before this that could not be recorded"


def test_the_chain_goes_on_across_files(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, LogSettings(rotate_bytes=1000))
    for call in range(10):
        log.append(entry(call))
    log.close()
    found = verify_log(tmp_path)
    assert found.files > 2
    assert found.problems == ()
    assert all(path.stat().st_size <= 1000 for path in files_of(tmp_path))
    assert len(read_calls(tmp_path).calls) == 10


def test_threads_and_processes_write_one_chain(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, LogSettings(rotate_bytes=4000))
    log.append(entry(0))
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_write_many, args=(log,)) for _ in range(3)]
    threads = [threading.Thread(target=_write_many, args=(log,)) for _ in range(3)]
    for each in (*children, *threads):
        each.start()
    for each in (*children, *threads):
        each.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    found = verify_log(tmp_path)
    assert found.problems == ()
    assert len(read_calls(tmp_path).calls) == 61


def _write_many(log: AuditLog) -> None:
    for call in range(10):
        log.append(entry(call))


def watch_syncs(folder: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[], None]) -> None:
    """Has something told whenever a file of the folder, or the folder, is put on the disk; logs of others are not."""

    def sync(file: int) -> None:
        node = os.fstat(file).st_ino
        if node in {path.stat().st_ino for path in (folder, *folder.iterdir())}:
            told()

    monkeypatch.setattr(os, "fsync", sync)


def test_what_was_written_is_put_on_the_disk_after_so_many_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    log = AuditLog(tmp_path, LogSettings(sync_records=4, sync_seconds=1e6))
    watch_syncs(tmp_path, monkeypatch, lambda: synced.append(1))
    for call in range(7):
        log.append(entry(call))
    # The first record of a file, which says what writes it, counts; the head is put there, and the new file's name.
    assert len(synced) == 5
    log.append(entry(7), urgent=True)
    assert len(synced) == 7
    log.close()
    assert len(synced) == 7


def test_what_was_written_is_put_on_the_disk_after_so_many_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    log = AuditLog(tmp_path, LogSettings(sync_seconds=0.0))
    watch_syncs(tmp_path, monkeypatch, done.set)
    log.append(entry(0))
    assert done.wait(60)


def test_a_disk_that_fails_when_it_is_synced_is_told_by_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path, LogSettings(sync_seconds=1e6))
    log.append(entry(0))

    def fail(file: int) -> None:
        raise OSError(5, "the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        log._sync_in_time()
    with pytest.raises(OSError, match="the disk is broken"):
        log.append(entry(1))


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EnvConfigError, match=r"expected an empty folder, or a log; .* holds notes\.txt"):
        AuditLog(tmp_path)
    with pytest.raises(EnvConfigError, match="cannot write"):
        AuditLog(tmp_path / "notes.txt" / "log")


def test_a_file_that_was_renamed_takes_no_further_records(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append({"kind": "decision"})
    renamed = (tmp_path / "calls-000001.jsonl").rename(tmp_path / "calls-000001.jsonl.1")
    before = renamed.read_bytes()
    log.append({"kind": "decision"})
    assert renamed.read_bytes() == before
    assert (tmp_path / "calls-000001.jsonl").stat().st_size > 0


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300, -1.0])
def test_seconds_that_no_clock_waits_are_refused(seconds: float) -> None:
    with pytest.raises(AuditLogError, match="expected records >= 1, seconds from 0"):
        LogSettings(sync_seconds=seconds)
