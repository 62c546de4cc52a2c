"""Documents are read from rows and written back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EnvConfigError
from axpo_envs.backends.search import Document, Hit, Recorder, SearchServer
from axpo_envs.backends.search._types import check_backend, finite_score
from axpo_envs.tools import Effects
from axpo_envs.tools.search import Search


@pytest.mark.parametrize(
    ("row", "document"),
    [
        ({"id": "a", "contents": "Peru\nA country.\nBig."}, Document(id="a", title="Peru", text="A country.\nBig.")),
        ({"id": "a", "contents": "one line"}, Document(id="a", text="one line")),
        ({"id": "a", "contents": "\nbody"}, Document(id="a", text="\nbody")),
        ({"id": "a", "contents": "First\nsecond", "title": ""}, Document(id="a", text="First\nsecond")),
        ({"id": 7, "text": "body", "url": "ignored"}, Document(id="7", text="body")),
        ({"id": "a", "title": "Two\nlines ", "text": "body"}, Document(id="a", title="Two lines", text="body")),
        ({"id": "a", "title": None, "text": ""}, Document(id="a", text="")),
        ({"id": "\ud800", "text": "\udfff"}, Document(id="\ufffd", text="\ufffd")),
    ],
)
def test_both_layouts_are_read(row: dict[str, Any], document: Document) -> None:
    assert Document.from_row(row) == document


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "expected an object; got \\[\\]"),
        ({"text": "x"}, 'expected "id": one line of text.* got None'),
        ({"id": True, "text": "x"}, "got True"),
        ({"id": " a", "text": "x"}, "got ' a'"),
        ({"id": "a\nb", "text": "x"}, "one line"),
        ({"id": "", "text": "x"}, "got ''"),
        ({"id": "a", "title": "x"}, "expected \"contents\" or \"text\"; got only 'id', 'title'"),
        ({"id": "a", "text": None}, 'expected "text": text; got None'),
        ({"id": "a", "contents": 3}, 'expected "contents": text; got 3'),
        ({"id": "a", "title": [], "text": "x"}, 'expected "title": text'),
    ],
)
def test_other_rows_are_refused(row: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Document.from_row(row)


@given(st.text(), st.text())
def test_a_row_is_read_back_unchanged(title: str, text: str) -> None:
    document = Document.from_row({"id": "a", "title": title, "text": text})
    assert Document.from_row(document.to_row()) == document


@given(st.text())
def test_contents_keep_every_character(contents: str) -> None:
    assert Document.from_row({"id": "a", "contents": contents}).contents == contents


@pytest.mark.parametrize(
    ("score", "expected"), [(1, 1.0), (0.5, 0.5), (float("nan"), None), (True, None), ("1", None), (None, None)]
)
def test_a_score_is_a_finite_number_or_none(score: Any, expected: float | None) -> None:
    assert finite_score(score) == expected


class Whole:
    """A backend with everything."""

    fingerprint = "whole"
    effects = Effects.PURE
    opens = True

    def check(self) -> None:
        """Nothing to check."""

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        return ()

    def open(self, id: str) -> Document | None:
        return None


@pytest.mark.parametrize("use", [Search, lambda backend: Recorder(backend, "/nowhere"), SearchServer])
@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"search": None}, r"method search\(query: str, top_k: int\) -> tuple\[Hit, ...\]"),
        ({"open": None, "opens": None}, r"property opens -> bool; a method open\(id: str\)"),
        ({"search": lambda self, query: ()}, r"method search\(query: str, top_k: int\)"),
        ({"fingerprint": lambda self: "called"}, "property fingerprint -> str"),
        ({"effects": "harmless"}, "effects: expected an Effects; got 'harmless'"),
    ],
)
def test_what_a_backend_lacks_is_told_when_it_is_used(use: Any, members: dict[str, Any], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        use(type("Half", (Whole,), members)())


def test_a_class_is_no_backend_and_a_whole_one_is() -> None:
    check_backend(Whole())
    with pytest.raises(EnvConfigError, match="got the class Whole: give an object of it"):
        check_backend(Whole)
