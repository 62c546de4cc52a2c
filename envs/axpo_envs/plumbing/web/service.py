"""Defines `Service`, which posts JSON to a web service: with time limits, with retries, and without telling its key."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries, asked_seconds
from axpo_envs.plumbing.web.redaction import redact

with requiring("search", "a web service"):
    import httpx

LONGEST_S: Final = 1e9
"""The longest time limit: sockets count no further than clocks do."""
MAX_ANSWER_BYTES: Final = 32 << 20
"""Size of an answer; a longer one is a fault of the service."""

_TRANSIENT: Final = frozenset((408, 425, 429))
_SHOWN_CHARS: Final = 300
_LOGGER: Final = logging.getLogger(__name__)


class ServiceRefusedError(EnvConfigError):
    """The service understood and refuses: asking again is of no use, and the policy is not to blame.

    Args:
        message: what was refused, and what to do.
        status: the HTTP status of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class Service:
    """Posts JSON to a web service and reads its JSON answer. Threads may share it.

    A failed attempt (no connection, time-out, status 408, 425, 429 or 5xx, an answer that is no JSON) is repeated.
    Redirections are not followed: the key is for the given address alone. Connections are kept open; they are opened
    anew in forked processes and in copies.

    Args:
        timeout_s: seconds for connecting, for sending and for each wait for bytes, and for the answer as a whole.
        retries: how often and when a failed attempt is repeated.
        key: sent as `Authorization: Bearer`; None for a service without a key.
        advice: what to do about a refusal, by HTTP status.

    Raises:
        EnvConfigError: the time limit is not positive, or too long for sockets.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        retries: Retries,
        key: EnvironmentKey | None = None,
        advice: Mapping[int, str] | None = None,
    ) -> None:
        if not 0 < timeout_s <= LONGEST_S:
            raise EnvConfigError(f"expected timeout_s > 0 seconds, at most {LONGEST_S:g}; got {timeout_s}")
        self._timeout_s = timeout_s
        self._retries = retries
        self._key = key
        self._advice = dict(advice or {})
        self._clients: dict[int, httpx.Client] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clients": {}}

    def check(self) -> None:
        """Makes sure that the key is there.

        Raises:
            EnvConfigError: it is not.
        """
        if self._key is not None:
            self._key.read()

    def close(self) -> None:
        """Closes this process's connections; a later request opens new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def post(self, url: str, payload: Mapping[str, Any], *, silent: bool = False) -> Any:
        """The answer to a request.

        Args:
            url: where to.
            payload: the JSON that is posted.
            silent: success may be answered by what is no JSON, or by nothing; the answer is None then.

        Raises:
            InfrastructureFault: every attempt failed, or the service asks for a longer wait than is allowed.
            ServiceRefusedError: the service refuses the request.
            EnvConfigError: the key is missing.
        """
        self.check()
        body = json.dumps(payload).encode("ascii")
        failures = 0
        while True:
            outcome = self._attempt(url, body, silent)
            if isinstance(outcome, _Answer):
                return outcome.data
            failures += 1
            if failures == self._retries.attempts:
                raise InfrastructureFault(f"{url} {outcome.reason} (attempt {failures} of {failures})")
            wait = self._retries.wait_s(failures, outcome.asked_s)
            if wait > self._retries.longest_wait_s:
                allowed = f"longest_wait_s is {self._retries.longest_wait_s:g} s"
                raise InfrastructureFault(f"{url} {outcome.reason}; it asks to wait {wait:.0f} s, {allowed}")
            _LOGGER.warning("%s %s; attempt %d follows in %.1f s", url, outcome.reason, failures + 1, wait)
            self._retries.sleep(wait)

    def _attempt(self, url: str, body: bytes, silent: bool) -> _Answer | _Trouble:
        # Exceptions of httpx hold the request and their tracebacks its headers, so they end here: as text.
        try:
            with self._client().stream("POST", url, content=body) as response:
                text = redact(self._read(response))
                status, retry_after = response.status_code, response.headers.get("Retry-After", "")
        except (httpx.RequestError, _AnswerError) as error:
            reason = redact(f"{error}" if isinstance(error, _AnswerError) else f"{type(error).__name__}: {error}")
            return _Trouble(reason=f"failed ({reason})")
        shown = " ".join(text.split())
        shown = shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."
        if status in _TRANSIENT or status >= 500:
            return _Trouble(reason=f"answered {status}: {shown!r}", asked_s=asked_seconds(retry_after))
        if not 200 <= status < 300:
            advice = self._advice.get(status, "check address and settings")
            raise ServiceRefusedError(f"{url} answered {status}: {shown!r}; {advice}", status)
        try:
            return _Answer(data=json.loads(text))
        except (ValueError, RecursionError):
            if silent:
                return _Answer(data=None)
            return _Trouble(reason=f"answered {status} with what is no JSON: {shown!r}")

    def _read(self, response: httpx.Response) -> str:
        deadline = time.monotonic() + self._timeout_s
        read = bytearray()
        for block in response.iter_bytes():
            read += block
            if len(read) > MAX_ANSWER_BYTES:
                raise _AnswerError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise _AnswerError(f"the answer took longer than {self._timeout_s:g} s")
        return read.decode("utf-8", errors="replace")

    def _client(self) -> httpx.Client:
        # A process must not use, nor close, the connections that it inherited by forking.
        process = os.getpid()
        return self._clients.get(process) or self._clients.setdefault(process, self._new_client())

    def _new_client(self) -> httpx.Client:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        auth = None if self._key is None else _BearerAuth(self._key)
        return httpx.Client(timeout=self._timeout_s, headers=headers, auth=auth, follow_redirects=False)


def checked_url(url: str) -> str:
    """An address that may be shown in messages and recordings.

    Raises:
        EnvConfigError: it is no http(s) address, or holds a user, a password or a query, which may be secrets.
    """
    try:
        parsed = httpx.URL(url)
        # What resolves names refuses empty and overlong labels, with an error that is no fault of a service.
        parsed.host.encode("idna")
    except (httpx.InvalidURL, TypeError, UnicodeError):
        parsed = httpx.URL()
    secret = parsed.userinfo or parsed.query or parsed.fragment
    reachable = parsed.host and (parsed.port is None or 0 < parsed.port < 1 << 16)
    if parsed.scheme not in ("http", "https") or not reachable or secret:
        # What may hold a password is not repeated.
        raise EnvConfigError("expected an address http(s)://HOST[:PORT]/PATH without user, password or query")
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A successful attempt."""

    data: Any
    """The answer, decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """A failed attempt that may succeed when repeated."""

    reason: str
    """What happened; completes the address."""
    asked_s: float = 0.0
    """Seconds that the service asks to wait."""


class _AnswerError(Exception):
    """An answer that is too long or too slow."""


class _BearerAuth(httpx.Auth):
    """Adds the key to a request that is on its way out, so that no client object holds it."""

    def __init__(self, key: EnvironmentKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.read()}"
        yield request
