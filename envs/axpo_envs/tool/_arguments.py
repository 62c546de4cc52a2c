"""Defines how tools with a schema of their own check what a policy passed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_envs.plumbing.brief import brief
from axpo_envs.tool.protocol import ToolArgumentError


def refuse_unknown(arguments: Mapping[str, Any], *known: str) -> None:
    """Makes sure that every argument is one that the tool has.

    Raises:
        ToolArgumentError: one is not.
    """
    if unknown := sorted(set(arguments) - set(known)):
        *others, last = known
        names = f"{', '.join(others)} and {last}" if others else last
        raise ToolArgumentError(f"unknown argument {brief(unknown[0])}; known are {names}")


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
