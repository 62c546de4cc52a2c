"""Defines how the tool `edit` reads its arguments: each action takes its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo_envs.backends.commands._build import path_problem
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import has_surrogates
from axpo_envs.tool._arguments import known_arguments, read_integer
from axpo_envs.tool.protocol import ToolArgumentError

ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "view": (),
    "replace": ("path", "old", "new"),
    "insert": ("path", "line", "text"),
    "create": ("path", "text"),
    "test": (),
}
"""What can be done, each with the arguments that it needs."""
_TAKEN: Final[Mapping[str, tuple[str, ...]]] = dict(ACTIONS) | {"view": ("path", "first", "last")}
_MOST_CHARS: Final = 100_000
_MOST_LINE: Final = 1_000_000


def read_edit(arguments: Mapping[str, Any], actions: Sequence[str]) -> dict[str, Any]:
    """The action with its own arguments.

    Args:
        arguments: what was passed.
        actions: those that there are.

    Raises:
        ToolArgumentError: there is no such action, one of its arguments is missing or does not fit, or the path leaves
            the repository.
    """
    given = known_arguments(arguments, "action", "path", "old", "new", "text", "first", "last", "line")
    action = given.get("action")
    if not isinstance(action, str) or action not in actions:
        raise ToolArgumentError(f"action must be one of {', '.join(actions)}; got {brief(action)}")
    if missing := [name for name in ACTIONS[action] if name not in given]:
        raise ToolArgumentError(f"{action} needs {', '.join(missing)}")
    if unused := sorted(set(given) - {"action", *_TAKEN[action]}):
        raise ToolArgumentError(f"{action} takes no {unused[0]}")
    read: dict[str, Any] = {"action": action}
    read |= {name: _read_text(given[name], name) for name in ("old", "new", "text") if name in given}
    if read.get("old") == "":
        raise ToolArgumentError("old must not be empty: insert puts text between lines")
    if "path" in given or action == "view":
        read["path"] = _read_path(given.get("path", ""), may_be_top=action == "view")
    return read | _read_lines(given)


def _read_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ToolArgumentError(f"{name} must be a string; got {brief(value)}")
    if len(value) > _MOST_CHARS:
        raise ToolArgumentError(f"{name} must have at most {_MOST_CHARS} characters; it has {len(value)}")
    if "\x00" in value or has_surrogates(value):
        raise ToolArgumentError(f"{name} holds a character that no text file can hold")
    return value


def _read_path(value: Any, *, may_be_top: bool) -> str:
    if not isinstance(value, str):
        raise ToolArgumentError(f"path must be a string; got {brief(value)}")
    path = value.removesuffix("/") if value != "/" else value
    while path.startswith("./"):
        path = path[2:]
    if may_be_top and path in ("", "."):
        return ""
    if problem := path_problem(path):
        raise ToolArgumentError(f"path: {problem}")
    return path


def _read_lines(given: Mapping[str, Any]) -> dict[str, int]:
    read = {}
    for name, least in (("first", 1), ("last", 1), ("line", 0)):
        if name in given:
            read[name] = read_integer(given, name, default=least, at_least=least, at_most=_MOST_LINE)
    if read.get("last", _MOST_LINE) < read.get("first", 1):
        raise ToolArgumentError(f"last must be at least first, {read['first']}; got {read['last']}")
    return read
