"""Defines `EnvironmentKey`, a secret that is never anywhere but in its environment variable."""

from __future__ import annotations

import os

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.web.redaction import register_secret


class EnvironmentKey:
    """A key that stays in its environment variable: this object never holds it, so nobody can print or pickle it.

    From its making on `redact` takes the key out of texts.

    Args:
        variable: name of the environment variable.
    """

    __slots__ = ("variable",)

    def __init__(self, variable: str) -> None:
        self.variable = variable
        register_secret(variable)

    def __reduce__(self) -> tuple[type[EnvironmentKey], tuple[str]]:
        return EnvironmentKey, (self.variable,)

    def __repr__(self) -> str:
        return f"EnvironmentKey({self.variable})"

    def read(self) -> str:
        """The key.

        Raises:
            EnvConfigError: it is missing, or holds what no key does.
        """
        problem = self._problem()
        if problem is not None:
            raise EnvConfigError(problem)
        return self._value()

    # What raises has no local variable that holds the key: some loggers write those down.
    def _problem(self) -> str | None:
        if not self._value():
            return f"set the environment variable {self.variable} to the key of the service"
        if not all("!" <= character <= "~" for character in self._value()):
            return f"{self.variable} holds a space or another character that no key has"
        return None

    def _value(self) -> str:
        return os.environ.get(self.variable, "").strip()
