"""The clients of search services, against a real HTTP server on loopback that answers as it is told."""

from __future__ import annotations

import importlib
import json
import logging
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from axpo_envs import EnvConfigError, InfrastructureFault, Question
from axpo_envs.backends.search import Document, Hit, Recorder
from axpo_envs.backends.search.retrieval_server import RetrievalServer
from axpo_envs.backends.search.tavily import Tavily, TavilyOptions
from axpo_envs.plumbing.web import service
from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.service import ServiceRefusedError
from axpo_envs.tools import Effects, ToolContext, ToolError
from axpo_envs.tools.open_document import OpenDocument
from axpo_envs.tools.search import Search

KEY = "tvly-s3cret-0123456789"
CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)


@dataclass
class Reply:
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drip: bool = False


@dataclass
class Request:
    path: str
    authorization: str
    body: Any


class FakeService(ThreadingHTTPServer):
    """Answers with the given replies in turn, the last one for ever; keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.replies: list[Reply | Callable[[Request], Reply]] = []
        self.requests: list[Request] = []
        self.over = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_reply(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply if isinstance(reply, Reply) else reply(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are expected."""


class FakeHandler(BaseHTTPRequestHandler):
    server: FakeService

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.server.next_reply(Request(self.path, self.headers.get("Authorization", ""), body))
        if reply.hang:
            self.server.over.wait()
        data = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if reply.drip:
            for byte in data:
                self.wfile.write(bytes((byte,)))
                if self.server.over.wait(0.02):
                    return
        else:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps quiet."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TAVILY_API_KEY", KEY)
    server = FakeService()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def whole() -> float:
    """No jitter: waits have their full length."""
    return 1.0


@dataclass
class Clock:
    """Sleeps without sleeping."""

    slept: list[float] = field(default_factory=list)

    def retries(self, attempts: int = 3) -> Retries:
        return Retries(attempts=attempts, sleep=self.slept.append, jitter=whole)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(fake: FakeService, clock: Clock) -> Iterator[RetrievalServer]:
    client = RetrievalServer(
        f"{fake.url}/retrieve", documents_url=f"{fake.url}/documents", retries=clock.retries(), timeout_s=5.0
    )
    yield client
    client.close()


@pytest.fixture
def tavily(fake: FakeService, clock: Clock) -> Iterator[Tavily]:
    client = Tavily(TavilyOptions(exclude_domains=("b.test",)), url=fake.url, retries=clock.retries(), timeout_s=5.0)
    yield client
    client.close()


FOUND = {"result": [[{"document": {"id": "7", "contents": "Lima\nThe capital."}, "score": 0.9}]]}
HIT = Hit(document=Document(id="7", title="Lima", text="The capital."), score=0.9)


def test_the_request_follows_the_protocol(fake: FakeService, server: RetrievalServer) -> None:
    fake.replies = [Reply(FOUND)]
    assert server.search("  capital\nof Peru ", 2) == (HIT,)
    (request,) = fake.requests
    assert request.path == "/retrieve"
    assert request.body == {"queries": ["capital of Peru"], "topk": 2, "return_scores": True}


@pytest.mark.parametrize(
    ("items", "hits"),
    [
        ([{"id": "7", "contents": "Lima\nThe capital."}], [("7", "Lima", None)]),
        ([{"document": {"contents": "Lima\nThe capital."}}], [("a2a6feb4213a", "Lima", None)]),
        ([{"document": {"id": 1, "text": "x", "title": "T"}, "score": "high"}], [("1", "T", None)]),
        ([{"id": str(number), "contents": "x"} for number in range(9)], [("0", "", None), ("1", "", None)]),
        ([], []),
    ],
    ids=["no scores", "no id", "no number", "too many", "none"],
)
def test_all_forms_of_hits_are_read(
    fake: FakeService, server: RetrievalServer, items: list[Any], hits: list[tuple[str, str, float | None]]
) -> None:
    fake.replies = [Reply({"result": [items]})]
    found = [(hit.document.id, hit.document.title, hit.score) for hit in server.search("x", 2)]
    assert [row[1:] for row in found] == [row[1:] for row in hits]
    assert [row[0] for row in found if len(row[0]) < 3] == [row[0] for row in hits if len(row[0]) < 3]


def test_a_document_without_id_gets_one_from_its_contents(fake: FakeService, server: RetrievalServer) -> None:
    rows = [{"contents": "a"}, {"contents": "b"}, {"contents": "a"}]
    fake.replies = [Reply({"result": [rows]})]
    first, other, again = (hit.document.id for hit in server.search("x", 3))
    assert first == again != other


def test_documents_are_opened_beside_the_protocol(fake: FakeService, server: RetrievalServer) -> None:
    fake.replies = [Reply({"result": [HIT.document.to_row()]}), Reply({"result": [None]})]
    assert server.open("7") == HIT.document
    assert server.open("8") is None
    assert [(request.path, request.body) for request in fake.requests] == [
        ("/documents", {"ids": ["7"]}),
        ("/documents", {"ids": ["8"]}),
    ]


def test_a_server_without_documents_gives_no_open_tool(fake: FakeService) -> None:
    client = RetrievalServer(f"{fake.url}/retrieve")
    with pytest.raises(EnvConfigError, match="needs a backend that opens documents"):
        OpenDocument(client)
    with pytest.raises(EnvConfigError, match="was given no documents_url"):
        client.open("7")


def test_a_busy_service_is_asked_again_when_it_says(fake: FakeService, server: RetrievalServer, clock: Clock) -> None:
    fake.replies = [Reply("slow down", 429, {"Retry-After": "7"}), Reply(FOUND)]
    assert server.search("x", 1) == (HIT,)
    assert clock.slept == [7.0]
    assert len(fake.requests) == 2


def test_waits_double_and_end_in_a_fault(fake: FakeService, clock: Clock) -> None:
    fake.replies = [Reply("kaputt", 503)]
    client = RetrievalServer(f"{fake.url}/retrieve", retries=clock.retries(attempts=4))
    with pytest.raises(InfrastructureFault, match=r"/retrieve answered 503: 'kaputt' \(attempt 4 of 4\)"):
        client.search("x", 1)
    client.close()
    assert clock.slept == [0.5, 1.0, 2.0]
    assert len(fake.requests) == 4


def test_a_service_that_asks_for_too_long_a_wait_is_given_up(
    fake: FakeService, server: RetrievalServer, clock: Clock
) -> None:
    fake.replies = [Reply("come back tomorrow", 429, {"Retry-After": "86400"})]
    with pytest.raises(InfrastructureFault, match="asks to wait 86400 s, longest_wait_s is 60 s"):
        server.search("x", 1)
    assert clock.slept == []


@pytest.mark.parametrize("reply", [Reply(FOUND, hang=True), Reply({"result": [["x" * 200]]}, drip=True)])
def test_a_slow_answer_is_a_fault(fake: FakeService, clock: Clock, reply: Reply) -> None:
    fake.replies = [reply]
    client = RetrievalServer(f"{fake.url}/retrieve", retries=clock.retries(attempts=2), timeout_s=0.1)
    with pytest.raises(InfrastructureFault, match=r"failed \((ReadTimeout|the answer took longer than 0.1 s)"):
        client.search("x", 1)
    client.close()
    assert len(fake.requests) == 2


def test_an_unreachable_service_is_a_fault(clock: Clock) -> None:
    gone = FakeService()
    gone.server_close()
    client = RetrievalServer(f"{gone.url}/retrieve", retries=clock.retries())
    with pytest.raises(InfrastructureFault, match=r"failed \(ConnectError"):
        client.search("x", 1)
    client.close()
    assert len(clock.slept) == 2


@pytest.mark.parametrize("body", ["<html>oops</html>", "", '{"result": [[', "[" * 100_000])
def test_an_answer_that_is_no_json_is_tried_again(fake: FakeService, server: RetrievalServer, body: str) -> None:
    fake.replies = [Reply(body), Reply(FOUND)]
    assert server.search("x", 1) == (HIT,)
    fake.replies = [Reply(body)]
    with pytest.raises(InfrastructureFault, match="answered 200 with what is no JSON"):
        server.search("x", 1)


@pytest.mark.parametrize(
    "body", [[], {"results": []}, {"result": []}, {"result": [[], []]}, {"result": [["text"]]}, {"result": [[{}]]}]
)
def test_an_answer_in_another_format_is_a_fault(fake: FakeService, server: RetrievalServer, body: Any) -> None:
    fake.replies = [Reply(body)]
    with pytest.raises(InfrastructureFault, match=r"expected an answer|what is no document"):
        server.search("x", 1)


def test_an_endless_answer_is_a_fault(
    fake: FakeService, server: RetrievalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_ANSWER_BYTES", 1000)
    fake.replies = [Reply("x" * 2000)]
    with pytest.raises(InfrastructureFault, match="longer than 1000 bytes"):
        server.search("x", 1)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply("Not Found", 404), "answered 404: 'Not Found'; is this the whole address"),
        (Reply("", 302, {"Location": "/elsewhere"}), "answered 302"),
        (Reply("no", 403), "answered 403: 'no'; check address and settings"),
    ],
)
def test_a_refusal_is_not_repeated(fake: FakeService, server: RetrievalServer, reply: Reply, message: str) -> None:
    fake.replies = [reply]
    with pytest.raises(ServiceRefusedError, match=message):
        server.search("x", 1)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "url", ["retrieve", "ftp://host/x", "http://", "http://me:pass@host/", "http://host/?token=pass", "http://h:x/"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(EnvConfigError, match="expected an address") as caught:
        RetrievalServer(url)
    assert "pass@" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_threads_and_copies_share_nothing_that_breaks(fake: FakeService, server: RetrievalServer) -> None:
    fake.replies = [lambda request: Reply({"result": [[{"id": request.body["queries"][0], "contents": "x"}]]})]
    copy = pickle.loads(pickle.dumps(RetrievalServer(f"{fake.url}/retrieve")))
    with ThreadPoolExecutor(8) as executor:
        for client in (server, copy):
            found = executor.map(lambda number, client=client: client.search(str(number), 1), range(16))
            assert [hits[0].document.id for hits in found] == [str(number) for number in range(16)]
    copy.close()


def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "axpo_envs.plumbing.web.service")
    with pytest.raises(EnvConfigError, match=r"pip install 'axpo\[search\]'"):
        importlib.import_module("axpo_envs.plumbing.web.service")


def test_a_time_limit_must_be_positive() -> None:
    with pytest.raises(EnvConfigError, match="timeout_s > 0"):
        RetrievalServer("http://host/retrieve", timeout_s=0.0)


PAGE: dict[str, Any] = {"title": "Lima", "url": "https://a.test/lima", "content": "The capital.", "score": 0.8}
PAGES = {
    "query": "x",
    "results": [PAGE, PAGE | {"content": "again"}, PAGE | {"url": "https://a.test/2", "score": None}],
}


def test_tavily_is_asked_with_its_options_and_key(fake: FakeService, tavily: Tavily) -> None:
    fake.replies = [Reply(PAGES)]
    first, second = tavily.search("capital of Peru", 30)
    assert first == Hit(document=Document(id=PAGE["url"], title="Lima", text="The capital."), score=0.8)
    assert (second.document.id, second.score) == ("https://a.test/2", None)
    (request,) = fake.requests
    assert (request.path, request.authorization) == ("/search", f"Bearer {KEY}")
    assert request.body == {
        "query": "capital of Peru",
        "max_results": 20,
        "search_depth": "basic",
        "topic": "general",
        "exclude_domains": ["b.test"],
    }


def test_tavily_gives_at_most_as_many_hits_as_asked_for(fake: FakeService, tavily: Tavily) -> None:
    fake.replies = [Reply(PAGES)]
    assert len(tavily.search("x", 1)) == 1


@pytest.mark.parametrize("query", ["", " \n", "x" * 401])
def test_tavily_is_not_asked_what_it_would_refuse(fake: FakeService, tavily: Tavily, query: str) -> None:
    with pytest.raises(ToolError, match="1 to 400 characters"):
        tavily.search(query, 3)
    assert fake.requests == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "check the options given to Tavily"),
        (401, "check the key in TAVILY_API_KEY"),
        (403, "may be used for this"),
        (432, "the plan's limit is used up"),
        (433, "the pay-as-you-go limit is used up"),
    ],
)
def test_tavilys_refusals_say_what_to_do(fake: FakeService, tavily: Tavily, status: int, advice: str) -> None:
    fake.replies = [Reply({"detail": {"error": "no way"}}, status)]
    with pytest.raises(ServiceRefusedError, match=f"answered {status}: .*no way.*{advice}") as caught:
        tavily.search("x", 3)
    assert caught.value.status == status
    assert pickle.loads(pickle.dumps(caught.value)).status == status
    assert len(fake.requests) == 1


@pytest.mark.parametrize("body", [[], {"results": None}, {"results": ["x"]}, {"results": [{"url": None}]}])
def test_a_strange_answer_of_tavily_is_a_fault(fake: FakeService, tavily: Tavily, body: Any) -> None:
    fake.replies = [Reply(body)]
    with pytest.raises(InfrastructureFault, match=r"expected an answer|what is no page"):
        tavily.search("x", 3)


def test_tavily_opens_pages(fake: FakeService, tavily: Tavily) -> None:
    fake.replies = [Reply({"results": [{"url": "https://a.test/lima", "raw_content": "All of it."}]})]
    assert tavily.open("https://a.test/lima") == Document(id="https://a.test/lima", text="All of it.")
    (request,) = fake.requests
    assert (request.path, request.body) == ("/extract", {"urls": ["https://a.test/lima"], "format": "text"})


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"results": [], "failed_results": [{"url": "https://a.test/", "error": "not found"}]}),
        Reply({"results": [{"url": "https://a.test/", "raw_content": ""}]}),
        Reply({"detail": {"error": "bad url"}}, 400),
    ],
)
def test_a_page_that_cannot_be_opened_is_the_policys_to_read(fake: FakeService, tavily: Tavily, reply: Reply) -> None:
    fake.replies = [reply]
    with pytest.raises(ToolError, match=r"the page https://a.test/ cannot be opened"):
        tavily.open("https://a.test/")


def test_a_refused_key_is_not_the_pages_fault(fake: FakeService, tavily: Tavily) -> None:
    fake.replies = [Reply("no", 401)]
    with pytest.raises(ServiceRefusedError, match="TAVILY_API_KEY"):
        tavily.open("https://a.test/")


@pytest.mark.parametrize(
    "id", ["7", "file:///etc/passwd", "https://", "https://a b/", "http://[", "", "https://\ud800/"]
)
def test_what_is_no_web_address_is_no_page(fake: FakeService, tavily: Tavily, id: str) -> None:
    assert tavily.open(id) is None
    assert fake.requests == []


def test_options_are_checked() -> None:
    with pytest.raises(EnvConfigError, match="search_depth to be one of basic, advanced; got 'deep'"):
        TavilyOptions(search_depth="deep")  # type: ignore[arg-type]  # the wrong value is the point


def test_the_fingerprint_tells_options_apart(tavily: Tavily) -> None:
    assert tavily.fingerprint == Tavily(TavilyOptions(exclude_domains=("b.test",))).fingerprint
    assert tavily.fingerprint != Tavily().fingerprint


def test_a_missing_key_is_a_configuration_error(
    fake: FakeService, tavily: Tavily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAVILY_API_KEY")
    with pytest.raises(EnvConfigError, match="set the environment variable TAVILY_API_KEY"):
        Search(tavily)
    with pytest.raises(EnvConfigError, match="set the environment variable TAVILY_API_KEY"):
        tavily.search("x", 3)
    assert fake.requests == []


@pytest.mark.parametrize("key", ["tvly-s3cret 0123", "tvly-s3cret\n0123", "tvly-s3cretü"])
def test_a_malformed_key_is_not_repeated(tavily: Tavily, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("TAVILY_API_KEY", key)
    with pytest.raises(EnvConfigError, match="TAVILY_API_KEY holds a space or another character") as caught:
        tavily.search("x", 3)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_live_search_is_external_and_repeatable_from_its_recording(
    fake: FakeService, tavily: Tavily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.replies = [Reply(PAGES)]
    live = Search(Recorder(tavily, tmp_path / "recording.sqlite"))
    first, _ = live.step(live.validate({"query": "capital of Peru"}), None, CONTEXT)
    again, _ = live.step(live.validate({"query": " capital  of Peru"}), None, CONTEXT)
    assert live.effects is Effects.EXTERNAL
    assert len(fake.requests) == 1
    monkeypatch.delenv("TAVILY_API_KEY")
    replay = Search(Recorder(tavily, tmp_path / "recording.sqlite", mode="replay"))
    replayed, _ = replay.step(replay.validate({"query": "capital of Peru"}), None, CONTEXT)
    assert replay.effects is Effects.PURE
    assert first.content == again.content == replayed.content
    assert len(fake.requests) == 1


def echo(request: Request) -> Reply:
    told = request.authorization
    page = {"url": f"https://a.test/{told.split()[-1]}", "title": told, "content": f"You sent {told}.", "score": 1.0}
    return Reply({"results": [page | {"raw_content": told}], "request_id": told})


@pytest.mark.parametrize(
    "replies",
    [
        [echo],
        [lambda request: Reply({"detail": {"error": f"bad key {request.authorization}"}}, 401)],
        [lambda request: Reply(f"oops {request.authorization}", 500)],
        [lambda request: Reply(f"no json {request.authorization}")],
        [lambda request: Reply([request.authorization])],
        [Reply(FOUND, hang=True)],
        [Reply("busy", 429), echo],
    ],
    ids=["echo", "refusal", "broken", "no json", "another format", "time-out", "busy"],
)
def test_the_key_never_leaks(
    fake: FakeService,
    clock: Clock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    replies: list[Reply | Callable[[Request], Reply]],
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.replies = replies
    tavily = Tavily(url=fake.url, retries=clock.retries(), timeout_s=0.2)
    recorder = Recorder(tavily, tmp_path / "recording.sqlite")
    told: list[str] = [repr(tavily), repr(recorder), repr(EnvironmentKey("TAVILY_API_KEY")), recorder.fingerprint]
    for ask in (lambda: recorder.search("x", 3), lambda: recorder.open("https://a.test/")):
        try:
            told.append(repr(ask()))
        except (InfrastructureFault, EnvConfigError, ToolError) as error:
            lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
            told += [repr(error), *lines]
    told += [repr(pickle.dumps(tavily)), repr(vars(tavily)), repr(vars(tavily._service))]
    told += [repr(path.read_bytes()) for path in tmp_path.iterdir()]
    told += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    tavily.close()
    assert fake.requests
    assert all(request.authorization == f"Bearer {KEY}" for request in fake.requests)
    assert len(told) > 10
    assert [text for text in told if "s3cret" in text.casefold()] == []
