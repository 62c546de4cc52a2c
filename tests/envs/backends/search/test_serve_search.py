"""A corpus is served over the retrieval protocol, to the suite's own client and to anyone else's."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from axpo_envs import EnvConfigError, InfrastructureFault
from axpo_envs.backends.search import (
    Document,
    Hit,
    LocalIndex,
    SearchServer,
)
from axpo_envs.backends.search import (
    _local as local,
)
from axpo_envs.backends.search import (
    _retrieval_http as retrieval_http,
)
from axpo_envs.backends.search._retrieval_http import RetrievalHTTPServer
from axpo_envs.backends.search.retrieval_server import RetrievalServer
from axpo_envs.tools import Effects

PROGRAM = (
    "import sys; from axpo_envs.backends.search import serve_search; "
    "serve_search(sys.argv[1], port=0, cache=sys.argv[2])"
)
ROWS = [
    {"id": "lima", "contents": "Lima\nLima is the capital of Peru."},
    {"id": "cusco", "contents": "Cusco\nCusco is a city of Peru."},
    {"id": "plain", "text": "two\nlines"},
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / "corpus.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def index(corpus: Path) -> LocalIndex:
    return LocalIndex(corpus, cache=corpus.parent)


@pytest.fixture(scope="module")
def server(index: LocalIndex) -> Iterator[SearchServer]:
    with pytest.MonkeyPatch.context() as patch, SearchServer(index) as running:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def connect(server: SearchServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)


def ask(server: SearchServer, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = connect(server)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def post(server: SearchServer, path: str, request: Any) -> tuple[int, Any]:
    return ask(server, "POST", path, json.dumps(request).encode())


def test_queries_are_answered_in_order_with_scores(server: SearchServer, index: LocalIndex) -> None:
    request = {"queries": ["capital of Peru", "?!", "cusco"], "topk": 2, "return_scores": True}
    status, answer = post(server, "/retrieve", request)
    assert status == 200
    first, none, second = answer["result"]
    assert first[0] == {
        "document": {"id": "lima", "title": "Lima", "contents": "Lima\nLima is the capital of Peru."},
        "score": index.search("capital of Peru", 1)[0].score,
    }
    assert [hit["document"]["id"] for hit in first] == ["lima", "cusco"]
    assert none == []
    assert [hit["document"]["id"] for hit in second] == ["cusco"]


@pytest.mark.parametrize(
    "request_body", [{"queries": ["peru"]}, {"query": "peru", "topk": None, "return_scores": False}]
)
def test_documents_stand_bare_without_scores(server: SearchServer, request_body: dict[str, Any]) -> None:
    status, answer = post(server, "/retrieve", request_body)
    assert status == 200
    assert [[document["contents"] for document in hits] for hits in answer["result"]] == [
        ["Cusco\nCusco is a city of Peru.", "Lima\nLima is the capital of Peru."]
    ]


def test_documents_are_opened_by_id(server: SearchServer) -> None:
    assert post(server, "/documents", {"ids": ["plain", "nowhere"]}) == (
        200,
        {"result": [{"id": "plain", "title": "", "contents": "two\nlines"}, None]},
    )


def test_the_suites_client_gets_what_the_index_has(server: SearchServer, index: LocalIndex) -> None:
    client = RetrievalServer(server.url, documents_url=server.documents_url)
    for query in ("capital of Peru", "lines", "zebra", "\ud800 Peru"):
        assert client.search(query, 3) == index.search(query, 3)
    for id in ("lima", "plain", "nowhere", "\ud800"):
        assert client.open(id) == index.open(id)
    client.close()


def test_many_clients_are_served_at_once(server: SearchServer, index: LocalIndex) -> None:
    client = RetrievalServer(server.url)
    expected = index.search("peru", 3)
    with ThreadPoolExecutor(16) as executor:
        assert all(hits == expected for hits in executor.map(lambda _: client.search("peru", 3), range(100)))
    client.close()


def test_health_names_the_corpus(server: SearchServer, index: LocalIndex) -> None:
    assert ask(server, "GET", "/health") == (200, {"status": "ok", "backend": index.fingerprint})


def test_a_connection_serves_several_requests(server: SearchServer) -> None:
    connection = connect(server)
    for body, status in (('{"query": "peru"}', 200), ("no json", 400), ('{"query": "lima"}', 200)):
        connection.request("POST", "/retrieve", body=body)
        response = connection.getresponse()
        assert (response.status, response.will_close) == (status, False)
        response.read()
    connection.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "expected JSON"),
        (b"{", "expected JSON"),
        (b"\xff\xfe\xfd", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[1]", "expected a JSON object; got list"),
        (b"{}", 'expected either "queries" or "query"'),
        (b'{"query": "a", "queries": ["b"]}', 'expected either "queries" or "query"'),
        (b'{"queries": "a"}', "expected \"queries\" to be a list of texts; got 'a'"),
        (b'{"query": 3}', 'expected "queries" to be a list of texts; got [3]'),
        (b'{"query": "a", "topk": 0}', 'expected "topk" to be an integer from 1 to 100; got 0'),
        (b'{"query": "a", "topk": 101}', "got 101"),
        (b'{"query": "a", "topk": true}', "got True"),
        (b'{"query": "a", "return_scores": 1}', 'expected "return_scores" to be true or false; got 1'),
        (json.dumps({"queries": ["a"] * 10_001}).encode(), 'expected at most 10000 "queries"; got 10001'),
    ],
)
def test_a_bad_request_is_explained(server: SearchServer, body: bytes, message: str) -> None:
    status, answer = ask(server, "POST", "/retrieve", body)
    assert status == 400
    assert message in answer["error"]


def test_bad_ids_are_explained(server: SearchServer) -> None:
    assert post(server, "/documents", {"id": "lima"}) == (
        400,
        {"error": 'expected "ids" to be a list of texts; got None'},
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/retrieve", 405),
        ("GET", "/documents", 405),
        ("POST", "/health", 405),
        ("GET", "/", 404),
        ("POST", "/retrieve/", 404),
        ("PUT", "/retrieve", 501),
    ],
)
def test_what_is_not_offered_is_refused(server: SearchServer, method: str, path: str, status: int) -> None:
    given, answer = ask(server, method, path, b"{}")
    assert given == status
    assert set(answer) == {"error"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str((16 << 20) + 1)}, 413),
        ({"Content-Length": "9" * 5000}, 413),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "many"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_request_without_a_fair_size_is_refused(server: SearchServer, headers: dict[str, str], status: int) -> None:
    connection = connect(server)
    connection.putrequest("POST", "/retrieve")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == status
    assert response.will_close
    assert "error" in json.loads(response.read())
    connection.close()


def test_what_is_no_http_gets_an_error(server: SearchServer) -> None:
    connection = connect(server)
    connection.connect()
    connection.sock.sendall(b"\x16\x03\x01 hello there you\r\n\r\n")
    answer = connection.sock.recv(65536)
    connection.close()
    assert answer.startswith(b'{"error": "Bad request version')


class Slow:
    """A backend whose answers wait for a signal, and that fails on demand."""

    fingerprint = "slow"
    effects = Effects.EXTERNAL
    opens = False

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()

    def check(self) -> None:
        """Always usable."""

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        if query == "fault":
            raise InfrastructureFault("no service")
        if query == "bug":
            raise ZeroDivisionError("a secret of the implementation")
        self.asked.set()
        assert self.go.wait(30)
        return (Hit(document=Document(id="late", text="late")),)

    def open(self, id: str) -> Document | None:
        raise AssertionError("it opens nothing")


def test_faults_and_bugs_of_a_backend_are_told_apart() -> None:
    with SearchServer(Slow()) as server:
        assert post(server, "/retrieve", {"query": "fault"}) == (503, {"error": "no service"})
        assert post(server, "/retrieve", {"query": "bug"}) == (500, {"error": "internal error"})
        assert post(server, "/documents", {"ids": ["a"]})[0] == 404


def test_closing_finishes_the_answer_in_progress_and_ends_idle_connections() -> None:
    slow = Slow()
    with ThreadPoolExecutor(1) as executor:
        with SearchServer(slow) as server:
            idle = connect(server)
            idle.connect()
            answer = executor.submit(post, server, "/retrieve", {"query": "x"})
            assert slow.asked.wait(30)
            threading.Timer(0.2, slow.go.set).start()
        assert answer.result(30) == (200, {"result": [[{"id": "late", "title": "", "contents": "late"}]]})
    assert idle.sock.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        connect(server).connect()


def test_an_address_in_use_is_named(server: SearchServer, index: LocalIndex) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    for host, bad_port, message in (
        ("127.0.0.1", port, f"cannot listen at 127.0.0.1, port {port}: .*in use"),
        ("127.0.0.1", 70_000, "cannot listen at 127.0.0.1, port 70000"),
        ("nowhere.invalid", 0, "cannot listen at nowhere.invalid"),
    ):
        with pytest.raises(EnvConfigError, match=message):
            SearchServer(index, host=host, port=bad_port)


def test_the_slow_are_given_up(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_http, "REQUEST_S", 0.2)
    monkeypatch.setattr(retrieval_http, "IDLE_S", 0.2)
    for sent in (
        b"",
        b"POST /retr",
        b"POST /retrieve HTTP/1.1\r\nContent-Le",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
    ):
        connection = connect(server)
        connection.connect()
        connection.sock.sendall(sent)
        assert connection.sock.recv(1) == b""
        connection.close()


def test_who_sends_byte_after_byte_is_given_up(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_http, "REQUEST_S", 0.3)
    connection = connect(server)
    connection.connect()
    connection.sock.sendall(b"POST /retrieve HTTP/1.1\r\nX-Endless: ")
    with pytest.raises(OSError, match=r"reset|[Bb]roken|closed"):
        drip(connection.sock)
    connection.close()


def drip(connection: socket.socket) -> None:
    """Sends bytes for ever: each comes in time, all of them never do."""
    while True:
        connection.sendall(b"a")
        time.sleep(0.01)


def test_connections_beyond_the_limit_wait_for_room(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_http, "MAX_CONNECTIONS", 2)
    holders = [connect(server) for _ in range(2)]
    for holder in holders:
        holder.request("GET", "/health")
        holder.getresponse().read()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(ask, server, "GET", "/health")
        holders[0].request("GET", "/health")
        assert holders[0].getresponse().status == 200
        assert not waiting.done()
        for holder in holders:
            holder.close()
        assert waiting.result(30)[0] == 200


def test_a_server_out_of_descriptors_waits_before_it_asks_again(
    index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(retrieval_http, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    server = RetrievalHTTPServer(index, "127.0.0.1", 0)
    monkeypatch.setattr(server, "socket", SimpleNamespace(accept=out_of_descriptors, close=server.socket.close))
    for _ in range(3):
        with pytest.raises(OSError, match="Too many open files"):
            server.get_request()
    server.server_close()
    assert len(waits) == 3
    assert min(waits) > 0


def out_of_descriptors() -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def test_long_queries_and_long_searches_are_refused(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    status, answer = post(server, "/retrieve", {"query": "x" * 10_001})
    assert (status, answer["error"]) == (400, 'expected at most 10000 characters in each of "queries"; got 10001')
    monkeypatch.setattr(retrieval_http, "ANSWER_S", -1.0)
    status, answer = post(server, "/retrieve", {"queries": ["lima", "cusco"]})
    assert (status, answer["error"].partition(" in ")[0]) == (503, "only 0 of 2 could be looked up")


def test_a_query_past_its_time_limit_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ({"id": str(number), "text": "river " * 50} for number in range(5000))
    (tmp_path / "large.jsonl").write_text("\n".join(map(json.dumps, rows)))
    index = LocalIndex(tmp_path / "large.jsonl", cache=tmp_path)
    monkeypatch.setattr(local, "_STEPS", 10)
    assert len(index.search("river", 3)) == 3
    with pytest.raises(InfrastructureFault, match="took longer than"):
        LocalIndex(tmp_path / "large.jsonl", cache=tmp_path, limit_s=1e-9).search("river", 3)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_while_a_client_is_connected(corpus: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(corpus), str(corpus.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().split()[6])
        with socket.create_connection((str(address.hostname), int(address.port or 0))) as idle:
            idle.sendall(b"POST /retrieve HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
            os.kill(process.pid, ending)
            assert process.wait(30) == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(corpus: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(corpus), str(corpus.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        announced = process.stdout.readline()
        assert announced.startswith(f"serving 3 documents of {corpus} at http://127.0.0.1:")
        client = RetrievalServer(announced.split()[6])
        assert [hit.document.id for hit in client.search("capital", 1)] == ["lima"]
        client.close()
        os.kill(process.pid, ending)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
