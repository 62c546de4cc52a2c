"""Defines what secrets look like, and what is called like one: `without_secrets` and `names_secret`."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

from axpo_envs.plumbing.web import redact

REDACTED: Final = "[redacted]"
"""Stands in place of a secret."""

SECRET_NAMES: Final = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "apikey", "authorization", "cookie"),
    *("credential", "credentials", "cvv", "cvc", "pin", "iban", "card_number", "*_password", "*_passphrase"),
    *("*_secret", "*_token", "*_cookie", "*_authorization", "*api_key", "*private_key", "*access_key", "*secret_key"),
)
"""Names of arguments whose values are secrets; `accessToken`, `Access-Token` and `access_token` are one name."""

SECRET_PATTERNS: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bhf_[A-Za-z0-9]{20,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i:\bbearer\s+[A-Za-z0-9._~+/=-]{8,})",
)
"""What secrets look like: keys and tokens of services, private keys, JSON web tokens."""

_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)|secret|token|api[_-]?key|authorization|private[_-]?key|access[_-]?key|secret[_-]?key"
)
_VALUE: Final = (
    r"\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|(?:basic|bearer|digest|token)\s+[^\s\"',;&}]+|[^\s\"',;&}\\]+"
)
_PASSWORD_IN_ADDRESS: Final = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s/:@]{0,200}:)[^\s/]{1,500}(?=@)")
_NAMED: Final = re.compile(rf"(?i)((?:{_WORDS})[\"']?\s{{0,9}}[:=]\s{{0,9}})({_VALUE})", re.DOTALL)
# JSON within a text within JSON: its quotes are escaped, once or more often.
_NAMED_ESCAPED: Final = re.compile(
    rf"(?i)((?:{_WORDS})(\\+[\"'])\s{{0,9}}[:=]\s{{0,9}}\2)(.{{1,2000}}?)(?=\2|\Z)", re.DOTALL
)
_OPTION: Final = re.compile(
    rf"(?i)((?<![\w-])--?[a-z-]{{0,40}}(?:{_WORDS})\s{{1,9}})(\"[^\"]*\"?|'[^']*'?|[^\s\"'-][^\s\"']*)"
)
_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def names_secret(name: str) -> bool:
    """Whether what is called so is a secret."""
    plain = _HUMP.sub("_", name.strip()).replace("-", "_").replace(" ", "_").lower()
    return any(fnmatchcase(plain, secret) for secret in SECRET_NAMES)


def without_secrets(text: str, patterns: tuple[re.Pattern[str], ...]) -> str:
    """A text without what looks like a secret, and without the keys that this process was given.

    Args:
        text: the text.
        patterns: what secrets look like, beside passwords in addresses, `password=...` and numbers of payment cards.
    """
    text = redact(text)
    for pattern in patterns:
        text = pattern.sub(REDACTED, text)
    text = _PASSWORD_IN_ADDRESS.sub(rf"\1{REDACTED}", text)
    text = _NAMED_ESCAPED.sub(rf"\1{REDACTED}", text)
    text = _NAMED.sub(rf"\1{REDACTED}", text)
    text = _OPTION.sub(rf"\1{REDACTED}", text)
    return _CARD.sub(lambda found: REDACTED if is_card(found[0]) else found[0], text)


def is_card(text: str) -> bool:
    """Whether a text is the number of a payment card: 13 to 19 digits whose checksum (Luhn) is right."""
    digits = [int(digit) for digit in text if digit.isascii() and digit.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
