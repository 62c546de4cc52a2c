"""A local corpus is indexed once, whoever asks, and searched deterministically."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, InfrastructureFault
from axpo_envs.backends.search import LocalIndex
from axpo_envs.backends.search import _index_file as index_file
from axpo_envs.tools import ToolError

ROWS = [
    {"id": "lima", "contents": "Lima\nLima is the capital of Peru. It lies at the sea."},
    {"id": "cusco", "title": "Cusco", "text": "Cusco is a city of Peru, high in the Andes."},
    {"id": "zurich", "title": "Zürich", "text": "Zürich lies at a lake. Running water everywhere."},
    {"id": "twin-b", "title": "Twin", "text": "identical words"},
    {"id": "twin-a", "title": "Twin", "text": "identical words"},
    {"id": 5, "text": "boron"},
]


def write_corpus(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    folder = tmp_path_factory.mktemp("local")
    return LocalIndex(write_corpus(folder / "corpus.jsonl", ROWS), cache=folder / "cache")


def ids(index: LocalIndex, query: str, top_k: int = 10) -> list[str]:
    return [hit.document.id for hit in index.search(query, top_k)]


def test_the_rarer_term_counts_more(index: LocalIndex) -> None:
    assert ids(index, "capital of Peru") == ["lima", "cusco"]
    assert ids(index, "Andes Peru") == ["cusco", "lima"]


def test_hits_hold_document_and_falling_scores(index: LocalIndex) -> None:
    first, second = index.search("capital of Peru", 2)
    assert first.document.title == "Lima"
    assert first.document.text == "Lima is the capital of Peru. It lies at the sea."
    assert first.score is not None
    assert second.score is not None
    assert first.score > second.score > 0


def test_equal_scores_are_ordered_by_id(index: LocalIndex) -> None:
    assert ids(index, "identical") == ["twin-a", "twin-b"]
    assert ids(index, "identical", top_k=1) == ["twin-a"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [("ZURICH", "zurich"), ("zu\u0308rich", "zurich"), ("runs", "zurich"), ("5", None), ("twin-a", "twin-a")],
)
def test_case_accents_and_endings_do_not_matter(index: LocalIndex, query: str, expected: str | None) -> None:
    assert ids(index, query)[:1] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    "query",
    ['"', 'peru"', "peru AND zebra", "NEAR(peru lima)", "title:peru", "peru*", "^peru", "peru NOT peru", "{peru}"],
)
def test_query_operators_are_mere_text(index: LocalIndex, query: str) -> None:
    if "peru" in query:
        assert set(ids(index, query)) >= {"lima", "cusco"}
    else:
        with pytest.raises(ToolError, match="no word or number"):
            index.search(query, 3)


@given(query=st.text(alphabet=st.characters(), max_size=60), top_k=st.integers(1, 8))
def test_no_query_is_a_syntax_error(index: LocalIndex, query: str, top_k: int) -> None:
    try:
        found = ids(index, query, top_k)
    except ToolError:
        assert not any(character.isalnum() for character in query)
    else:
        assert found == ids(index, query, 8)[:top_k]


def test_a_very_long_query_is_answered(index: LocalIndex) -> None:
    assert ids(index, "peru " + " ".join(f"w{number}" for number in range(5000))) == ["cusco", "lima"]


def test_documents_are_opened_by_id(index: LocalIndex) -> None:
    document = index.open("5")
    assert document is not None
    assert document.text == "boron"
    assert index.open("nowhere") is None
    assert index.open("\ud800\x00") is None
    assert len(index) == 6


def test_a_pickled_index_opens_the_same_corpus(index: LocalIndex) -> None:
    copy = pickle.loads(pickle.dumps(index))
    assert copy.fingerprint == index.fingerprint
    assert copy.search("peru", 3) == index.search("peru", 3)


def test_threads_may_search_at_once(index: LocalIndex) -> None:
    queries = ["capital of Peru", "identical", "lake", "Andes Peru"] * 25
    alone = [index.search(query, 3) for query in queries]
    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(lambda query: index.search(query, 3), queries)) == alone


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b'{"id": "a", "text": "x"}\n\nno json\n', ":3: expected a JSON object; the line is not valid JSON"),
        (b'{"id": "a", "text": "x"}\n[1]\n', ":2: expected an object; got \\[1\\]"),
        (b'{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n', ":2: the id 'a' stands on line 1, too"),
        (b'{"id": 1, "text": "x"}\n{"id": "1", "text": "y"}\n', ":2: the id '1' stands on line 1, too"),
        (b'{"id": "a", "text": "\xff"}\n', ":1: expected UTF-8 text; byte 21"),
        (b'{"id": "a"}\n', ':1: expected "contents" or "text"'),
        (b"\n \n", "holds no document"),
    ],
)
def test_a_bad_row_is_named_and_leaves_no_index(tmp_path: Path, lines: bytes, message: str) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(lines)
    with pytest.raises(EnvConfigError, match=message):
        LocalIndex(corpus, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_half_a_surrogate_pair_in_a_document_is_repaired(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(b'{"id": "a\\ud800", "title": "cut \\ud83d", "text": "price \\ud83d"}\n')
    (found,) = LocalIndex(corpus, cache=tmp_path / "cache").search("price", 1)
    assert (found.document.id, found.document.title, found.document.text) == ("a\ufffd", "cut \ufffd", "price \ufffd")


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvConfigError, match=r"cannot read the corpus .*nowhere.jsonl: No such file"):
        LocalIndex(tmp_path / "nowhere.jsonl", cache=tmp_path)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(b'\xef\xbb\xbf{"id": "a", "text": "x"}')
    assert len(LocalIndex(corpus, cache=tmp_path)) == 1


def test_the_index_belongs_to_the_bytes_of_the_corpus(tmp_path: Path) -> None:
    first = LocalIndex(write_corpus(tmp_path / "a.jsonl", ROWS), cache=tmp_path / "cache")
    same = LocalIndex(write_corpus(tmp_path / "b.jsonl", ROWS), cache=tmp_path / "cache")
    other = LocalIndex(write_corpus(tmp_path / "b.jsonl", ROWS[:2]), cache=tmp_path / "cache")
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 2
    assert ids(same, "boron") == ["5"]
    assert ids(other, "boron") == []


def test_a_corpus_changed_while_it_is_indexed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(("a" * 32, "b" * 32))
    monkeypatch.setattr(index_file, "corpus_digest", lambda path: next(digests))
    with pytest.raises(EnvConfigError, match="was changed while its index was built"):
        LocalIndex(write_corpus(tmp_path / "corpus.jsonl", ROWS), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.sqlite"))


def test_the_default_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    LocalIndex(write_corpus(tmp_path / "corpus.jsonl", ROWS))
    assert len(list((tmp_path / "axpo" / "search").glob("*.sqlite"))) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert index_file.default_cache() == Path.home() / ".cache" / "axpo" / "search"


@pytest.mark.parametrize("damage", ["remove", "overwrite"])
def test_a_lost_index_is_a_fault(tmp_path: Path, damage: str) -> None:
    index = LocalIndex(write_corpus(tmp_path / "corpus.jsonl", ROWS), cache=tmp_path)
    (path,) = tmp_path.glob("*.sqlite")
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(b"x" * 4096)
    with pytest.raises(InfrastructureFault, match=r"cannot be read .* delete it"):
        index.search("peru", 3)


def test_an_index_with_a_flipped_bit_is_built_again(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", ROWS)
    LocalIndex(corpus, cache=tmp_path)
    (path,) = tmp_path.glob("*.sqlite")
    whole = path.read_bytes()
    for place in (0, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert ids(LocalIndex(corpus, cache=tmp_path), "boron") == ["5"]
        assert path.read_bytes() == whole
    path.with_suffix(".sha256").unlink()
    assert ids(LocalIndex(corpus, cache=tmp_path), "boron") == ["5"]


def test_a_cache_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureFault, match=r"cannot build the index .*XDG_CACHE_HOME"):
        LocalIndex(write_corpus(tmp_path / "corpus.jsonl", ROWS), cache=tmp_path / "file")


def test_threads_may_need_the_index_at_once(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", [{"id": str(number), "text": "x"} for number in range(2000)])
    together = threading.Barrier(4)

    def build(_: int) -> int:
        together.wait()
        return len(LocalIndex(corpus, cache=tmp_path / "cache"))

    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(build, range(4))) == [2000] * 4


BUILDER = """
import sys, time
from pathlib import Path
from axpo_envs.backends.search import LocalIndex
corpus, cache, gate = map(Path, sys.argv[1:])
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.005)
index = LocalIndex(corpus, cache=cache)
(path,) = cache.glob("*.sqlite")
print(path.stat().st_ino, len(index), [hit.document.id for hit in index.search("w1 w77", 3)])
"""


def start_builder(corpus: Path, cache: Path, gate: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(corpus), str(cache), str(gate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def big_corpus(path: Path) -> Path:
    return write_corpus(
        path, [{"id": f"d{n}", "text": " ".join(f"w{n * k % 997}" for k in range(40))} for n in range(15_000)]
    )


def test_of_several_processes_one_builds_and_all_search(tmp_path: Path) -> None:
    corpus, gate = big_corpus(tmp_path / "corpus.jsonl"), tmp_path / "gate"
    builders = [start_builder(corpus, tmp_path / "cache", gate) for _ in range(3)]
    for builder in builders:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "ready\n"
    gate.touch()
    outputs = {builder.communicate(timeout=120)[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    # A second builder would have put another file in the place of the first one's.
    assert len(outputs) == 1
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".sqlite", ".sha256", ".lock"}


def test_a_killed_builder_leaves_the_work_to_the_next(tmp_path: Path) -> None:
    corpus, cache, gate = big_corpus(tmp_path / "corpus.jsonl"), tmp_path / "cache", tmp_path / "gate"
    gate.touch()
    with start_builder(corpus, cache, gate) as builder:
        while not list(cache.glob("*.partial")):
            assert builder.poll() is None
            time.sleep(0.002)
        os.kill(builder.pid, signal.SIGKILL)
        builder.wait()
    assert not list(cache.glob("*.sqlite"))
    assert list(cache.glob("*.partial"))
    assert len(LocalIndex(corpus, cache=cache)) == 15_000
    assert not list(cache.glob("*.partial"))


def test_an_sqlite_without_full_text_search_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "_SCHEMA", "CREATE VIRTUAL TABLE words USING fts5_is_missing (text)")
    with pytest.raises(EnvConfigError, match="has no full-text search"):
        LocalIndex(write_corpus(tmp_path / "corpus.jsonl", ROWS), cache=tmp_path)
