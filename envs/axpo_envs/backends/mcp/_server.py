"""Defines `McpServer`: where an MCP server is, or how it is started."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.redaction import register_secret

_SECRET_NAME: Final = re.compile("key|token|secret|passw|credential|auth|cookie|session", re.IGNORECASE)
_LONG_CHARS: Final = 16
"""Characters from which a value of an address's query is taken for a key, whatever its name."""
_SCHEMES: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class McpServer:
    """A command that is run and spoken to over its standard streams, or the address of a server of streamable HTTP.

    Secrets stay in environment variables: only their names stand here.

    Raises:
        EnvConfigError: there is neither command nor address, or both, or a limit is not positive.
    """

    command: tuple[str, ...] = ()
    """Program and arguments."""
    url: str = ""
    """Address such as `http://127.0.0.1:8000/mcp`; what follows a `?` is shown nowhere, for it may be a key."""
    environment: tuple[str, ...] = ()
    """Environment variables that a command gets besides `PATH`, `HOME` and the like: `NAME` hands on this process's,
    `NAME=value` sets one."""
    folder: str | None = None
    """Working directory of a command; None for this process's."""
    key_variable: str | None = None
    """Environment variable whose value is sent to an address as `Authorization: Bearer`."""
    start_s: float = 60.0
    """Seconds within which a connection must stand, all attempts and the waits between them included."""
    retries: Retries = field(default_factory=lambda: Retries(attempts=3), repr=False, compare=False)
    """How often, and with which waits in between, a connection is tried before a fault is raised."""

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise EnvConfigError(f"an MCP server has either a command or a URL; got {self!r}")
        if self.url and (not self.url.startswith(_SCHEMES) or "@" in urlsplit(self.url).netloc):
            raise EnvConfigError(f"expected a URL http://... or https://... without user and password; got {self!r}")
        if not self.start_s > 0:
            raise EnvConfigError(f"expected start_s > 0 seconds; got {self.start_s}")
        self._register_secrets()

    def __str__(self) -> str:
        if not self.url:
            return f"MCP server {shlex.join(self.command)}"
        parts = urlsplit(self.url)
        return f"MCP server {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def __repr__(self) -> str:
        return f"<{self}>"

    @classmethod
    def of(cls, given: str | Sequence[str] | McpServer) -> McpServer:
        """Reads a URL, a command as one text (parted as a shell does) or as a sequence.

        Raises:
            EnvConfigError: it is none of these.
        """
        if isinstance(given, McpServer):
            return given
        if isinstance(given, str):
            if given.startswith(_SCHEMES):
                return cls(url=given)
            try:
                return cls(command=tuple(shlex.split(given)))
            except ValueError as error:
                raise EnvConfigError(f"expected a command or a URL; got {given!r}: {error}") from None
        if isinstance(given, Sequence) and all(isinstance(part, str) for part in given):
            return cls(command=tuple(given))
        raise EnvConfigError(f"expected an MCP server's command or URL; got {given!r:.100}")

    def environment_values(self) -> dict[str, str]:
        """The variables of `environment` with their values.

        Raises:
            EnvConfigError: one that is to be handed on is not set.
        """
        for name in self.environment:
            if "=" not in name and name not in os.environ:
                raise EnvConfigError(f"{self}: set the environment variable {name}, which the server is to be given")
        given = (variable.partition("=") for variable in self.environment)
        return {name: value if equals else os.environ[name] for name, equals, value in given}

    def _register_secrets(self) -> None:
        """Has what may be a key taken out of texts: variables that are handed on, and what an address's query holds."""
        for variable in self.environment:
            name, equals, value = variable.partition("=")
            if _SECRET_NAME.search(name):
                register_secret(name, value if equals else None)
        for name, value in parse_qsl(urlsplit(self.url).query):
            if _SECRET_NAME.search(name) or len(value) >= _LONG_CHARS:
                register_secret(f"{name} of {self}", value)

    @property
    def key(self) -> EnvironmentKey | None:
        """The key that is sent to an address."""
        return None if self.key_variable is None else EnvironmentKey(self.key_variable)
