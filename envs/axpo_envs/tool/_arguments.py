"""Defines how tools with a schema of their own check what a policy passed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import has_surrogates
from axpo_envs.tool.protocol import ToolArgumentError


def known_arguments(arguments: Mapping[str, Any], *known: str, alias: str = "") -> dict[str, Any]:
    """The arguments, each of which the tool has, without those that are null, as models write what they leave out.

    Args:
        arguments: what was passed.
        known: the names that the tool's schema tells.
        alias: one that it takes besides.

    Raises:
        ToolArgumentError: there is one that the tool does not have.
    """
    if unknown := sorted(set(arguments) - {*known, alias}):
        *others, last = known
        names = f"{', '.join(others)} and {last}" if others else last
        raise ToolArgumentError(f"unknown argument {brief(unknown[0])}; known are {names}")
    return {name: value for name, value in arguments.items() if value is not None}


def read_integer(
    arguments: Mapping[str, Any], name: str, *, default: int, at_least: int, at_most: int | None = None
) -> int:
    """An argument that is an integer within bounds; the default where it is left out.

    Raises:
        ToolArgumentError: it is anything else.
    """
    value = arguments.get(name, default)
    integer = isinstance(value, int) and not isinstance(value, bool)
    if not integer or value < at_least or (at_most is not None and value > at_most):
        bounds = f"from {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise ToolArgumentError(f"{name} must be an integer {bounds}; got {brief(value)}")
    return int(value)


def read_numbers(value: Any, name: str, form: str) -> tuple[float, ...]:
    """As many numbers as the form lists.

    Args:
        value: what was passed.
        name: the argument's name, for messages.
        form: how it is written, such as `[x1, y1, x2, y2]`.

    Raises:
        ToolArgumentError: it is anything else, or a number is too large for a float.
    """
    count = form.count(",") + 1
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ToolArgumentError(f"{name} must be a list of {count} numbers, {form}; got {brief(value)}")
    for number in value:
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise ToolArgumentError(f"{name} must hold numbers; got {brief(number)}")
    try:
        return tuple(float(number) for number in value)
    except OverflowError:
        raise ToolArgumentError(f"{name} holds a number too large to be a coordinate") from None


def the_text(arguments: Mapping[str, Any], name: str, *, most: int, of: str) -> str:
    """The text that is all a tool takes.

    Args:
        arguments: what was passed.
        name: the argument.
        most: characters that it may have.
        of: what it is of, for messages: no text of it holds NUL or surrogates.

    Raises:
        ToolArgumentError: it is missing, no text, too long or none of `of`, or there is another argument.
    """
    text = known_arguments(arguments, name).get(name)
    if not isinstance(text, str):
        raise ToolArgumentError(f"{name} is missing" if text is None else f"{name} must be a string")
    if len(text) > most:
        raise ToolArgumentError(f"{name} must have at most {most} characters; it has {len(text)}")
    if "\x00" in text or has_surrogates(text):
        raise ToolArgumentError(f"{name} holds a character that no {of} can hold")
    return text
