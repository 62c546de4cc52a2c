r"""Defines `compile_pattern`, which reads the patterns of JSON schemas for a matcher that takes linear time.

JSON Schema writes patterns in the syntax of ECMA 262; RE2 matches them in time proportional to the text. Most of the
two is the same; what differs is translated:

| ECMA 262 | RE2 |
|---|---|
| `\s`, `\S` and `.` know all spaces and line ends of Unicode | classes that list them |
| `\uXXXX`, `\u{X}`, pairs of surrogates, `\cX`, `\0`, `[\b]` | `\x{X}` |
| `[^]`, `[]` | any character, none |
| `[` within a class | `\[` |
| `\p{Letter}`, `\p{Script=Greek}`, `\p{gc=Lu}` | `\p{L}`, `\p{Greek}`, `\p{Lu}` |

`$` is the end of the text in both, not also the place before a last line end, as in Python. The flags and named groups
that authors in Python write, `(?i)` and `(?P<name>...)`, are taken, too. Look-around, references to groups, `\A` and
the like, and repetitions of more than 1000 cannot be translated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import re2

MAX_PATTERN_CHARS: Final = 10_000
"""Length of a pattern; a longer one is not read."""

_SPACES: Final = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NO_SPACES: Final = (
    r"\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
_ANY: Final = r"[\x{0}-\x{10ffff}]"
_NONE: Final = r"[^\x{0}-\x{10ffff}]"
_NOT_A_LINE_END: Final = r"[^\n\r\x{2028}\x{2029}]"
_CATEGORIES: Final = {
    "Letter": "L",
    "Lowercase_Letter": "Ll",
    "Uppercase_Letter": "Lu",
    "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm",
    "Other_Letter": "Lo",
    "Mark": "M",
    "Number": "N",
    "Decimal_Number": "Nd",
    "Letter_Number": "Nl",
    "Other_Number": "No",
    "Punctuation": "P",
    "Symbol": "S",
    "Currency_Symbol": "Sc",
    "Math_Symbol": "Sm",
    "Separator": "Z",
    "Space_Separator": "Zs",
    "Other": "C",
    "Control": "Cc",
}
_CODE: Final = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|c([A-Za-z])|(0)(?![0-9])")
_LOW_HALF: Final = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_PROPERTY: Final = re.compile(r"[pP]\{(?:(?:gc|General_Category|sc|Script|scx|Script_Extensions)=)?(\w+)\}")
_SAME: Final = frozenset("dDwWnrtvf")
_CLASSES: Final = tuple("dDwWsSpP")


class _UntranslatableError(Exception):
    """A pattern says what the matcher cannot."""


@lru_cache(maxsize=4096)
def compile_pattern(source: str) -> Any:
    """The matcher of a pattern, with a `search` that takes well-formed text; None where it cannot be translated."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_Translator(source).translated(), options)
    except (_UntranslatableError, UnicodeEncodeError, re2.error):
        return None


class _Translator:
    """Goes through one pattern."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_PATTERN_CHARS:
            raise _UntranslatableError
        self._source = source
        self._place = 0

    def translated(self) -> str:
        written: list[str] = []
        while self._place < len(self._source):
            character = self._source[self._place]
            self._place += 1
            if character == "\\":
                written.append(self._escape(in_class=False))
            elif character == "[":
                written.append(self._class())
            else:
                written.append(_NOT_A_LINE_END if character == "." else character)
        return "".join(written)

    def _class(self) -> str:
        """A class, its opening bracket read."""
        for whole, translated in (("^]", _ANY), ("]", _NONE)):
            if self._source.startswith(whole, self._place):
                self._place += len(whole)
                return translated
        written = ["["]
        while self._place < len(self._source):
            character = self._source[self._place]
            self._place += 1
            if character == "\\":
                whole_class = self._source[self._place : self._place + 1] in _CLASSES
                written.append(self._escape(in_class=True))
                if whole_class and self._source.startswith("-", self._place):
                    # No range begins with a class.
                    written.append("\\-")
                    self._place += 1
            elif character == "]":
                return "".join((*written, "]"))
            else:
                written.append("\\[" if character == "[" else character)
        raise _UntranslatableError

    def _escape(self, *, in_class: bool) -> str:
        """What follows a backslash."""
        rest = self._source[self._place :]
        if found := _CODE.match(rest):
            self._place += found.end()
            return self._code(found)
        if found := _PROPERTY.match(rest):
            self._place += found.end()
            return f"\\{rest[0]}{{{_CATEGORIES.get(found[1], found[1])}}}"
        letter = rest[:1]
        self._place += 1
        if letter in _SAME or (letter in ("b", "B") and not in_class):
            return f"\\{letter}"
        if letter in ("s", "S"):
            listed = _SPACES if letter == "s" else _NO_SPACES
            return listed if in_class else f"[{listed}]"
        if letter == "b":
            return r"\x{8}"
        if not letter or (letter.isascii() and letter.isalnum()):
            raise _UntranslatableError
        return f"\\x{{{ord(letter):x}}}"

    def _code(self, found: re.Match[str]) -> str:
        point, unit, byte, control, _ = found.groups()
        code = ord(control) % 32 if control else int(point or unit or byte or "0", 16)
        low = _LOW_HALF.match(self._source, self._place) if unit and 0xD800 <= code < 0xDC00 else None
        if low:
            self._place = low.end()
            code = 0x10000 + (code - 0xD800) * 0x400 + int(low[1], 16) - 0xDC00
        return f"\\x{{{code:x}}}"
