"""Defines `read_signature`, which makes a model of a typed function's arguments and their JSON schema."""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pydantic
import pydantic_core

from axpo_envs.errors import EnvConfigError
from axpo_envs.tool._argument_work import check_work
from axpo_envs.tool.protocol import ToolArgumentError, ToolContext

STATE_PARAMETER: Final = "state"
"""The parameter in which a stateful function gets its state."""

_PLAIN_KINDS: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SHOWN_PROBLEMS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a policy may pass to a function, and what the environment fills in."""

    arguments: type[pydantic.BaseModel]
    """Validates the arguments; its fields have the parameters' names as aliases, so that any name will do."""
    parameters: Mapping[str, Any]
    """JSON schema of the arguments."""
    context_parameter: str | None
    """The parameter that takes the `ToolContext`; None without one."""

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as the function's types want them; left-out ones stay out, for the function's own defaults.

        Raises:
            ToolArgumentError: one is missing, unknown or of another type (nothing is coerced); or they are too many.
        """
        check_work(arguments, self.parameters)
        try:
            model = self.arguments.model_validate_json(json.dumps(arguments), strict=True)
        except pydantic.ValidationError as error:
            raise ToolArgumentError(_describe(error, self.parameters)) from None
        fields = self.arguments.model_fields
        return {str(fields[name].alias): getattr(model, name) for name in fields if name in model.model_fields_set}


def read_signature(
    function: Callable[..., Any], name: str, descriptions: Mapping[str, str], *, keeps_state: bool
) -> Signature:
    """Reads a function's parameters.

    Args:
        function: the function.
        name: the tool's name, for messages.
        descriptions: what its parameters mean, for the policy.
        keeps_state: the parameter `state` is no argument of the policy's.

    Raises:
        EnvConfigError: a parameter cannot be described to a policy, or the state has no parameter.
    """
    try:
        hints = typing.get_type_hints(_annotated(function), include_extras=True)
    except NameError as error:
        raise EnvConfigError(f"tool {name!r}: cannot resolve its annotations: {error}") from error
    parameters = dict(inspect.signature(function).parameters)
    for parameter in parameters.values():
        if parameter.kind not in _PLAIN_KINDS:
            where = f"tool {name!r}, parameter {parameter.name!r}"
            raise EnvConfigError(f"{where}: expected a plain parameter; got a {parameter.kind.description} one")
    if keeps_state and parameters.pop(STATE_PARAMETER, None) is None:
        raise EnvConfigError(f"tool {name!r} keeps a state and needs a parameter {STATE_PARAMETER!r} to get it in")
    context = next((parameter for parameter in parameters if _is_context(hints.get(parameter))), None)
    if context is not None:
        del parameters[context]
    model = _model(name, parameters, hints, descriptions)
    return Signature(arguments=model, parameters=_schema(model), context_parameter=context)


def _annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """What bears the annotations of a function, a `functools.partial` or an object that is called."""
    if isinstance(function, functools.partial):
        return _annotated(function.func)
    return function if inspect.isroutine(function) else type(function).__call__


def _is_context(hint: Any) -> bool:
    return hint is ToolContext or ToolContext in typing.get_args(hint)


def _model(
    name: str, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], descriptions: Mapping[str, str]
) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {}
    for index, (parameter_name, parameter) in enumerate(parameters.items()):
        where = f"tool {name!r}, parameter {parameter_name!r}"
        if parameter_name not in hints:
            method = "; of a method, make a tool of a bound one: tool(thing.method)" if parameter_name == "self" else ""
            raise EnvConfigError(f"{where} needs a type annotation: its JSON schema is made of it{method}")
        settings: dict[str, Any] = {"alias": parameter_name, **_default(parameter, where)}
        if parameter_name in descriptions:
            settings["description"] = descriptions[parameter_name]
        fields[f"argument_{index}"] = (hints[parameter_name], pydantic.Field(**settings))
        _check_type(hints[parameter_name], where)
    return pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)


def _check_type(hint: Any, where: str) -> None:
    try:
        pydantic.TypeAdapter(hint).json_schema()
    except pydantic.PydanticUserError as error:
        expected = "expected a type that JSON can hold (numbers, texts, lists, enums, dataclasses, pydantic models)"
        raise EnvConfigError(f"{where}: {expected}; got {hint}") from error
    except pydantic_core.SchemaError as error:
        problem = " ".join(str(error).split())
        raise EnvConfigError(f"{where}: its constraints cannot be checked: {problem}") from error


def _default(parameter: inspect.Parameter, where: str) -> dict[str, Any]:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return {}
    if isinstance(default, list | dict | set | bytearray):
        raise EnvConfigError(
            f"{where}: the default {default!r} is mutable, which is a hidden state; use None or a tuple"
        )
    try:
        pydantic_core.to_jsonable_python(default)
    except pydantic_core.PydanticSerializationError:
        # A factory keeps a default without JSON form out of the schema and the parameter optional.
        return {"default_factory": lambda: default}
    return {"default": default}


def _schema(arguments: type[pydantic.BaseModel]) -> dict[str, Any]:
    titleless: dict[str, Any] = _without_titles(arguments.model_json_schema())
    return {"type": "object", "properties": {}, **titleless}


def _without_titles(schema: Any) -> Any:
    """The schema without the titles that pydantic derives from names: tokens that tell a policy nothing."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            kept[key] = {name: _without_titles(child) for name, child in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            kept[key] = value
        elif key != "title":
            kept[key] = _without_titles(value)
    return kept


def _describe(error: pydantic.ValidationError, schema: Mapping[str, Any]) -> str:
    """The first problems in words that a policy can act on."""
    problems = []
    for detail in error.errors(include_url=False, include_context=False):
        place = ".".join(str(item) for item in detail["loc"]) or "the arguments"
        if detail["type"] == "missing":
            problems.append(f"{place} is missing")
        elif detail["type"] == "extra_forbidden":
            known = ", ".join(schema.get("properties", {})) or "none"
            problems.append(f"{place} is no argument (the arguments are: {known})")
        else:
            got = json.dumps(detail["input"], ensure_ascii=False, default=str)
            got = got if len(got) <= 80 else got[:80] + "..."
            problems.append(f"{place}: {detail['msg'][0].lower()}{detail['msg'][1:]}, got {got}")
    more = len(problems) - _SHOWN_PROBLEMS
    return "; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
