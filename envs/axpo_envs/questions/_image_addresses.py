"""Defines `fetch_image`, which gets an image from the web where the user allows the host."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.brief import brief

MAX_BYTES: Final = 64 << 20
"""Size of a file; a longer one is refused."""

TIMEOUT_S: Final = 60.0
"""Seconds for one image, redirections included."""

_REDIRECTIONS: Final = 5
_ATTEMPTS: Final = 3


def is_address(value: Any) -> bool:
    """Whether a value is an address on the web."""
    return isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))


def fetch_image(address: str, hosts: Sequence[str]) -> bytes:
    """The bytes of a file on the web.

    Args:
        address: an http or https URL.
        hosts: the hosts that may be asked, such as `example.org`, `*.example.org` or `*`, redirections included. `*`
            stands for no host of this machine or its network; these are named.

    Raises:
        ImageProblemError: the host is not among them, or the file cannot be fetched.
    """
    _check_host(address, hosts)
    return _fetched(address, tuple(hosts))


@lru_cache(maxsize=256)
def _fetched(address: str, hosts: tuple[str, ...]) -> bytes:
    try:
        # The package httpx is an extra.
        import httpx
    except ImportError as error:
        raise ImageProblemError(f"fetching {brief(address)} needs httpx: pip install 'axpo[search]'") from error
    deadline = time.monotonic() + TIMEOUT_S
    problem: Exception | None = None
    for _ in range(_ATTEMPTS):
        try:
            with httpx.Client(timeout=TIMEOUT_S) as client:
                return _follow(client, address, hosts, deadline)
        except httpx.TransportError as error:
            problem = error
        except httpx.HTTPError as error:
            raise ImageProblemError(f"cannot fetch {brief(address)}: {error}") from None
    raise ImageProblemError(f"cannot fetch {brief(address)}: {type(problem).__name__}: {problem}")


def _follow(client: Any, address: str, hosts: Sequence[str], deadline: float) -> bytes:
    for _ in range(_REDIRECTIONS + 1):
        _check_host(address, hosts)
        with client.stream("GET", address) as response:
            if response.is_redirect:
                address = urljoin(address, response.headers["location"])
                continue
            if response.status_code != 200:
                raise ImageProblemError(f"cannot fetch {brief(address)}: the host answers {response.status_code}")
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise ImageProblemError(f"{brief(address)} holds more than {MAX_BYTES >> 20} MiB")
                if time.monotonic() > deadline:
                    raise ImageProblemError(f"{brief(address)} was not fetched within {TIMEOUT_S:g} s")
            return bytes(data)
    raise ImageProblemError(f"{brief(address)} redirects more than {_REDIRECTIONS} times")


def _check_host(address: str, hosts: Sequence[str]) -> None:
    try:
        split = urlsplit(address)
        host = (split.hostname or "").lower()
    except ValueError as error:
        raise ImageProblemError(f"{brief(address)} is no address: {error}") from None
    if split.scheme.lower() not in ("http", "https") or not host:
        raise ImageProblemError(f"expected an http or https address; got {brief(address)}")
    if host in hosts:
        return
    if _is_near(host) or not any(fnmatchcase(host, pattern.lower()) for pattern in hosts):
        allowed = ", ".join(hosts) or "none"
        raise ImageProblemError(
            f"the address {brief(address)} is on a host that may not be asked: download it first, or name {host!r} in "
            f"image_hosts (now {allowed})"
        )


def _is_near(host: str) -> bool:
    """Whether a host is this machine or on its own network, as far as its name tells."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
