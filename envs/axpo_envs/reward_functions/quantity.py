r"""Defines `Quantity` and `read_quantity`, which reads one number with its unit out of an answer, exactly.

| written | number | unit |
|---|---|---|
| `1,234.5`, `-7`, `.5`, `+3.` | as it stands; commas part thousands | |
| `3/4`, `\frac{3}{4}`, `\frac34`, `1 1/2`, `1\frac12` | the fraction | |
| `50%`, `50\%` | 1/2 | |
| `1.2e-3`, `1.2 x 10^-3`, `1.2 \times 10^{-3}`, `10^6` | scientific | |
| `$12.50`, `€ 3` | as it stands | the currency |
| `12 km/h`, `3 m^2`, `20 °C`, `5\text{ cm}` | as it stands | the text behind it |
| `x = 5`, `≈ 5`, `$5$`, `\boxed{5}` | 5 | |

Anything else is no quantity: several numbers, a sentence, infinity, more than 300 characters, exponents beyond 400.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

MAX_EXPONENT: Final = 400
"""Exponent of ten, either way; a larger one makes no number."""

_MAX_CHARS: Final = 300
_PLAIN: Final = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)"
_TEN_TO: Final = r"10\s*(?:\^|\*\*)\s*"
_NUMBER: Final = re.compile(
    rf"""(?P<sign>[+-])?\s*(?P<currency>[$€£¥])?\s*
    (?: (?:(?P<whole>\d+)\s+)?(?P<top>{_PLAIN})\s*/\s*(?P<bottom>{_PLAIN})
      | {_TEN_TO}(?P<power>[+-]?\d+)
      | (?P<number>{_PLAIN})(?:[eE](?P<exponent>[+-]?\d+)|\s*(?:[x*\u00b7\u00d7]\s*){_TEN_TO}(?P<times>[+-]?\d+))?
    )(?P<percent>\s*%)?\s*""",
    re.VERBOSE,
)
_UNIT: Final = re.compile(r"""[^\W\d_°"'][^\d,;:=?!]{0,30}(?:\^-?\d|(?<=[^\W\d_])-?\d)?|[°"'€£¥$/][^\d,;:=?!]{0,30}""")
_LEAD: Final = re.compile(r"(?:[^\W\d]\w{0,20}\s*)?(?:=|≈|~)\s*")
_SHELL: Final = re.compile(r"\\boxed\{(.*)\}|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)
_FRACTION: Final = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_TEXT: Final = re.compile(r"\\(?:text|mathrm|textrm|mbox|operatorname)\s*\{([^{}]*)\}")
_EXPONENT: Final = re.compile(r"\^\s*\{\s*([+-]?\d+)\s*\}")
_WORDS: Final = (
    (r"\times", "x"),
    (r"\cdot", "x"),
    (r"\approx", "≈"),
    (r"\circ", "°"),
    ("^°", "°"),
    (r"\%", "%"),
    (r"\$", "$"),
    (r"\left", ""),
    (r"\right", ""),
    (r"\,", ""),
    (r"\;", ""),
    (r"\!", ""),
    (r"\ ", " "),
)
_SYMBOLS: Final = str.maketrans("\u2212\u2013\u2044\u2215\u00a0\u2009\u202f", "--//   ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number and its unit."""

    value: Fraction
    """The number, exactly as written."""
    unit: str = ""
    """The unit without white space; empty without one. A per cent sign is part of the number."""


def read_quantity(text: str) -> Quantity | None:
    """The one number that a text is, with its unit; None where it is anything else (see the module's table)."""
    plain = _plain(text)
    match = _NUMBER.match(plain) if plain.isascii() or not _has_other_digits(plain) else None
    if match is None:
        return None
    value = _value(match)
    unit = plain[match.end() :].rstrip(". ")
    if value is None or (unit and (not _UNIT.fullmatch(unit) or match["currency"])):
        return None
    return Quantity(value=value, unit=match["currency"] or "".join(unit.split()))


def _plain(text: str) -> str:
    """The text without LaTeX, what surrounds the number and what stands before it."""
    plain = text.translate(_SYMBOLS).strip()
    if len(plain) > _MAX_CHARS:
        return ""
    while (shell := _SHELL.fullmatch(plain)) is not None:
        plain = next(group for group in shell.groups() if group is not None).strip()
    plain = _TEXT.sub(r"\1", _FRACTION.sub(r" \1\2/\3\4", plain))
    plain = _EXPONENT.sub(r"^\1", plain)
    for word, replacement in _WORDS:
        plain = plain.replace(word, replacement)
    plain = plain.strip()
    return plain[lead.end() :] if (lead := _LEAD.match(plain)) else plain


def _has_other_digits(text: str) -> bool:
    """Whether it holds digits of other scripts, raised ones included: reading them as plain ones would be wrong."""
    return any(character.isdigit() and not character.isascii() for character in text)


def _value(match: re.Match[str]) -> Fraction | None:
    exponent = int_of(match["power"] or match["exponent"] or match["times"] or "0")
    if abs(exponent) > MAX_EXPONENT:
        return None
    if match["top"] is not None:
        bottom = _fraction(match["bottom"])
        if not bottom:
            return None
        value = _fraction(match["whole"] or "0") + _fraction(match["top"]) / bottom
    else:
        value = _fraction(match["number"] or "1")
    value *= Fraction(10) ** exponent
    value /= 100 if match["percent"] else 1
    return -value if match["sign"] == "-" else value


def int_of(digits: str) -> int:
    """An integer as written, at most ten characters of it counting."""
    return int(digits[:10])


def _fraction(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").rstrip("."))
