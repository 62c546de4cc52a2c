"""Defines `EnvironmentKey`, a secret that is never anywhere but in its environment variable."""

from __future__ import annotations

import os

from axpo_envs.errors import EnvConfigError


class EnvironmentKey:
    """A key that stays in its environment variable: this object never holds it, so nobody can print or pickle it.

    Args:
        variable: name of the environment variable.
    """

    __slots__ = ("variable",)

    def __init__(self, variable: str) -> None:
        self.variable = variable

    def __repr__(self) -> str:
        return f"EnvironmentKey({self.variable})"

    def read(self) -> str:
        """The key.

        Raises:
            EnvConfigError: it is missing, or holds what no key does.
        """
        key = os.environ.get(self.variable, "").strip()
        if not key:
            raise EnvConfigError(f"set the environment variable {self.variable} to the key of the service")
        if not all("!" <= character <= "~" for character in key):
            raise EnvConfigError(f"{self.variable} holds a space or another character that no key has")
        return key

    def hide(self, text: str) -> str:
        """The text with the variable's name in place of the key, wherever it occurs."""
        key = os.environ.get(self.variable, "").strip()
        return text.replace(key, f"[{self.variable}]") if key else text
