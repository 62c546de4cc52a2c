"""Defines `CallFormat`, how a family of models writes tool calls, and `WrittenCall`, a call in a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from axpo_envs.parsing import TextSpan
from axpo_envs.types import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """A call, or several that one opening begins, as a model wrote it."""

    stop: int
    """One past its last character."""
    canonical: str | None
    """The same as the environment reads it, tags included, whatever is wrong with it; None where it is no call."""


class CallFormat(Protocol):
    """How a family writes tool calls."""

    @property
    def name(self) -> str:
        """What messages and documentation call it."""
        ...

    @property
    def native(self) -> bool:
        """Whether environments read it by themselves."""
        ...

    @property
    def example(self) -> str:
        """A call, as messages show it."""
        ...

    def opening(self, text: str, start: int) -> TextSpan | None:
        """What opens the next call of a turn from `start` on; always None for a native format. Never raises."""
        ...

    def read(self, text: str, opening: TextSpan) -> WrittenCall:
        """The call behind an opening. Never raises."""
        ...

    def write(self, call: ToolCall) -> str:
        """A call as the family writes it.

        Args:
            call: its arguments are a JSON object.
        """
        ...

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds a call in this format."""
        ...

    def asked_for(self, prompt: str) -> bool:
        """Whether a prompt tells the model, in words, to write calls so."""
        ...
