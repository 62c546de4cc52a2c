"""Words of scripts without spaces are found, alone and beside others, and the ranking of words stays as it was."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.backends.search import LocalIndex
from axpo_envs.backends.search._query import extract, query_terms
from axpo_envs.backends.search._spaceless import index_terms, is_spaceless, windows, without_runs

DOCUMENTS = {
    "tokyo": ("\u4e1c\u4eac", "\u4e1c\u4eac\u662f\u65e5\u672c\u7684\u9996\u90fd\u3002"),
    "paris": ("Paris", "Paris is the capital of France."),
    "kyoto": ("", "\u4eac\u90fd\u306f\u65e5\u672c\u306e\u53e4\u3044\u90fd\u3067\u3059\u3002\uff76\uff80\uff76\uff85"),
    "bangkok": ("", "\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e\u0e40\u0e1b\u0e47\u0e19\u0e40\u0e21\u0e37\u0e2d\u0e07"),
    "phone": ("", "The new iPhone\u624b\u673a costs 999 yuan, tea\u8336 is free"),
    "burmese": ("", "\u101b\u1014\u103a\u1000\u102f\u1014\u103a\u1019\u103c\u102d\u102f\u1037"),
    "khmer": ("", "\u1797\u17d2\u1793\u17c6\u1796\u17c1\u1789"),
    "seoul": ("", "\uc11c\uc6b8\uc740 \ub300\ud55c\ubbfc\uad6d\uc758 \uc218\ub3c4\uc785\ub2c8\ub2e4"),
    "wide": ("", "\uff26\uff35\uff2c\uff2c width \uff11\uff12\uff13"),
    "lao": ("", "\u0ea7\u0ebd\u0e87\u0e88\u0eb1\u0e99"),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"id": id, "title": title, "text": text} for id, (title, text) in DOCUMENTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return LocalIndex(folder / "corpus.jsonl", cache=folder / "cache")


def found(index: LocalIndex, query: str) -> list[str]:
    return [hit.document.id for hit in index.search(query, 10)]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("\u9996\u90fd", ["tokyo"]),
        ("\u65e5\u672c\u7684\u9996\u90fd", ["tokyo", "kyoto"]),
        ("\u4e1c\u4eac", ["tokyo"]),
        ("\u53e4\u3044\u90fd", ["kyoto"]),
        ("\u30ab\u30bf\u30ab\u30ca", ["kyoto"]),
        ("\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e", ["bangkok"]),
        ("\u0e40\u0e21\u0e37\u0e2d\u0e07", ["bangkok"]),
        ("\u1000\u102f\u1014\u103a", ["burmese"]),
        ("\u1796\u17c1\u1789", ["khmer"]),
        ("\u0e88\u0eb1\u0e99", ["lao"]),
        ("\uc218\ub3c4", ["seoul"]),
        ("\ub300\ud55c\ubbfc\uad6d", ["seoul"]),
        ("full", ["wide"]),
        ("\uff57\uff49\uff44\uff54\uff48", ["wide"]),
        ("123", ["wide"]),
        ("\u8336", ["phone"]),
        ("\u624b", ["phone"]),
        ("iPhone", ["phone"]),
        ("tea", ["phone"]),
        ("iPhone\u624b\u673a", ["phone"]),
        ("capitals", ["paris"]),
        ("\u90fd\u4eac", []),
        ("\u0e01\u0e23\u0e38\u0e01", []),
    ],
)
def test_words_are_found_wherever_they_stand(index: LocalIndex, query: str, ids: list[str]) -> None:
    assert found(index, query) == ids


def test_a_mixed_query_finds_both_and_adds_up_what_matches(index: LocalIndex) -> None:
    assert set(found(index, "capital \u9996\u90fd")) == {"paris", "tokyo"}
    assert found(index, "yuan \u624b\u673a \u9996\u90fd")[0] == "phone"


def test_words_are_ranked_as_by_an_index_of_words_alone(tmp_path: Path) -> None:
    rng = random.Random(0)
    vocabulary = [
        "river",
        "rivers",
        "bridge",
        "Z\u00fcrich",
        "caf\u00e9",
        "running",
        "42",
        "it's",
        "na\u00efve",
        "data",
    ]
    rows = [
        {"id": f"{n:03}", "title": rng.choice(vocabulary), "text": ", ".join(rng.choices(vocabulary, k=n % 17 + 1))}
        for n in range(200)
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    index = LocalIndex(tmp_path / "corpus.jsonl", cache=tmp_path)
    plain = sqlite3.connect(":memory:")
    plain.execute(
        "CREATE VIRTUAL TABLE words USING fts5 (title, text, tokenize='porter unicode61 remove_diacritics 2')"
    )
    plain.executemany("INSERT INTO words VALUES (?, ?)", [(row["title"], row["text"]) for row in rows])
    for query in ("river", "zurich cafes", "run 42 naive", "its data", "bridges over rivers"):
        match = " OR ".join(f'"{term}"' for term in query_terms(query))
        statement = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY 2 DESC, 1 LIMIT 20"
        expected = [(f"{row - 1:03}", score) for row, score in plain.execute(statement, (match,))]
        assert [(hit.document.id, hit.score) for hit in index.search(query, 20)] == expected
    plain.close()


def test_an_extract_shows_where_the_words_stand() -> None:
    text = "\u5929\u6c14\u5f88\u597d\u3002" * 100 + "\u4e1c\u4eac\u662f\u9996\u90fd\u3002" + "\u5929 \u6c14" * 100
    piece = extract(text, "\u9996\u90fd", 40)
    assert piece.startswith("... \u4e1c\u4eac\u662f\u9996\u90fd\u3002")
    assert len(piece) > 40


@given(st.text(alphabet="ab \u9996\u90fd\u4eac\u0e01\u0e23\u0e38\u0e07\u30ab\uff76", max_size=30))
def test_every_text_holds_each_of_its_windows(text: str) -> None:
    assert all(window in text for window in windows(text))
    assert bool(list(windows(text))) == any(map(is_spaceless, text)) == bool(index_terms(text))
    assert not any(map(is_spaceless, without_runs(text)))
