"""Defines how words are found in scripts that are written without spaces: Chinese, Japanese, Thai, Lao, Khmer, Burmese.

Korean counts among them, for its spaces do not part words from the particles that follow them.

No dictionary says where such words begin. A text is indexed by its *grams*, pairs of neighbouring characters, and a
query is looked up by its *windows*: the stretches of it that are as long as a short word, each a sequence of grams. A
window is 2 characters of Chinese, Japanese or Korean and 4 of the other scripts, or the whole run where that is
shorter.

Worked value: of the characters a, b, c and d, `abcd` in Chinese has the windows ab, bc and cd and the grams ab, bc, cd
and d.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_EAST_ASIAN: Final = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb\uffa0-\uffdc"
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003fffd"
)
_SOUTH_EAST_ASIAN: Final = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf\u1000-\u103f\u104c-\u108f\u109a-\u109f"
    "\u1780-\u17d3\u17dc-\u17dd\u1980-\u19c9\ua9e0-\ua9ef\uaa60-\uaa7f"
)
_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_RUN: Final = re.compile(f"([{_EAST_ASIAN}]+)|[{_SOUTH_EAST_ASIAN}]+")
_EAST_ASIAN_WIDTH: Final = 2
_SOUTH_EAST_ASIAN_WIDTH: Final = 4


def is_spaceless(character: str) -> bool:
    """Whether a character belongs to a script without spaces."""
    return _RUN.match(character) is not None


def without_runs(text: str) -> str:
    """The text with a space in place of every run of a script without spaces, full-width letters as plain ones."""
    return _RUN.sub(" ", text).translate(_FULL_WIDTH)


def windows(text: str) -> Iterator[str]:
    """The windows of a text, in order, as they are written there."""
    for run in _RUN.finditer(text):
        characters = run.group()
        width = _EAST_ASIAN_WIDTH if run[1] else _SOUTH_EAST_ASIAN_WIDTH
        for start in range(max(1, len(characters) - width + 1)):
            yield characters[start : start + width]


def index_terms(text: str) -> str:
    """The grams of a text as terms of the index, with spaces between them; a run's last character is one by itself."""
    if _RUN.search(text) is None:
        return ""
    runs = (run.group() for run in _RUN.finditer(unicodedata.normalize("NFKC", text)))
    # The last character's own term keeps a sequence of grams from going over the end of a run.
    return " ".join(" ".join(_term(run[place : place + 2]) for place in range(len(run))) for run in runs)


def index_query(window: str) -> str:
    """What finds the texts that hold a window, as FTS5 reads it."""
    folded = unicodedata.normalize("NFKC", window)
    if len(folded) == 1:
        return f'"{_term(folded)}" *'
    return f'"{" ".join(_term(folded[place : place + 2]) for place in range(len(folded) - 1))}"'


def _term(gram: str) -> str:
    """A gram in letters that every tokenizer keeps; that of one character is how those begin that it begins."""
    return "x".join(f"{ord(character):05x}" for character in gram) + ("x" if len(gram) == 1 else "")
