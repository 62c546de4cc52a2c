r"""Defines `Quantity` and `read_quantity`, which reads the one number that an answer is, with its unit, exactly.

| written | number | unit |
|---|---|---|
| `1,234.5`, `1'234.5`, `1{,}234`, `1,00,000` | commas and apostrophes part thousands; so do narrow spaces | |
| `1.234,5`, `1.234.567` | European, where only that reading fits: 1234.5 and 1234567 | |
| `-7`, `.5`, `+3.`, `minus 7` | as it stands | |
| `3/4`, `\frac{3}{4}`, `\frac34`, `¾`, `1 1/2`, `1\frac12`, `1½` | the fraction | |
| `50%`, `50\%`, `50 percent`, `5‰` | 1/2; 1/200 | |
| `1.2e-3`, `1.2 x 10^-3`, `1.2 \times 10^{-3}`, `10^6`, `10⁶` | scientific | |
| `1.5 million`, `5k`, `3 hundred thousand`, `2 dozen`, `$1.5M`, `5bn` | multiplied | |
| `$12.50`, `€ 3`, `5 USD` | as it stands | the currency |
| `12 km/h`, `3 m²`, `20 °C`, `5\text{ cm}`, `18 eggs` | as it stands | see `units` |
| `x = 5`, `≈ 5`, `$5$`, `\boxed{5}`, `**5**`, `5.` | 5 | |
| `$5$ cm`, `\(5\) eggs` | 5 | as written |

`1.234` is a little more than one, `1,234` more than a thousand. Capitals behind a number can be a scale or a unit
(`300K`): both readings count, and neither fits a number without unit.

Anything else is no quantity: several numbers, ranges, hedges (`about 5`, `5 or six`), sentences, numbers in words,
`2π`, `3i`, `5!`, infinity, `1,2345` and `12,34`, more than 300 characters, exponents beyond 400.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from axpo_envs.rewards._units import AMBIGUOUS_SCALES, CURRENCIES, MONEY_SCALES, SCALES, canonical_unit

MAX_EXPONENT: Final = 400
"""Exponent of ten, either way; a larger one makes no number."""

_MAX_CHARS: Final = 300
_DIGITS: Final = r"\d{1,3}"
_EUROPEAN: Final = re.compile(rf"{_DIGITS}(?:\.\d{{3}})+,\d+|{_DIGITS}(?:\.\d{{3}}){{2,}}(?![\d.,])")
_GROUPED: Final = (
    rf"{_DIGITS}(?:,\d{{3}})+(?![\d,])(?:\.\d*)?",
    rf"{_DIGITS}(?:\u2009\d{{3}})+(?!\d)(?:\.\d*)?",
    rf"{_DIGITS}(?:['\u2019]\d{{3}})+(?!\d)(?:\.\d*)?",
    r"\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])(?:\.\d*)?",
)
_PLAIN: Final = rf"(?:{'|'.join(_GROUPED)}|{_EUROPEAN.pattern}|\d+(?:\.\d*)?|\.\d+)"
_POWER: Final = r"10\s*(?:\^|\*\*)\s*\(?(?P<{name}>[+-]?\d+)\)?"
_CODES: Final = ("US$", "USD", "EUR", "GBP", "Rs.", "Rs", *CURRENCIES)
_NUMBER: Final = re.compile(
    rf"""(?:(?P<sign>[+-])|(?P<minus>(?i:minus|negative)\s))?\s*
    (?:(?P<currency>{"|".join(map(re.escape, _CODES))})\s*(?P<inner>[+-]?)\s*)?
    (?: (?:(?P<whole>\d+)\s+)?(?P<top>{_PLAIN})\s*/\s*(?P<bottom>{_PLAIN})
      | {_POWER.format(name="power")}
      | (?P<number>{_PLAIN})
        (?:[eE](?P<exponent>[+-]?\d+) | \s*[x*\u00b7\u00d7\u22c5]\s*{_POWER.format(name="times")})?
    )(?![\d.,])(?:\s*(?:(?P<percent>%|(?i:per\s?cent|pct)\b)|(?P<permille>\u2030)))?""",
    re.VERBOSE,
)
_SCALE: Final = re.compile(rf"\s*(?:(?P<word>(?i:{'|'.join(SCALES)}))s?|(?P<k>k))(?![^\W_])")
_MONEY: Final = re.compile(rf"\s*(?P<letter>(?i:{'|'.join(MONEY_SCALES)}))(?![^\W_])")
_CAPITAL: Final = re.compile(rf"\s*(?P<letter>{'|'.join(AMBIGUOUS_SCALES)})(?![^\W_]|[*·/^])")
_SENTENCE_MARKS: Final = (".", ",", ";", ":", "\u3002", "\u3001")
_LEAD: Final = re.compile(r"(?:[^\W\d]\w{0,20}\s*)?(?:=|≈)\s*")
_SHELL: Final = re.compile(
    r"\\boxed\{(.*)\}|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*|\*(.*)\*|`(.*)`|'(.*)'|\"(.*)\"|\u201c(.*)\u201d",
    re.DOTALL,
)
_MARKED: Final = re.compile(r"(?:\$([^$]+)\$|\\\((.+?)\\\))(\s*[^\s\d.,].*)", re.DOTALL)
_FRACTION: Final = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_TEXT: Final = re.compile(r"\\(?:text|mathrm|textrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}")
_EXPONENT: Final = re.compile(r"\^\s*\{\s*([+-]?\d+)\s*\}")
_RAISED: Final = re.compile("[\u207a\u207b]?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_TIE: Final = re.compile(r"(?<=\S)~(?=\S)")
_VULGAR: Final = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_WORDS: Final = (
    (r"\times", "x"),
    (r"\cdot", "·"),
    (r"\approx", "≈"),
    (r"{\circ}", "°"),
    (r"\circ", "°"),
    (r"\degree", "°"),
    ("^°", "°"),
    (r"\mu", "µ"),
    (r"\Omega", "Ω"),
    (r"\%", "%"),
    (r"\$", "$"),
    (r"\left", ""),
    (r"\right", ""),
    ("{,}", ","),
    (r"\,", "\u2009"),
    (r"\;", " "),
    (r"\:", " "),
    (r"\!", ""),
    (r"\ ", " "),
    ("\u00b0 C", "°C"),
    ("\u00b0 F", "°F"),
)
_SYMBOLS: Final = str.maketrans(
    {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
    | dict.fromkeys(map(ord, "\u2212\u2010\u2011\u2013\ufe63"), "-")
    | dict.fromkeys(map(ord, "\u2044\u2215"), "/")
    | dict.fromkeys(map(ord, "\u00a0\u2009\u202f"), "\u2009")
    | dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"), "")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number and its unit."""

    value: Fraction
    """The number, exactly as written."""
    unit: str = ""
    """The unit as `canonical_unit` calls it; empty without one. A per cent sign is part of the number."""
    scaled: Fraction | None = None
    """The number where the unit is read as a scale word instead (`5M`); None where it can be no such word."""


def read_quantity(text: str) -> Quantity | None:
    """The one number that a text is, with its unit; None where it is anything else (see the module's table)."""
    plain = _plain(text)
    match = _NUMBER.match(plain) if plain.isascii() or not _has_other_digits(plain) else None
    value = None if match is None else _value(match)
    if match is None or value is None:
        return None
    rest = plain[match.end() :].rstrip(". ")
    if match["percent"] or match["permille"]:
        return None if rest or match["currency"] else Quantity(value=value)
    currency = "" if match["currency"] is None else canonical_unit(match["currency"]) or ""
    return _scaled(value, rest, currency)


def _scaled(value: Fraction, rest: str, currency: str) -> Quantity | None:
    """The quantity of a number, what stands behind it, and the currency before it."""
    for _ in range(2):
        if (scale := _SCALE.match(rest)) is not None:
            value *= SCALES[scale["word"].lower()] if scale["word"] else 1000
            rest = rest[scale.end() :]
    if currency:
        if (money := _MONEY.match(rest)) is not None:
            value *= MONEY_SCALES[money["letter"].lower()]
            rest = rest[money.end() :]
        unit = _money_unit(currency, rest.strip())
        return None if unit is None else Quantity(value=value, unit=unit)
    if (capital := _CAPITAL.match(rest)) is not None:
        scaled = value * AMBIGUOUS_SCALES[capital["letter"]]
        rest = rest[capital.end() :].strip()
        unit = canonical_unit(rest or capital["letter"])
        if unit is None:
            return None
        return Quantity(value=scaled, unit=unit) if rest else Quantity(value=value, unit=unit, scaled=scaled)
    rest = rest.strip()
    unit = canonical_unit(rest) if rest else ""
    return None if unit is None else Quantity(value=value, unit=unit)


def _money_unit(currency: str, rest: str) -> str | None:
    """A currency with what stands behind the amount: itself again, or what is paid for (`$5/hour`)."""
    if not rest or canonical_unit(rest) == currency:
        return currency
    return canonical_unit(f"{currency} {rest}") if rest.startswith(("/", "per ")) else None


def _plain(text: str) -> str:
    """The text without LaTeX, what surrounds the number and what stands before it."""
    plain = text.translate(_SYMBOLS).strip()
    if len(plain) > _MAX_CHARS:
        return ""
    plain = _unended(plain)
    while (shell := _SHELL.fullmatch(plain)) is not None:
        plain = _unended(next(group for group in shell.groups() if group is not None).strip())
    if (marked := _MARKED.fullmatch(plain)) is not None:
        plain = f"{marked[1] or marked[2]}{marked[3]}"
    plain = _VULGAR.sub(lambda found: " " + unicodedata.normalize("NFKC", found[0]).replace("\u2044", "/"), plain)
    plain = _RAISED.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]).replace("\u2212", "-"), plain)
    plain = _TEXT.sub(r"\1", _FRACTION.sub(r" \1\2/\3\4", plain))
    plain = _TIE.sub(" ", _EXPONENT.sub(r"^\1", plain))
    for word, replacement in _WORDS:
        plain = plain.replace(word, replacement)
    plain = plain.strip()
    return plain[lead.end() :] if (lead := _LEAD.match(plain)) else plain


def _unended(text: str) -> str:
    """The text without the one mark that ends a sentence, as `normalize_answer` takes it off."""
    return text[:-1].rstrip() if text.endswith(_SENTENCE_MARKS) and not text.endswith("..") else text


def _has_other_digits(text: str) -> bool:
    """Whether it holds digits of other scripts, lowered ones included: reading them as plain ones would be wrong."""
    return any(character.isdigit() and not character.isascii() for character in text)


def _value(match: re.Match[str]) -> Fraction | None:
    exponent = _int_of(match["power"] or match["exponent"] or match["times"] or "0")
    if abs(exponent) > MAX_EXPONENT or (match["inner"] and (match["sign"] or match["minus"])):
        return None
    if match["top"] is not None:
        bottom = _fraction(match["bottom"])
        if not bottom:
            return None
        value = _fraction(match["whole"] or "0") + _fraction(match["top"]) / bottom
    else:
        value = _fraction(match["number"] or "1")
    value *= Fraction(10) ** exponent
    value /= 100 if match["percent"] else 1000 if match["permille"] else 1
    return -value if "-" in (match["sign"], match["inner"]) or match["minus"] else value


def _int_of(digits: str) -> int:
    """An integer as written, at most ten characters of it counting."""
    return int(digits[:10])


def _fraction(digits: str) -> Fraction:
    if _EUROPEAN.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    return Fraction(re.sub(r"[,\u2009'\u2019]", "", digits).rstrip("."))
