"""Defines `type_arguments`, which gives arguments written as bare texts the types that a tool's schema asks for.

| the schema admits | the text | becomes |
|---|---|---|
| text only | any | itself |
| no text | JSON | its value (`True`, `False` and `None` are read, too) |
| no text | anything else | itself, for the tool to refuse in its own words |
| text and more | `null`, where null is admitted | null |
| text and more | a JSON object or array, where such are admitted | its value |
| text and more | one of an `enum`'s values that is no text | that value |
| text and more | anything else | itself |

What a schema admits is read from `type`, `enum`, `const` and `nullable`, through `$ref`, `allOf`, `anyOf`, `oneOf`,
`then` and `else`; where there is none of these, from keywords that speak of one type (`properties` of objects, say).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.plumbing.strict_json import JsonError, read_json
from axpo_envs.tool._schema_references import resolve

_ALL: Final = frozenset(("string", "number", "integer", "boolean", "null", "object", "array"))
_KEYWORDS: Final = {
    "object": (
        *("properties", "patternProperties", "additionalProperties", "propertyNames", "required"),
        *("minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "unevaluatedProperties"),
    ),
    "array": ("items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("pattern", "minLength", "maxLength", "format", "contentEncoding", "contentMediaType"),
}
_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    str: "string",
    int: "integer",
    float: "number",
    list: "array",
}
_PYTHON_WORDS: Final[Mapping[str, bool | None]] = {"True": True, "False": False, "None": None}
_MAX_DEPTH: Final = 128


def type_arguments(arguments: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the types that a schema asks for.

    Args:
        arguments: their texts, by name.
        schema: the JSON schema of all of them together.
    """
    reader = _Reader(schema)
    return {name: reader.typed(text, reader.member(schema, name)) for name, text in arguments.items()}


class _Reader:
    """Reads one schema document. Each part is read once, however many references lead to it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        # By identity. The parts are kept with what was read: identities of the forgotten are given anew.
        self._members: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._admitted: dict[int, tuple[Any, frozenset[str]]] = {}

    def member(self, schema: Any, name: str, depth: int = 0) -> Any:
        """The schema of an object's member, put together of all that speaks of it; None where nothing does."""
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return None
        key = id(schema), name
        if key not in self._members:
            self._members[key] = schema, None
            self._members[key] = schema, self._read_member(schema, name, depth + 1)
        return self._members[key][1]

    def admitted(self, schema: Any, depth: int = 0) -> frozenset[str]:
        """The types that a schema admits."""
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return _ALL
        key = id(schema)
        if key not in self._admitted:
            self._admitted[key] = schema, _ALL
            self._admitted[key] = schema, self._read_admitted(schema, depth + 1)
        return self._admitted[key][1]

    def typed(self, text: str, schema: Any) -> Any:
        """The value that a text stands for."""
        admitted = _ALL if schema is None else self.admitted(schema)
        try:
            value = read_json(text)
        except JsonError:
            return text if "string" in admitted else _PYTHON_WORDS.get(text.strip(), text)
        # An argument that nothing speaks of stays as it was written.
        if schema is None:
            return text
        nests = isinstance(value, dict | list | None)
        if "string" not in admitted or (nests and _kind(value) in admitted):
            return value
        values = self._values(schema)
        listed = any(type(value) is type(one) and value == one for one in values)
        return value if listed and text not in values else text

    def _read_member(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        properties, additional = schema.get("properties"), schema.get("additionalProperties")
        parts: list[Any] = []
        if isinstance(properties, Mapping) and name in properties:
            parts.append(properties[name])
        elif isinstance(additional, Mapping):
            parts.append(additional)
        every = (self.member(part, name, depth) for part in self._all_of(schema))
        parts += [part for part in every if part is not None]
        for choices in _choices(schema):
            some = (self.member(choice, name, depth) for choice in choices)
            if known := [choice for choice in some if choice is not None]:
                parts.append({"anyOf": known})
        return {"allOf": parts} if parts else None

    def _read_admitted(self, schema: Mapping[str, Any], depth: int) -> frozenset[str]:
        admitted = _declared(schema)
        for part in self._all_of(schema):
            admitted &= self.admitted(part, depth)
        for choices in _choices(schema):
            admitted &= frozenset().union(*(self.admitted(choice, depth) for choice in choices))
        if admitted == _ALL:
            return frozenset(kind for kind, words in _KEYWORDS.items() if any(word in schema for word in words)) or _ALL
        return admitted

    def _values(self, schema: Any) -> list[Any]:
        """The values that `enum` and `const` list."""
        values: list[Any] = []
        waiting, seen = [schema], set[int]()
        while waiting:
            part = waiting.pop()
            if not isinstance(part, Mapping) or id(part) in seen:
                continue
            seen.add(id(part))
            values += part["enum"] if isinstance(part.get("enum"), list) else []
            values += [part["const"]] if "const" in part else []
            waiting += [*self._all_of(part), *(choice for choices in _choices(part) for choice in choices)]
        return values

    def _all_of(self, schema: Mapping[str, Any]) -> list[Any]:
        """The schemas that hold besides this one."""
        both = schema.get("allOf")
        parts = list(both) if isinstance(both, list) else []
        return parts + [resolve(schema[word], self._root) for word in ("$ref", "$dynamicRef") if word in schema]


def _choices(schema: Mapping[str, Any]) -> list[list[Any]]:
    """The lists of schemas of each of which one holds."""
    lists = [schema[word] for word in ("anyOf", "oneOf") if isinstance(schema.get(word), list) and schema[word]]
    if "then" in schema and "else" in schema:
        lists.append([schema["then"], schema["else"]])
    return lists


def _declared(schema: Mapping[str, Any]) -> frozenset[str]:
    """What `type`, `enum` and `const` admit by themselves."""
    admitted = _ALL
    given = schema.get("type")
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    if known := frozenset(name for name in names if isinstance(name, str)) & _ALL:
        admitted = known | {"integer"} if "number" in known else known
        if schema.get("nullable") is True:
            admitted |= {"null"}
    if isinstance(schema.get("enum"), list):
        admitted &= frozenset(_kind(value) for value in schema["enum"])
    if "const" in schema:
        admitted &= {_kind(schema["const"])}
    return admitted


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "object")
