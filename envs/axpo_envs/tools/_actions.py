"""Defines `Action` and `ActionSchema`: the arguments of a tool that does one of several things, its `action`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import known_arguments
from axpo_envs.tool.protocol import ToolArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One of the things that a tool does."""

    needs: tuple[str, ...] = ()
    """Arguments that must be given."""
    takes: tuple[str, ...] = ()
    """Arguments that may be given besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSchema:
    """What a tool with actions takes."""

    actions: Mapping[str, Action]
    """The actions by name; the first is one that needs nothing more."""
    properties: Mapping[str, Mapping[str, Any]]
    """JSON schema of every argument but `action`: texts with `maxLength`, integers with bounds, choices (`enum`);
    arguments of other types are checked by the tool."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        choice = {"type": "string", "enum": list(self.actions), "description": "What to do."}
        return {
            "type": "object",
            "properties": {"action": choice, **self.properties},
            "required": ["action"],
            "additionalProperties": False,
        }

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that were given, null ones left out.

        Raises:
            ToolArgumentError: one is missing, unknown, of no use to the action, or no value that it takes.
        """
        given = known_arguments(arguments, "action", *self.properties)
        name = given.pop("action", None)
        if not isinstance(name, str) or name not in self.actions:
            got = "it is missing" if name is None else f"got {brief(name)}"
            raise ToolArgumentError(f"action must be one of {', '.join(self.actions)}; {got}")
        action = self.actions[name]
        if missing := [need for need in action.needs if need not in given]:
            raise ToolArgumentError(f"the action {name} needs {', '.join(missing)}")
        if useless := [one for one in given if one not in (*action.needs, *action.takes)]:
            raise ToolArgumentError(f"the action {name} does not take {', '.join(useless)}")
        for argument, value in given.items():
            _check(argument, value, self.properties[argument])
        return {"action": name, **given}


def _check(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    match schema.get("type"):
        case "string":
            _check_text(name, value, schema)
        case "integer":
            low, high = schema["minimum"], schema["maximum"]
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ToolArgumentError(f"{name} must be an integer from {low} to {high}; got {brief(value)}")
        case "boolean":
            if not isinstance(value, bool):
                raise ToolArgumentError(f"{name} must be true or false; got {brief(value)}")


def _check_text(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    choices = schema.get("enum")
    if choices is not None and value not in choices:
        raise ToolArgumentError(f"{name} must be one of {', '.join(choices)}; got {brief(value)}")
    least, most = schema.get("minLength", 0), schema.get("maxLength", 10**9)
    if not isinstance(value, str) or not least <= len(value.strip()) or len(value) > most:
        got = f"{len(value)} characters" if isinstance(value, str) else brief(value)
        raise ToolArgumentError(f"{name} must be a text of {least} to {most} characters; got {got}")
