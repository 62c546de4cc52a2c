"""What a backend answered is recorded, and answered again by whoever asks."""

from __future__ import annotations

import pickle
import random
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from axpo_envs import EnvConfigError, InfrastructureFault
from axpo_envs.backends.search import Document, Hit, Recorder, RecordMode, SearchBackend
from axpo_envs.tools import Effects, ToolError


class Moody:
    """A live service that answers differently every time, and counts how often it is asked."""

    effects = Effects.EXTERNAL
    opens = True

    def __init__(self, name: str = "moody") -> None:
        self.fingerprint = name
        self.asked: list[str] = []
        self.moods = count(1)

    def check(self) -> None:
        if self.fingerprint == "unusable":
            raise EnvConfigError("no key")

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        self.asked.append(query)
        if query == "broken":
            raise InfrastructureFault("the service is down")
        if query == "too long":
            raise ToolError("the query is too long")
        mood = next(self.moods)
        hits = (
            Hit(document=Document(id=f"{query}\u00e9{k}", text=f"mood {mood}\nyes"), score=None) for k in range(top_k)
        )
        return tuple(hits)

    def open(self, id: str) -> Document | None:
        self.asked.append(id)
        return None if id == "nowhere" else Document(id=id, title="T", text=f"mood {next(self.moods)}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "recording.sqlite"


def test_a_recorder_is_a_backend(path: Path) -> None:
    assert isinstance(Recorder(Moody(), path), SearchBackend)


def test_the_first_answer_is_given_again(path: Path) -> None:
    moody = Moody()
    recorder = Recorder(moody, path)
    first = recorder.search("a  b", 2)
    assert first[0] == Hit(document=Document(id="a b\u00e90", text="mood 1\nyes"))
    assert recorder.search(" a b", 2) == first
    assert recorder.search("a b", 1) != first[:1]
    assert recorder.open("d") == recorder.open("d")
    assert recorder.open("nowhere") is recorder.open("nowhere") is None
    assert moody.asked == ["a b", "a b", "d", "nowhere"]


def test_a_replay_never_asks(path: Path) -> None:
    recorder = Recorder(Moody(), path)
    answers = (recorder.search("a", 2), recorder.open("d"), recorder.open("nowhere"))
    moody = Moody()
    replay = Recorder(moody, path, mode="replay")
    assert (replay.search("a", 2), replay.open("d"), replay.open("nowhere")) == answers
    assert moody.asked == []
    assert (recorder.effects, replay.effects) == (Effects.EXTERNAL, Effects.PURE)


def test_what_is_missing_in_a_replay_is_a_fault(path: Path) -> None:
    Recorder(Moody(), path)
    replay = Recorder(Moody(), path, mode="replay")
    with pytest.raises(
        InfrastructureFault, match=r'no answer of moody to \{"search": "x", "top_k": 3\}.*record it in mode'
    ):
        replay.search("x", 3)
    with pytest.raises(InfrastructureFault, match=r'no answer of moody to \{"open": "x"\}'):
        replay.open("x")


def test_what_is_missing_in_a_replay_may_be_nothing(path: Path) -> None:
    Recorder(Moody(), path)
    replay = Recorder(Moody(), path, mode="replay", missing_is_empty=True)
    assert replay.search("x", 3) == ()
    assert replay.open("x") is None


def test_recording_anew_replaces_the_answer(path: Path) -> None:
    moody = Moody()
    old = Recorder(moody, path).search("a", 1)
    new = Recorder(moody, path, mode=RecordMode.RECORD).search("a", 1)
    assert old != new
    assert Recorder(moody, path, mode="replay").search("a", 1) == new
    assert len(moody.asked) == 2


def test_errors_of_the_policy_are_recorded_and_faults_are_not(path: Path) -> None:
    moody = Moody()
    recorder = Recorder(moody, path)
    for _ in range(2):
        with pytest.raises(ToolError, match="the query is too long"):
            recorder.search("too long", 1)
        with pytest.raises(InfrastructureFault, match="the service is down"):
            recorder.search("broken", 1)
    assert moody.asked == ["too long", "broken", "broken"]
    with pytest.raises(ToolError, match="the query is too long"):
        Recorder(moody, path, mode="replay").search("too long", 1)


def test_backends_share_a_file_and_no_answers(path: Path) -> None:
    Recorder(Moody("one"), path).search("a", 1)
    with pytest.raises(InfrastructureFault, match="no answer of two"):
        Recorder(Moody("two"), path, mode="replay").search("a", 1)


def test_a_backend_is_checked_unless_it_will_not_be_asked(path: Path) -> None:
    with pytest.raises(EnvConfigError, match="no key"):
        Recorder(Moody("unusable"), path).check()
    Recorder(Moody("unusable"), path, mode="replay").check()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text", tmp_path / "foreign"
    text.write_text("no database " * 100)
    with sqlite3.connect(foreign) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    for path, mode, message in (
        (text, "replay", "not a database"),
        (text, "record", "not a database"),
        (foreign, "replay-or-record", "expected layout 2, found 9"),
        (tmp_path / "nowhere", "replay", "no such file to replay"),
        (text / "below", "record", "cannot use"),
        (text, "rewind", "expected mode to be one of replay, replay-or-record, record; got 'rewind'"),
    ):
        with pytest.raises(EnvConfigError, match=message):
            Recorder(Moody(), path, mode=mode)
    assert not (tmp_path / "nowhere").exists()


def test_a_lost_recording_is_a_fault(path: Path) -> None:
    recorder = Recorder(Moody(), path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InfrastructureFault, match="cannot be used"):
        recorder.search("a", 1)


def test_a_pickled_recorder_uses_the_same_file(path: Path) -> None:
    recorder = Recorder(Moody(), path)
    answer = recorder.search("a", 1)
    assert pickle.loads(pickle.dumps(recorder)).search("a", 1) == answer


def test_threads_that_record_the_same_request_get_one_answer(path: Path) -> None:
    moody = Moody()
    recorder = Recorder(moody, path)
    together = threading.Barrier(8)

    def ask(_: int) -> list[tuple[Hit, ...]]:
        together.wait()
        return [recorder.search(f"query {number}", 1) for number in range(5)]

    with ThreadPoolExecutor(8) as executor:
        answers = list(executor.map(ask, range(8)))
    assert all(answer == answers[0] for answer in answers)
    replay = Recorder(moody, path, mode="replay")
    assert [replay.search(f"query {number}", 1) for number in range(5)] == answers[0]


ASKER = """
import os, sys, time
from pathlib import Path
from axpo_envs.backends.search import Document, Hit, Recorder
from axpo_envs.tools import Effects

class Mine:
    fingerprint, effects, opens = "shared", Effects.EXTERNAL, False
    def check(self): pass
    def search(self, query, top_k):
        return (Hit(document=Document(id="a", text=str(os.getpid()))),)

path, gate = map(Path, sys.argv[1:])
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.005)
recorder = Recorder(Mine(), path)
print([recorder.search(f"query {number}", 1)[0].document.text for number in range(30)])
"""


def test_processes_that_record_the_same_requests_get_one_answer(path: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = [sys.executable, "-c", ASKER, str(path), str(gate)]
    askers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for asker in askers:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
    gate.touch()
    outputs = {asker.communicate(timeout=120)[0] for asker in askers}
    assert [asker.returncode for asker in askers] == [0, 0, 0]
    assert len(outputs) == 1


def test_no_flipped_bit_of_a_recording_gives_another_answer(path: Path) -> None:
    recorder = Recorder(Moody(), path)
    queries = [f"question {number}" for number in range(6)]
    right = [recorder.search(query, 2) for query in queries]
    whole = path.read_bytes()
    rng = random.Random(0)
    outcomes = Counter[str]()
    for _ in range(250):
        damaged = bytearray(whole)
        bit = rng.randrange(8 * len(damaged))
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            replay = Recorder(Moody(), path, mode=RecordMode.REPLAY, missing_is_empty=True)
            answers = [replay.search(query, 2) for query in queries]
        except (EnvConfigError, InfrastructureFault):
            outcomes["refused"] += 1
        else:
            assert answers == right, bit
            outcomes["harmless"] += 1
    assert min(outcomes["harmless"], outcomes["refused"]) > 0, outcomes


def test_an_answer_that_is_damaged_later_is_a_fault_and_names_the_request(path: Path) -> None:
    recorder = Recorder(Moody(), path)
    recorder.search("a", 1)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE answers SET answer = replace(answer, 'mood 1', 'mood 9')")
    with pytest.raises(InfrastructureFault, match=r"damaged: the answer to .*\"a\".* does not match its checksum"):
        recorder.search("a", 1)
    with pytest.raises(EnvConfigError, match="is damaged"):
        Recorder(Moody(), path)
