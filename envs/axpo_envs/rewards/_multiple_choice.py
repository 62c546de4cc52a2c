"""Defines `MultipleChoice`, the reward for questions that offer lettered options."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from axpo_envs.rewards._answer_text import bare_text, fold_typography, normalize_answer
from axpo_envs.rewards.reward import best_of
from axpo_envs.types import EpisodeState, Question, RewardTerm

_EMPHASIS: Final = r"(?:\*\*|__|\*|`)?"
_MARK: Final = re.compile(
    rf"""^[ \t>]*(?:[-*+\u2022]\s+)?{_EMPHASIS}(?:(?i:option|choice)\s+)?{_EMPHASIS}
      (?: [(\[<](?P<closed>[A-Za-z])[)\]>]
        | (?P<open>[A-Za-z]){_EMPHASIS}(?:[ \t]?[.):\u3001]|[ \t]+[-=\u2014\u2192](?=\s)) )
      {_EMPHASIS}[.:]?[ \t]*(?=\S)
    | (?<=[\s,;])(?: \((?P<inner>[A-Za-z])\)[ \t]* | (?P<bare>[A-Z])[.):](?:[ \t]+|(?=[^\W\d_]{{2}}))
        | (?P<half>[a-z])\)[ \t]+ )(?=\S)""",
    re.MULTILINE | re.VERBOSE,
)
_UNREAD: Final = re.compile(r"^\W*(?:([A-H])|\d{1,2}[.)]|[ivxIVX]{1,4}[.)])\W+\S", re.MULTILINE)
_BREAK: Final = re.compile(r"<br\s*/?>|</?(?:p|li|ol|ul|div)>", re.IGNORECASE)
_STRESS: Final = re.compile(r"</?(?:b|strong|i|em|u)>|^\\item(?=\s*\[[A-Za-z][.)]?\])", re.IGNORECASE | re.MULTILINE)
_IN_ITEM: Final = re.compile(r"^\s*\[([A-Za-z])[.)]\]", re.MULTILINE)
_ESCAPED: Final = re.compile(r"(?<=\b[A-Za-z])\\(?=[.)])")
_CIRCLED: Final = re.compile("[\u24b6-\u24e9]")
_NUMBERED: Final = re.compile(
    r"(?:^[ \t>]*(?:[-*+\u2022]\s+)?(?:\*\*)?(?:[(\[](?P<closed>\d{1,2}|[ivxIVX]{1,5})[)\]]|"
    r"(?P<open>\d{1,2}|[ivxIVX]{1,5})[.):])(?:\*\*)?[.:]?[ \t]+|"
    r"(?<=\s)\((?P<inner>\d{1,2}|[ivxIVX]{1,5})\)[ \t]*)(?=\S)",
    re.MULTILINE,
)
_NUMBER: Final = re.compile(r"[(\[]?(\d{1,2}|[ivxIVX]{1,5})[)\]]?\s*(?:[.):]\s*(.*)|\s+-\s+(.*))?", re.DOTALL)
_ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_FURTHER: Final = re.compile(
    r"(?:^|(?<=[\s,;/&+\u3001]))(?:[(\[]([A-H])[)\]]|([A-H])[.):](?=\s|$))|"
    r"(?:^|[,;/&+\u3001]\s*|\b(?:or|and|not)\s+)([A-H])(?=$|[\s,;/&+.\u3001]*$)"
)
_SEVERAL: Final = re.compile(r"[A-Z](?:\s*[A-Z])+")
_BETWEEN: Final = re.compile(r"\s*[,;/&+\u3001\n]\s*(?:and\s+)?|\s+and\s+")
_LETTER: Final = re.compile(
    r"[(\[{<]([A-Za-z])[)\]}>]\s*[.:]?\s*(.*)|\$?([A-Za-z])(?:\s*[.):\u3001]\s*(.*)|\s+-\s+(.*))?", re.DOTALL
)
_LEAD: Final = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+|best\s+|final\s+)?(?:answer|option|choice)(?:\s+is)?\s*:?\s+|"
    r"(?:it|this|that)(?:\s+(?:is|must\s+be|would\s+be)|'s)\s+|"
    r"i(?:\s+would|\s+will|'d|'ll)?\s+(?:choose|pick|select|say|go\s+with)\s+",
    re.IGNORECASE,
)
_BOLD_LETTER: Final = re.compile(r"(\*\*|__|`)\(?([A-Za-z])[.):]?\)?\1\s*[.:]?\s+(?=\S)")
_SHELL: Final = re.compile(r"\$(.*)\$|\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{(.*)\}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoice:
    """1 where the answer chooses a reference's option, else 0 (also without an answer).

    The options are those of the question (`Question.options`), or are read from its text: `A. a cat`, `(B) a dog`,
    `- **C)** a cow`, `[d] an ox`, each on a line of its own or all on one, from A on. Reference and answer may each be
    the letter (`B`, `(b)`, `The answer is B.`), the option's text, or both (`B. a dog`); a letter with the text of
    another option chooses nothing. A reference of several options (`AC`, `A, C`, `A and C`) asks for all of them, in
    any order and spelling. Without options, letters alone are compared; where the reference is one of a list's numbers
    (`2`, `II`), these are.
    """

    name: str = "choice"
    """Name of the term."""

    def __call__(self, question: Question, answer: str | None, _state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term of 0.0 or 1.0."""
        options = options_of(question)

        def is_right(reference: str, given: str) -> bool:
            expected = chosen_options(reference, options)
            return expected is not None and chosen_options(given, options) == expected

        return (RewardTerm(name=self.name, value=best_of(question, answer, is_right)),)

    def problem(self, question: Question) -> str | None:
        """That a reference is none of the options, or that the prompt lists some in a form that is not read."""
        options = options_of(question)
        for reference in question.answers:
            if chosen_options(reference, options) is None:
                have = ", ".join(f"{letter}. {text}" for letter, text in options.items())
                offered = (
                    f"one of the options {have:.200}" if have else "a letter, as the prompt has no lettered options"
                )
                return f"expected {offered}; got {reference!r:.80}"
        lines = [] if options else _UNREAD.findall(question.text)
        if len(lines) > 1:
            return (
                "the prompt seems to list options, but not as 'A. text', '(A) text' or 'A) text' from A on: no answer "
                f"in words could match the letter {question.answer!r:.80}"
            )
        return None


def options_of(question: Question) -> Mapping[str, str]:
    """The options that a question offers, by letter, or by number where its references are numbers of them; empty
    where it offers none."""
    if question.options:
        return dict(zip(string.ascii_uppercase, question.options, strict=False))
    if lettered := read_options(question.text):
        return lettered
    numbered = _read_numbered(question.text)
    return numbered if all(chosen_options(answer, numbered) for answer in question.answers) else {}


def read_options(text: str) -> Mapping[str, str]:
    """The options that a text lists, by letter; empty where it lists none.

    Of several lists the longest counts, of equally long ones the last. An option ends where the next begins, the last
    one at the end of its line.
    """
    return dict(_read_options(text))


@lru_cache(maxsize=1024)
def _read_options(text: str) -> tuple[tuple[str, str], ...]:
    text = _plain_marks(text)
    marks = list(_MARK.finditer(text))
    best: list[re.Match[str]] = []
    for start, mark in enumerate(marks):
        if _letter_of(mark) not in ("A", "a"):
            continue
        chain = [mark]
        for following in marks[start + 1 :]:
            if ord(_letter_of(following)) == ord(_letter_of(chain[-1])) + 1:
                chain.append(following)
        if len(chain) >= max(2, len(best)):
            best = chain
    ends = [*(mark.start() for mark in best[1:]), len(text)]
    options = [(_letter_of(mark).upper(), text[mark.end() : end]) for mark, end in zip(best, ends, strict=False)]
    if options:
        options[-1] = (options[-1][0], options[-1][1].lstrip().partition("\n")[0])
    return tuple((letter, _closed(option.strip())) for letter, option in options)


def _plain_marks(text: str) -> str:
    """A text whose options are marked in ASCII, without HTML and LaTeX around the letters."""
    circled = _CIRCLED.sub(lambda found: f"({unicodedata.normalize('NFKC', found[0])}) ", text)
    plain = _ESCAPED.sub("", _BREAK.sub("\n", fold_typography(circled)))
    return _IN_ITEM.sub(r"\1.", _STRESS.sub("", plain))


def _read_numbered(text: str) -> Mapping[str, str]:
    """The options of the first list that is numbered from 1 or I on."""
    plain = _BREAK.sub("\n", fold_typography(text))
    chain: list[re.Match[str]] = []
    for mark in _NUMBERED.finditer(plain):
        names = str(len(chain) + 1), _ROMAN[min(len(chain), len(_ROMAN) - 1)]
        if _number_of(mark) in names and (not chain or _number_of(chain[0]).isdigit() is _number_of(mark).isdigit()):
            chain.append(mark)
    if len(chain) < 2:
        return {}
    ends = [*(mark.start() for mark in chain[1:]), len(plain)]
    texts = (plain[mark.end() : end].strip() for mark, end in zip(chain, ends, strict=True))
    return {_number_of(mark): text.partition("\n")[0] for mark, text in zip(chain, texts, strict=True)}


def _number_of(mark: re.Match[str]) -> str:
    return str(mark["closed"] or mark["open"] or mark["inner"]).upper()


def chosen_options(answer: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The letters of the options that an answer chooses, which may be several; None where it chooses none, or says
    anything else."""
    letter = chosen_letter(answer, options)
    if letter is not None:
        return frozenset((letter,))
    plain = _bare(answer)
    known = set(options) or set(string.ascii_uppercase[:8])
    solid = _SEVERAL.fullmatch(plain)
    pieces = [part for part in plain if part.isalpha()] if solid else _BETWEEN.split(plain)
    chosen = [chosen_letter(piece, options) for piece in pieces]
    letters = {each for each in chosen if each is not None and each in known}
    return frozenset(letters) if len(letters) == len(chosen) > 1 else None


def chosen_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that an answer chooses; None where it chooses none, or more than one."""
    plain = _bare(answer)
    named = [letter for letter, text in options.items() if _same(text, plain) or _same(text, answer)]
    numbered = bool(options) and "A" not in options
    match = (_NUMBER if numbered else _LETTER).fullmatch(plain)
    names, *texts = (match.group(1), match[2], match[3]) if match and numbered else _read_letter(match)
    letter = names.upper()
    if match is None or (options and letter not in options):
        return named[0] if len(named) == 1 else None
    if numbered and named and named != [letter]:
        return None
    said = _bare(next(filter(None, texts), ""))
    own = letter in options and _same(options[letter], said)
    if said and not own and (any(_same(text, said) for text in options.values()) or _names_another(said, letter)):
        return None
    return letter


def _names_another(said: str, letter: str) -> bool:
    """Whether what stands behind a letter names another one: `(A) or (B)`."""
    return any((found[1] or found[2] or found[3]) != letter for found in _FURTHER.finditer(said))


def _same(option: str, said: str) -> bool:
    return _normal(said) in (_normal(_bare(option)), _normal(option))


@lru_cache(maxsize=1024)
def _normal(text: str) -> str:
    return normalize_answer(text)


def _read_letter(match: re.Match[str] | None) -> tuple[str, ...]:
    return ("",) if match is None else (match[1] or match[3], match[2] or "", match[4] or "", match[5] or "")


def _letter_of(mark: re.Match[str]) -> str:
    return mark["closed"] or mark["open"] or mark["inner"] or mark["bare"] or mark["half"]


def _closed(option: str) -> str:
    """An option without the end of emphasis that began before its letter."""
    for mark in ("**", "__", "`"):
        if option.count(mark) % 2 and option.endswith(mark):
            return option.removesuffix(mark).rstrip()
    return option


# A question's options are compared with every answer to it, and with every reference.
@lru_cache(maxsize=1024)
def _bare(answer: str) -> str:
    """The answer without mark-up around it and the words before it."""
    bare = _BOLD_LETTER.sub(r"\2. ", fold_typography(answer).strip(), count=1)
    while True:
        stripped = bare_text(_LEAD.sub("", bare, count=1) if _LEAD.match(bare) else bare)
        if (shell := _SHELL.fullmatch(stripped.rstrip("."))) is not None:
            stripped = next(group for group in shell.groups() if group is not None)
        stripped = stripped.strip()
        if stripped == bare:
            return bare
        bare = stripped
