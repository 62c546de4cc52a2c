from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from axpo_envs import EnvConfigError, InfrastructureFault, Retries
from axpo_envs.backends.payments import HttpPaymentProvider, Order
from axpo_envs.plumbing.web.service import ServiceRefusedError
from axpo_envs.tools import ToolError

ORDER = Order(payee="Acme", amount=Decimal("12.50"), currency="EUR", reference="INV-1")
ONCE = Retries(attempts=2, first_wait_s=0)


class Answers(HTTPServer):
    """Answers requests with the given ones in turn, and keeps what was posted."""

    answers: list[tuple[int, Any]]
    posted: list[Any]


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, answer = self.server.answers.pop(0)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Answers]:
    server = Answers(("127.0.0.1", 0), _Handler)
    server.answers, server.posted = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def provider(service: Answers) -> HttpPaymentProvider:
    return HttpPaymentProvider(f"http://127.0.0.1:{service.server_port}/pay", retries=ONCE)


def test_an_order_is_posted_whole_and_repeated_under_its_key(service: Answers) -> None:
    service.answers = [(503, {}), (201, {"receipt": "R1"})]
    assert provider(service).pay(ORDER, key="k") == "R1"
    body = {"key": "k", "payee": "Acme", "amount": "12.50", "currency": "EUR", "reference": "INV-1"}
    assert service.posted == [body, body]


@pytest.mark.parametrize("status", [402, 403, 409, 422])
def test_a_refused_payment_is_the_policys_to_read(service: Answers, status: int) -> None:
    service.answers = [(status, {"error": "no funds"})]
    with pytest.raises(ToolError, match="no funds"):
        provider(service).pay(ORDER, key="k")


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([(500, {}), (500, {})], InfrastructureFault),
        ([(200, {"paid": True})], InfrastructureFault),
        ([(200, [])], InfrastructureFault),
        ([(401, {})], ServiceRefusedError),
    ],
)
def test_faults_of_the_service_are_nobodys_to_read(
    service: Answers, answers: list[tuple[int, Any]], fault: type[Exception]
) -> None:
    service.answers = answers
    with pytest.raises(fault):
        provider(service).pay(ORDER, key="k")


def test_an_address_with_a_secret_is_refused() -> None:
    with pytest.raises(EnvConfigError, match="without user, password or query"):
        HttpPaymentProvider("https://me:secret@bank.example/pay")
