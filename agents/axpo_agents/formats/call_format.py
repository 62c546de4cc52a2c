"""Defines `CallFormat`, how a family of models writes tool calls, and `WrittenCall`, a call found in a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from axpo_envs.parsing import TextSpan
from axpo_envs.types import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """A call, or several that one opening begins, as a model wrote it."""

    span: TextSpan
    """Its characters in the turn."""
    opening: int
    """One past the last character of what opens it: where a continuation starts."""
    canonical: str
    """The same as the environment reads it, tags included; what is wrong with it stays wrong."""


class CallFormat(Protocol):
    """How a family writes tool calls."""

    @property
    def name(self) -> str:
        """What messages and documentation call it."""
        ...

    @property
    def native(self) -> bool:
        """Whether environments read it by themselves: `find` finds nothing then."""
        ...

    @property
    def example(self) -> str:
        """A call, as messages show it."""
        ...

    def find(self, text: str) -> tuple[WrittenCall, ...]:
        """The calls in a stretch of a turn outside thinking that the environment does not read by itself, in order.

        Takes any text and never raises.
        """
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
