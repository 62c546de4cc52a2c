"""Defines `Redactor`, which takes secrets out of what is recorded: by where they stand, and by what they look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from axpo_envs.governance.policy import Recording
from axpo_envs.plumbing.web import redact

REDACTED: Final = "[redacted]"
"""Stands in place of a secret."""

SECRET_NAMES: Final = (
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey", "api-key", "authorization"),
    *("cookie", "credential", "credentials", "private_key", "access_key", "cvv", "cvc", "pin", "iban", "card_number"),
    *("*_password", "*_secret", "*_token", "*_api_key", "*_private_key", "*-token", "*-secret"),
)
"""Names of arguments whose values are secrets, in any case."""

_WORDS: Final = r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|authorization|private[_-]?key|access[_-]?key"
SECRET_PATTERNS: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bhf_[A-Za-z0-9]{20,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i:\bbearer\s+[A-Za-z0-9._~+/=-]{8,})",
)
"""What secrets look like: keys and tokens of services, private keys, JSON web tokens."""
_PASSWORD_IN_ADDRESS: Final = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s/:@]{0,200}:)[^\s/@]{1,500}(?=@)")
_NAMED: Final = re.compile(rf"(?i)((?:{_WORDS})[\"']?\s{{0,9}}[:=]\s{{0,9}})(\"[^\"]*\"?|'[^']*'?|[^\s\"',;&}}]+)")
_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets out of arguments and texts."""

    fields: tuple[str, ...] = ()
    """Paths or last names of arguments, beside `SECRET_NAMES`."""
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
        return self._value(given, schema, ())

    def text(self, text: str) -> str:
        """A text without what looks like a secret, and without the keys that this process was given."""
        text = redact(text)
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        text = _PASSWORD_IN_ADDRESS.sub(rf"\1{REDACTED}", text)
        text = _NAMED.sub(rf"\1{REDACTED}", text)
        return _CARD.sub(lambda found: REDACTED if _is_card(found[0]) else found[0], text)

    def _value(self, value: Any, schema: Any, path: tuple[str, ...]) -> Any:
        if path and (self._is_secret(path) or _declared_secret(schema)):
            return REDACTED
        if isinstance(value, Mapping):
            inner = schema.get("properties") if isinstance(schema, Mapping) else None
            known = inner if isinstance(inner, Mapping) else {}
            return {
                self.text(str(name)): self._value(part, known.get(name), (*path, str(name)))
                for name, part in value.items()
            }
        if isinstance(value, list | tuple):
            items = schema.get("items") if isinstance(schema, Mapping) else None
            return [self._value(part, items, (*path, str(number))) for number, part in enumerate(value)]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool) and _is_card(str(value)):
            return REDACTED
        return value

    def _is_secret(self, path: tuple[str, ...]) -> bool:
        last, whole = path[-1], ".".join(path)
        return any(fnmatchcase(last.lower(), name) for name in SECRET_NAMES) or any(
            fnmatchcase(last, name) or fnmatchcase(whole, name) for name in self.fields
        )


def _declared_secret(schema: Any) -> bool:
    return isinstance(schema, Mapping) and (schema.get("writeOnly") is True or schema.get("format") == "password")


def _is_card(text: str) -> bool:
    """Whether a text is the number of a payment card: 13 to 19 digits whose checksum (Luhn) is right."""
    digits = [int(digit) for digit in text if digit.isascii() and digit.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
