"""Defines `Redactor`, which takes secrets out of what is recorded: by where they stand, and by what they look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from axpo_envs.governance.audit_log._secrets import REDACTED, SECRET_PATTERNS, is_card, names_secret, without_secrets
from axpo_envs.governance.policy import Recording
from axpo_envs.plumbing.strict_json import JsonError, read_json

_COMBINING: Final = ("anyOf", "oneOf", "allOf")
_PAIRED: Final = ("name", "key", "header", "field")
_MOST_SCHEMAS: Final = 100


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets out of arguments and texts."""

    fields: tuple[str, ...] = ()
    """Paths or last names of arguments, beside those that are called like secrets."""
    patterns: tuple[re.Pattern[str], ...] = field(default_factory=lambda: tuple(map(re.compile, SECRET_PATTERNS)))
    """What secrets look like."""

    @classmethod
    def of(cls, recording: Recording) -> Redactor:
        """What a policy wants taken out."""
        own = tuple(map(re.compile, (*recording.secret_patterns, *SECRET_PATTERNS)))
        return cls(recording.secret_fields, own)

    def arguments(self, given: Any, schema: Mapping[str, Any] | None = None) -> Any:
        """JSON without the values of secret fields, and without what looks like a secret in its texts and names.

        Args:
            given: the JSON.
            schema: that of the arguments; what it calls `writeOnly`, or of the format `password`, is secret.
        """
        return self._value(given, _Schemas.of(schema), ())

    def text(self, text: str) -> str:
        """A text without what looks like a secret, and without the keys that this process was given.

        Of a text that is JSON, secret fields are taken out, too.
        """
        return self._text(text, ())

    def _text(self, text: str, path: tuple[str, ...]) -> str:
        if text.lstrip()[:1] in ("{", "["):
            try:
                data = read_json(text, halves=True)
            except JsonError:
                return without_secrets(text, self.patterns)
            kept = self._value(data, _Schemas(), path)
            if kept != data:
                text = json.dumps(kept, ensure_ascii=False)
        return without_secrets(text, self.patterns)

    def _value(self, value: Any, schemas: _Schemas, path: tuple[str, ...]) -> Any:
        if path and (self._is_secret(path) or schemas.secret):
            return REDACTED
        if isinstance(value, Mapping):
            hidden = _paired(value)
            return {
                self.text(str(name)): REDACTED
                if name == hidden
                else self._value(part, schemas.member(str(name)), (*path, str(name)))
                for name, part in value.items()
            }
        if isinstance(value, list | tuple):
            if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str) and names_secret(value[0]):
                # A header, as some clients want them.
                return [value[0], REDACTED]
            return [
                self._value(part, schemas.element(number), (*path, str(number))) for number, part in enumerate(value)
            ]
        if isinstance(value, str):
            return self._text(value, path)
        return REDACTED if _is_card_number(value) else value

    def _is_secret(self, path: tuple[str, ...]) -> bool:
        last, whole = path[-1], ".".join(path)
        return names_secret(last) or any(fnmatchcase(last, name) or fnmatchcase(whole, name) for name in self.fields)


@dataclass(frozen=True, slots=True)
class _Schemas:
    """All schemas that speak of a value: alternatives and references are followed."""

    parts: tuple[Mapping[str, Any], ...] = ()
    """The schemas."""
    defined: Mapping[str, Any] = field(default_factory=dict)
    """What is referred to, by `#/$defs/NAME`."""

    @classmethod
    def of(cls, schema: Any) -> _Schemas:
        if not isinstance(schema, Mapping):
            return cls()
        defined = {
            f"#/{where}/{name}": one
            for where in ("$defs", "definitions")
            if isinstance(schema.get(where), Mapping)
            for name, one in schema[where].items()
        }
        return cls((), {"#": schema, **defined})._with([schema])

    def member(self, name: str) -> _Schemas:
        """Those of a member of an object."""
        return self._with(list(self._of_member(name)))

    def element(self, number: int) -> _Schemas:
        """Those of an element of a list."""
        found = []
        for part in self.parts:
            first = part.get("prefixItems")
            ordered = first if isinstance(first, list) else ()
            found.append(ordered[number] if number < len(ordered) else part.get("items"))
        return self._with(found)

    @property
    def secret(self) -> bool:
        """Whether one of them calls the value a secret."""
        return any(part.get("writeOnly") is True or part.get("format") == "password" for part in self.parts)

    def _of_member(self, name: str) -> Iterator[Any]:
        for part in self.parts:
            known = part.get("properties")
            if isinstance(known, Mapping) and name in known:
                yield known[name]
            else:
                yield part.get("additionalProperties")

    def _with(self, found: Sequence[Any]) -> _Schemas:
        ahead: list[Any] = list(found)
        parts: list[Mapping[str, Any]] = []
        while ahead and len(parts) < _MOST_SCHEMAS:
            schema = ahead.pop(0)
            if not isinstance(schema, Mapping) or any(schema is part for part in parts):
                continue
            parts.append(schema)
            ahead.append(self.defined.get(str(schema.get("$ref"))))
            for word in _COMBINING:
                ahead += schema[word] if isinstance(schema.get(word), list) else ()
        return _Schemas(tuple(parts), self.defined)


def _is_card_number(value: Any) -> bool:
    if isinstance(value, float) and value.is_integer():
        return is_card(f"{value:.0f}")
    return isinstance(value, int) and not isinstance(value, bool) and is_card(str(value))


def _paired(value: Mapping[str, Any]) -> str:
    """The member that holds what another one names, as in `{"name": "Authorization", "value": "..."}`."""
    named = any(isinstance(value.get(name), str) and names_secret(value[name]) for name in _PAIRED)
    return "value" if named else ""
