"""Defines `Choices`, turns taken by number, and three kinds of them: `Calls`, `Answers` and the user's own `Turns`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from axpo_envs.errors import EnvConfigError
from axpo_envs.examples import call_turn
from axpo_envs.tool.protocol import Tool
from axpo_envs.types import EpisodeState

Mask: TypeAlias = npt.NDArray[np.bool_]

_MOST_CALLS: Final = 1024
_MOST_INTEGERS: Final = 64


@runtime_checkable
class Choices(Protocol):
    """Turns of one kind, numbered from 0. What a number means may depend on the episode's state alone."""

    @property
    def calls_tool(self) -> bool:
        """Whether these turns call a tool, which the environment allows in so many turns only."""
        ...

    def __len__(self) -> int:
        """How many there are; the same in every state."""
        ...

    def turn(self, index: int, state: EpisodeState) -> str:
        """The turn of that number as text; any text will do where `allowed` says no."""
        ...

    def allowed(self, state: EpisodeState) -> Mask:
        """Which of them make sense, bool of shape (len,)."""
        ...


class Calls:
    """Calls of one tool with given arguments.

    Args:
        tool: the tool's name.
        arguments: the arguments of each choice.

    Raises:
        EnvConfigError: there are none.
    """

    calls_tool: Final = True

    def __init__(self, tool: str, arguments: Iterable[Mapping[str, Any]]) -> None:
        self._turns = tuple(call_turn(tool, given) for given in arguments)
        if not self._turns:
            raise EnvConfigError(f"choices of {tool!r}: expected at least one set of arguments; got none")

    @classmethod
    def of_schema(cls, tool: Tool) -> Self:
        """Every call that a tool's schema allows with its required arguments.

        They must be enumerations, booleans, or integers between bounds at most 64 apart; 1024 combinations at most.

        Raises:
            EnvConfigError: an argument has endless values, or there are too many combinations.
        """
        properties = tool.parameters.get("properties", {})
        names = tuple(tool.parameters.get("required", ()))
        values = [_values(tool.name, name, properties.get(name, {})) for name in names]
        if (combinations := math.prod(map(len, values))) > _MOST_CALLS:
            raise EnvConfigError(
                f"tool {tool.name!r}: expected at most {_MOST_CALLS} calls to choose from; its schema allows "
                f"{combinations}; list some with Calls({tool.name!r}, [...])"
            )
        return cls(tool.name, (dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)))

    def __len__(self) -> int:
        return len(self._turns)

    def turn(self, index: int, state: EpisodeState) -> str:
        """The call of that number."""
        del state
        return self._turns[index]

    def allowed(self, state: EpisodeState) -> Mask:
        """All of them."""
        del state
        return np.ones(len(self), np.bool_)


class Answers:
    """Final answers. Where a question has options, their letters beyond its last one are not allowed.

    Args:
        texts: what may be answered; a string is one answer per character.

    Raises:
        EnvConfigError: there are none.
    """

    calls_tool: Final = False

    def __init__(self, texts: Sequence[str]) -> None:
        if not texts:
            raise EnvConfigError("answers to choose from: expected at least one text; got none")
        self._texts = tuple(texts)

    def __len__(self) -> int:
        return len(self._texts)

    def turn(self, index: int, state: EpisodeState) -> str:
        """The answer of that number."""
        del state
        return f"<answer>{self._texts[index]}</answer>"

    def allowed(self, state: EpisodeState) -> Mask:
        """All of them, or the letters of the question's options where it has any."""
        letters = {chr(ord("A") + place) for place in range(len(state.question.options))}
        chosen = [not letters or text in letters for text in self._texts]
        return np.array(chosen if any(chosen) else [True] * len(self), np.bool_)


class Turns:
    """Turns that a function of the user's writes after each state, such as searches for what was just read.

    Args:
        write: state -> at most `size` turns, a pure function; numbers beyond the last are not allowed and lead to an
            empty turn.
        size: how many there are at most.
        calls_tool: whether they call a tool.

    Raises:
        EnvConfigError: the size is below 1.
    """

    def __init__(self, write: Callable[[EpisodeState], Sequence[str]], *, size: int, calls_tool: bool) -> None:
        if size < 1:
            raise EnvConfigError(f"turns to choose from: expected a size >= 1; got {size}")
        self._write = write
        self._size = size
        self.calls_tool = calls_tool

    def __len__(self) -> int:
        return self._size

    def turn(self, index: int, state: EpisodeState) -> str:
        """The turn of that number, empty where there is none."""
        turns = self._written(state)
        return turns[index] if index < len(turns) else ""

    def allowed(self, state: EpisodeState) -> Mask:
        """Those that were written."""
        return np.arange(self._size) < len(self._written(state))

    def _written(self, state: EpisodeState) -> Sequence[str]:
        turns = self._write(state)
        if len(turns) > self._size:
            raise ValueError(f"expected at most {self._size} turns to choose from; got {len(turns)}")
        return turns


def _values(tool: str, name: str, schema: Mapping[str, Any]) -> Sequence[Any]:
    if "enum" in schema:
        return tuple(schema["enum"])
    if "const" in schema:
        return (schema["const"],)
    if schema.get("type") == "boolean":
        return (False, True)
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") == "integer" and low is not None and high is not None and high - low < _MOST_INTEGERS:
        return tuple(range(int(low), int(high) + 1))
    raise EnvConfigError(
        f"tool {tool!r}: expected {name!r} to be an enumeration, a boolean or an integer between close bounds; got "
        f"{dict(schema)!r}; list the calls to choose from with Calls({tool!r}, [...])"
    )
