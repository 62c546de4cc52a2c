"""Defines `python_signature`, a tool's JSON schema as the typed function that libraries read tools from."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Union

from axpo_envs.errors import EnvConfigError
from axpo_envs.tool._schema_references import resolve
from axpo_envs.tool.protocol import Tool

_TYPES: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonSignature:
    """A tool as a function: what `inspect.signature`, `typing.get_type_hints` and `inspect.getdoc` are to find."""

    parameters: tuple[inspect.Parameter, ...]
    """Keyword-only parameters, annotated; those that the schema does not require default to None."""
    docstring: str
    """Google style: the tool's description, then a line for every argument."""

    @property
    def annotations(self) -> dict[str, Any]:
        """The type of every parameter."""
        return {parameter.name: parameter.annotation for parameter in self.parameters}


def python_signature(tool: Tool) -> PythonSignature:
    """What a library that reads tools from typed functions is to read of a tool.

    Names, descriptions, which arguments are required, enumerations, and the types of items of arrays survive; lengths,
    bounds and the fields of nested objects do not. The tool's own schema checks every call all the same, and tells the
    policy what was wrong.

    Raises:
        EnvConfigError: an argument's name is no Python name.
    """
    schema = tool.parameters
    required = set(schema.get("required", ()))
    parameters, lines = [], []
    for name, described in schema.get("properties", {}).items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise EnvConfigError(
                f"tool {tool.name!r}: expected arguments with Python names, for a library that reads tools from "
                f"functions; got {name!r}"
            )
        hint = _hint(described, schema)
        default = inspect.Parameter.empty if name in required else None
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default))
        lines.append(f"    {name}: {_one_line(_described(described, schema)) or name}")
    text = tool.description.strip()
    if lines:
        text += "\n\nArgs:\n" + "\n".join(lines)
    return PythonSignature(parameters=tuple(parameters), docstring=text)


def _described(schema: Any, root: Mapping[str, Any]) -> str:
    target = resolve(schema["$ref"], root) if isinstance(schema, Mapping) and "$ref" in schema else {}
    found = (part.get("description") for part in (schema, target) if isinstance(part, Mapping))
    return next((text for text in found if isinstance(text, str)), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _hint(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return Any
    if "$ref" in schema:
        return _hint(resolve(schema["$ref"], root), root, depth + 1)
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return Literal[tuple(values)] if all(isinstance(v, str | int | bool) for v in values) else Any
    kind = schema.get("type", "object" if "properties" in schema else None)
    several = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(kind, list):
        several = [{**schema, "type": one} for one in kind]
    if several:
        hints = [_hint(one, root, depth + 1) for one in several]
        return Any if Any in hints else Union[tuple(hints)]  # noqa: UP007  # made of a schema
    items = _hint(schema.get("items"), root, depth + 1) if kind == "array" else Any
    return _TYPES.get(str(kind), Any) if items is Any else list[items]  # type: ignore[valid-type]  # made of a schema
