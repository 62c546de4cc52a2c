r"""Defines what `MathVerify` makes of a text before it is compared: LaTeX that math-verify reads as a person would.

math-verify reads raised digits, vulgar fractions and roots in Unicode as plain text, `1.5e3` as 1.5 times e times 3,
`1 1/4` as a product, `5%` as 5 or 1/20 at choice, and overlooks primes, units and the case of letters. Hence texts are
rewritten, and what it overlooks is compared beside it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from axpo_envs.rewards._quantity import Quantity, read_quantity
from axpo_envs.rewards._units import canonical_unit

_FUNCTIONS: Final = "arcsin arccos arctan sinh cosh tanh sin cos tan cot sec csc log ln exp det gcd lcm max min lim"
_LETTERS: Final = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega"
)
_NAMES: Final = frozenset((_FUNCTIONS + " " + _LETTERS + " sqrt infty infinity").split())
_SYMBOLS: Final = {
    "\u2212": "-",
    "\u2013": "-",
    "\u00d7": r"\times ",
    "\u00b7": r"\cdot ",
    "\u22c5": r"\cdot ",
    "\u00f7": "/",
    "\u2044": "/",
    "\u2215": "/",
    "\u2264": r"\le ",
    "\u2265": r"\ge ",
    "\u2260": r"\ne ",
    "\u221e": r"\infty ",
    "\u222a": r"\cup ",
    "\u2229": r"\cap ",
    "\u2208": r"\in ",
    "\u00b1": r"\pm ",
    "\u2032": "'",
    "\u2033": "''",
    "\u2019": "'",
    r"\varnothing": r"\emptyset",
    "\u2205": r"\emptyset ",
    "\u00a0": " ",
    "\u2009": " ",
    "\u202f": " ",
}
_RAISED: Final = re.compile("[\u207a\u207b]?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|\u207f")
_LOWERED: Final = re.compile("[\u2080-\u2089]+")
_VULGAR: Final = re.compile("(\\d*)\\s*([\u00bc-\u00be\u2150-\u215e])")
_ROOT: Final = re.compile("\u221a\\s*(?:\\(([^()]*)\\)|\\{([^{}]*)\\}|(\\d+(?:\\.\\d+)?|[A-Za-z]))")
_SCIENTIFIC: Final = re.compile(r"(?<![A-Za-z\d.])(\d+(?:\.\d*)?|\.\d+)[eE]([+-]?\d{1,3})(?!\d)")
_MIXED: Final = re.compile(r"(?<![\d.^/_{])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d.])")
_MIXED_LATEX: Final = re.compile(r"(?<![\d.^/_{])(\d+)\s*\\[dt]?frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))")
_BARE_NAME: Final = re.compile(rf"(?<![A-Za-z\\])({'|'.join(_FUNCTIONS.split())})(?![A-Za-z])")
_PRIMED: Final = re.compile(r"([A-Za-z])((?:'|\^\{?\\prime\}?)+)")
_PERCENT: Final = re.compile(r"\s*\\?%\s*$")
_COMMAND: Final = re.compile(r"\\(?:begin|end)\{[a-z]*\}|\\[A-Za-z]+")
_TEXT: Final = re.compile(r"\\(?:text|mathrm|textrm|mbox|operatorname)\s*\{([^{}]*)\}")
_WORDED: Final = re.compile(r"\\(?:text|mathrm|textrm|textbf|mbox)\s*\{([^{}]*)\}\.?")
_UNIT: Final = re.compile(
    r"(?<=[\d\s})\]])\s*(?:\\[,;! ]|~)*\s*(?:\\(?:text|mathrm|textrm|mbox)\s*\{([^{}]+)\}(\^\{?-?\d\}?)?|"
    r"((?:(?<=\s)|(?<=\\[,;! ])|(?<=\d))[A-Za-z\u00b5\u00b0\u03a9][\w/^\u00b0]*))\.?\s*$"
)
_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_LONE: Final = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_UNKNOWN: Final = re.compile(r"\s*([A-Za-z]\w*)\s*=")
_ATTACHED: Final = re.compile(r"(?<=\d)[A-Za-z](?![A-Za-z])|(?<![A-Za-z])k(?![A-Za-z])")
_FACTOR: Final = re.compile(r"(?<=\d)\s*([A-Za-z])(?![A-Za-z])")
_SHELLS: Final = (("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$"))
_BOXED: Final = "\\boxed{"
_DOLLARS: Final = re.compile(r"\$\$?[^$]+\$\$?|\\\(.*?\\\)|\\\[.*?\\\]", re.DOTALL)
_DOUBT: Final = re.compile(
    r"\b(?:not|no|never|neither|nor|or|either|maybe|perhaps|possibly|probably|unlikely|about|around|roughly|approximately|"
    r"nearly|almost|at\s+least|at\s+most|(?:more|less|greater|fewer)\s+than|wrong|incorrect|false|unsure|uncertain|"
    r"guess|think|believe|could|might|may|cannot|would|should|unless|instead|except)\b|n['\u2019]t\b|\?|\d",
    re.IGNORECASE,
)
_OVERLINE: Final = re.compile(r"(\d+)\.(\d*)\\overline\s*\{(\d+)\}")


def marked_part(text: str) -> str:
    r"""The part of a text that is marked as mathematics, where one is: the last `\boxed{}`, or the one `$...$`."""
    start = text.rfind(_BOXED)
    if start >= 0:
        depth = 0
        for place, character in enumerate(text[start:], start=start):
            depth += (character == "{") - (character == "}")
            if depth == 0 and character == "}":
                return marked_part(text[start + len(_BOXED) : place])
    for opening, closing in _SHELLS:
        before, found, rest = text.partition(opening)
        inner, end, after = rest.partition(closing)
        # A dollar sign before a number alone is money; two of them with nothing between are none.
        if found and end and inner.strip() and opening not in after and opening not in before:
            return inner.strip()
    worded = _WORDED.fullmatch(text.strip())
    return worded[1].strip() if worded else text.strip()


def is_hedged(text: str) -> bool:
    r"""Whether what stands around the one `$...$` of a text doubts it, denies it, or names another number."""
    return len(_DOLLARS.findall(text)) == 1 and _BOXED not in text and bool(_DOUBT.search(_DOLLARS.sub(" ", text)))


def as_latex(text: str) -> str:
    """A text in LaTeX that math-verify reads as meant; its unit is left out."""
    latex = _UNIT.sub("", text) if len(unit_of(text)) > 1 else text
    for symbol, command in _SYMBOLS.items():
        latex = latex.replace(symbol, command)
    latex = _RAISED.sub(lambda found: f"^{{{_plain(found[0])}}}", latex)
    latex = _LOWERED.sub(lambda found: f"_{{{_plain(found[0])}}}", latex)
    latex = _VULGAR.sub(_vulgar, latex)
    latex = _ROOT.sub(lambda found: rf"\sqrt{{{found[1] or found[2] or found[3]}}}", latex)
    latex = _OVERLINE.sub(_repeating, latex)
    latex = _SCIENTIFIC.sub(r"(\1 \\cdot 10^{\2})", latex)
    latex = _MIXED.sub(r"(\1+\\frac{\2}{\3})", latex)
    latex = _MIXED_LATEX.sub(lambda f: rf"({f[1]}+\frac{{{f[2] or f[3]}}}{{{f[4] or f[5]}}})", latex)
    # Without a sign between them, math-verify takes some letters for units and leaves them out.
    latex = _FACTOR.sub(r" \\cdot \1", _BARE_NAME.sub(r"\\\1", latex))
    # A primed letter is another letter, which a subscript that nobody writes says.
    latex = _PRIMED.sub(
        lambda found: f"{found[1]}_{{90{len(found[2].replace('^', '').split(chr(39))) - 1 or 1}}}", latex
    )
    without = _PERCENT.sub("", latex)
    return rf"\frac{{{without}}}{{100}}" if without != latex and without else latex


def unit_of(text: str) -> str:
    """The known unit at the end of an expression; empty without one."""
    match = _UNIT.search(text)
    if match is None:
        return ""
    written = (match[1] or match[3]).strip() + (match[2] or "").replace("{", "").replace("}", "")
    return canonical_unit(written) or ""


def plain_quantity(text: str) -> Quantity | None:
    """The quantity that a text is where nothing in it may be a variable (`5k`, `3t`); else None."""
    quantity = read_quantity(text)
    if quantity is None:
        return None
    bare = _COMMAND.sub(" ", _TEXT.sub("", text).rpartition("=")[2])
    bare = re.sub(r"(?<=[\d.])[eE](?=[+-]?\d)|(?<=\d)\s*x\s*(?=10)", " ", bare)
    words = any(len(word) < 4 for word in quantity.unit.split()) and canonical_unit(quantity.unit) is None
    return None if _ATTACHED.search(bare) or words else quantity


def is_words(text: str) -> bool:
    """Whether a text is made of words, not of mathematics: one of four letters that names no function is enough."""
    bare = _COMMAND.sub(" ", _TEXT.sub(" ", text))
    return any(word.lower() not in _NAMES for word in _WORD.findall(bare)) or text.strip().lower() in ("nan", "inf")


def cases_clash(reference: str, answer: str) -> bool:
    """Whether one text writes a letter as a capital that the other writes small only: `x` is not `X`."""
    ours, theirs = (set(_LONE.findall(_COMMAND.sub(" ", _TEXT.sub(" ", text)))) for text in (reference, answer))
    return any(
        letter.swapcase() in theirs and letter not in theirs and letter.swapcase() not in ours for letter in ours
    )


def names_clash(reference: str, answer: str) -> bool:
    """Whether the texts say what different unknowns are: `x = 5` is not `y = 5`."""
    ours, theirs = _UNKNOWN.match(reference), _UNKNOWN.match(answer)
    return ours is not None and theirs is not None and ours[1] != theirs[1]


def _plain(digits: str) -> str:
    return unicodedata.normalize("NFKC", digits).replace("\u2212", "-")


def _repeating(match: re.Match[str]) -> str:
    """A repeating decimal as a fraction."""
    whole, once, again = match.groups()
    top = int(whole + once + again) - int(whole + once)
    return rf"\frac{{{top}}}{{{(10 ** len(again) - 1) * 10 ** len(once)}}}"


def _vulgar(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[2]).partition("\u2044")
    fraction = rf"\frac{{{top}}}{{{bottom}}}"
    return f"({match[1]}+{fraction})" if match[1] else fraction
