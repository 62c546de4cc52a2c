"""The tools `search` and `open` as policies and environments see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import (
    EnvConfigError,
    ExactMatch,
    InfrastructureFault,
    ListQuestions,
    Question,
    SnapshotError,
    ToolEnv,
    ToolEnvSpec,
    ToolStatus,
)
from axpo_envs.backends.search import Document, Hit, LocalIndex
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tools import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tools.open_document import OpenDocument
from axpo_envs.tools.search import Search

CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)
ROWS = [
    {"id": "lima", "title": "Lima", "text": "Lima is the capital of Peru."},
    {"id": "cusco", "text": "Cusco is a city of Peru. " + "It lies high. " * 20},
    {"id": "empty", "title": "Empty", "text": ""},
]


class Live:
    """A live service that counts its calls and can be down."""

    fingerprint = "live"
    effects = Effects.EXTERNAL
    opens = True

    def __init__(self) -> None:
        self.calls: list[str] = []

    def check(self) -> None:
        """Always usable."""

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        if query == "down":
            raise InfrastructureFault("unreachable")
        self.calls.append(query)
        return (Hit(document=Document(id=f"call-{len(self.calls)}", text="text")),)

    def open(self, id: str) -> Document | None:
        self.calls.append(id)
        return Document(id=id, text=f"call {len(self.calls)}")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    corpus = tmp_path_factory.mktemp("tools") / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return LocalIndex(corpus, cache=corpus.parent)


def run(tool: Search | OpenDocument, arguments: dict[str, Any]) -> str:
    result, state = tool.step(tool.validate(arguments), None, CONTEXT)
    assert state is None
    (text,) = result.content
    assert isinstance(text, str)
    return text


def test_both_tools_conform(index: LocalIndex) -> None:
    check_tool(Search(index), arguments={"query": "Peru", "top_k": 2})
    check_tool(OpenDocument(index), arguments={"id": "lima"})
    check_tool(OpenDocument(index), arguments={"id": "nowhere"})


def test_hits_are_numbered_with_title_id_and_extract(index: LocalIndex) -> None:
    assert run(Search(index, extract_chars=70), {"query": "capital of Peru"}) == (
        "1. Lima (id: lima)\nLima is the capital of Peru.\n\n"
        "2. (id: cusco)\nCusco is a city of Peru. It lies high. It lies high. It lies high. It ..."
    )


def test_a_hit_without_text_shows_its_title(index: LocalIndex) -> None:
    assert run(Search(index), {"query": "empty"}) == "1. Empty (id: empty)"


def test_no_hit_is_a_result(index: LocalIndex) -> None:
    assert run(Search(index), {"query": "zebra"}) == "No documents were found."


def test_the_number_of_hits_is_asked_for(index: LocalIndex) -> None:
    search = Search(index, top_k=1, max_top_k=2)
    assert run(search, {"query": "peru"}).count("(id: ") == 1
    assert run(search, {"query": "peru", "top_k": 2}).count("(id: ") == 2
    assert search.parameters["properties"]["top_k"]["maximum"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "query is missing"),
        ({"query": 3}, "query must be a text; got 3"),
        ({"query": " \x00\n"}, "query must have 1 to 1000 characters; got 0"),
        ({"query": "x" * 1001}, "got 1001"),
        ({"query": "x", "top_k": 0}, "top_k must be an integer from 1 to 10; got 0"),
        ({"query": "x", "top_k": 11}, "got 11"),
        ({"query": "x", "top_k": True}, "got True"),
        ({"query": "x", "k": 1}, "unknown argument 'k'; known are query and top_k"),
    ],
)
def test_bad_search_arguments_are_explained(index: LocalIndex, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        Search(index).validate(arguments)


def test_a_query_without_a_word_is_explained(index: LocalIndex) -> None:
    with pytest.raises(ToolError, match="no word or number"):
        run(Search(index), {"query": "?!"})


def test_a_document_is_opened(index: LocalIndex) -> None:
    assert run(OpenDocument(index), {"id": " lima "}) == "Lima (id: lima)\nLima is the capital of Peru."
    assert run(OpenDocument(index), {"id": "empty"}) == "Empty (id: empty)\n(empty)"


def test_a_long_document_is_opened_in_pages(index: LocalIndex) -> None:
    tool = OpenDocument(index, page_chars=100)
    first = run(tool, {"id": "cusco"})
    assert first.splitlines()[0] == "(id: cusco)"
    assert first.splitlines()[-1] == "[characters 0 to 100 of 305; continue with offset 100]"
    assert run(tool, {"id": "cusco", "offset": 300}) == "(id: cusco)\nigh. \n[characters 300 to 305 of 305]"


@given(text=st.text(min_size=1, max_size=50), page_chars=st.integers(1, 20))
def test_the_pages_make_up_the_text(text: str, page_chars: int) -> None:
    live = Live()
    live.open = lambda id: Document(id=id, text=text)  # type: ignore[method-assign]  # one document of that text
    tool, pages, offset = OpenDocument(live, page_chars=page_chars), "", 0
    while offset < len(text):
        shown = run(tool, {"id": "d", "offset": offset}).removeprefix("(id: d)\n")
        pages += shown.rpartition("\n[characters ")[0] if len(text) > page_chars else shown
        offset += page_chars
    assert pages == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "id is missing"),
        ({"id": 5}, "id must be a text; got 5"),
        ({"id": " "}, "id must be a text; got ' '"),
        ({"id": "lima", "offset": -1}, "offset must be an integer from 0; got -1"),
        ({"id": "lima", "offset": 1.5}, "got 1.5"),
        ({"id": "lima", "page": 2}, "unknown argument 'page'; known are id and offset"),
    ],
)
def test_bad_open_arguments_are_explained(index: LocalIndex, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        OpenDocument(index).validate(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id": "nowhere"}, "there is no document with the id 'nowhere'"),
        ({"id": "\ud800\x00"}, "there is no document"),
        ({"id": "lima", "offset": 28}, "offset must be below 28, the document's length in characters; got 28"),
        ({"id": "empty", "offset": 1}, "offset must be below 0"),
        ({"id": "lima", "offset": 10**200}, "offset must be below 28"),
    ],
)
def test_what_cannot_be_opened_is_explained(index: LocalIndex, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError, match=message):
        run(OpenDocument(index), arguments)


def test_impossible_settings_are_refused(index: LocalIndex) -> None:
    for settings in ({"top_k": 0}, {"top_k": 11}, {"extract_chars": 0}):
        with pytest.raises(EnvConfigError, match="expected"):
            Search(index, **settings)
    with pytest.raises(EnvConfigError, match="page_chars >= 1"):
        OpenDocument(index, page_chars=0)


def test_effects_are_those_of_the_backend(index: LocalIndex) -> None:
    assert Search(index).effects is OpenDocument(index).effects is Effects.PURE
    assert Search(Live()).effects is OpenDocument(Live()).effects is Effects.EXTERNAL


def make_env(backend: LocalIndex | Live) -> ToolEnv:
    return ToolEnv(
        ToolEnvSpec(
            env_id="test/Search-v0",
            questions=ListQuestions([Question(id="1", prompt=("What is the capital of Peru?",), answer="Lima")]),
            tools=(Search(backend), OpenDocument(backend)),
            reward=ExactMatch(),
        )
    )


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def test_an_environment_of_both_tools_conforms(index: LocalIndex) -> None:
    turns = (call("search", query="capital of Peru"), call("open", id="lima"), "<answer>Lima</answer>")
    check_tool_env(lambda: make_env(index), actions=turns, seeds=(0,))


def test_a_snapshot_is_not_restored_over_another_corpus(index: LocalIndex, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    other = make_env(LocalIndex(tmp_path / "corpus.jsonl", cache=tmp_path))
    env = make_env(index)
    env.reset(seed=0)
    make_env(index).restore(env.snapshot())
    with pytest.raises(SnapshotError, match="expected rules"):
        other.restore(env.snapshot())


def test_a_live_service_is_asked_once_per_call_whatever_is_rewound() -> None:
    live = Live()
    env = make_env(live)
    env.reset(seed=0)
    env.step(call("search", query="capital of Peru"))
    snapshot = env.snapshot()
    for branch in range(20):
        env.restore(snapshot)
        env.step(call("open", id=f"call-{branch}"))
        assert env.state.turns[0].calls[0].result.content == ("1. (id: call-1)\ntext",)
    assert live.calls == ["capital of Peru", *(f"call-{branch}" for branch in range(20))]


def test_a_fault_of_the_service_is_no_result() -> None:
    env = make_env(Live())
    env.reset(seed=0)
    before = env.state
    with pytest.raises(InfrastructureFault, match="unreachable"):
        env.step(call("search", query="down"))
    assert env.state is before
    env.step(call("open", id=" "))
    assert env.state.turns[0].calls[0].result.status is ToolStatus.ERROR


def test_a_backend_is_checked_before_anything_runs(tmp_path: Path) -> None:
    class Unusable(Live):
        def check(self) -> None:
            raise EnvConfigError("no key")

    for make in (Search, OpenDocument):
        with pytest.raises(EnvConfigError, match="no key"):
            make(Unusable())
