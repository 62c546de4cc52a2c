"""Defines `normalize_answer`, the form in which texts are compared: typography goes, meaning stays.

Unicode's compatibility forms fold too much for that: they make `10²` into `102` and `½` into `1/2`. Folded are here
full-width and half-width forms, ligatures, presentation forms and letters such as `℃` only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_KEPT: Final = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>", "<font>")
_PAIRS: Final = (
    ("**", "**"),
    ("__", "__"),
    *((mark, mark) for mark in "*_`\"'"),
    *zip("\u00ab\u300c\u300e", "\u00bb\u300d\u300f", strict=True),
)
_SPACE: Final = re.compile(r"\s+")
_SAME: Final = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2013\ufe63\uff0d", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u2033", '"')
    | dict.fromkeys("\u200b\u2060\ufeff\u00ad", "")
)
_SENTENCE_MARKS: Final = ".,;:\u3002\u3001"
_EMOTION: Final = re.compile(r"(?<=[^\W\d_]{2})([\"'*_`]*)[!?]+$")
_ELLIPSIS: Final = re.compile(r"(?<=[^\W\d_])\.{2,}$")
_PREFIXED_UNIT: Final = re.compile(r"(?<=\d)\s*[mM](?=(?:W|Wh|V|A|Hz|Pa|J|N|g|L|l|eV|F|T|b|B|bit|bps|s|\u03a9)\b)")
_MEGA: Final = "\ue000"


def normalize_answer(text: str) -> str:
    """Text as `ExactMatch` compares it.

    Case goes (but for `mW` and `MW` behind a number), runs of white space become one space, and typographic quotes,
    dashes and primes are written in ASCII. Around the whole, white space, pairs of quotation marks and Markdown
    emphasis go; at its end the sentence marks `. , ; :`, and behind a word `!`, `?` and `...`. Everything else stays:
    signs, brackets, leading points, raised and lowered digits, `5!`, `f'`, `A*`, accents. Text of nothing but marks
    stays as it is.
    """
    marked = _PREFIXED_UNIT.sub(lambda found: found[0].replace("M", _MEGA), fold_typography(text))
    folded = _SPACE.sub(" ", unicodedata.normalize("NFC", marked.casefold())).strip()
    return bare_text(folded) or folded


def fold_typography(text: str) -> str:
    """Text whose characters look otherwise and mean the same: composed, in plain width, without ligatures."""
    if text.isascii():
        return text
    return "".join(map(_folded, unicodedata.normalize("NFC", text).translate(_SAME)))


def bare_text(text: str) -> str:
    """Text without the quotation marks and emphasis around it and the sentence marks at its end."""
    while True:
        bare = _ELLIPSIS.sub("", _EMOTION.sub(r"\1", text)).strip()
        # All at once: one at a time, thousands of them would take minutes.
        while bare[-1:] in tuple(_SENTENCE_MARKS) and not bare.endswith(".."):
            bare = bare[:-1].rstrip()
        for opening, closing in _PAIRS:
            inner = bare[len(opening) : -len(closing)]
            wrapped = bare.startswith(opening) and bare.endswith(closing) and len(bare) > len(opening + closing)
            # Two quotations with text between them are no single one, nor is a name such as __init__ emphasis.
            if wrapped and opening not in inner and closing not in inner and (opening != "__" or " " in inner):
                bare = inner.strip()
                break
        bare = bare.removeprefix("\u00bf").removeprefix("\u00a1")
        if bare == text:
            return bare
        text = bare


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    kept = unicodedata.decomposition(character).startswith(_KEPT)
    return character if kept else unicodedata.normalize("NFKC", character)
