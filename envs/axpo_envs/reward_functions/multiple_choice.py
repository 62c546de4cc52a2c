"""Defines `MultipleChoice`, the reward for questions that offer lettered options."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from axpo_envs.answer_text import bare_text, fold_typography, normalize_answer
from axpo_envs.rewards import best_of
from axpo_envs.types import EpisodeState, Question, RewardTerm

_EMPHASIS: Final = r"(?:\*\*|__|\*|`)?"
_MARK: Final = re.compile(
    rf"""^[ \t>]*(?:[-*+\u2022]\s+)?{_EMPHASIS}(?:(?i:option|choice)\s+)?{_EMPHASIS}
      (?: [(\[<](?P<closed>[A-Za-z])[)\]>] | (?P<open>[A-Za-z]){_EMPHASIS}(?:[.):\u3001]|[ \t]+[-=\u2014](?=\s)) )
      {_EMPHASIS}[.:]?[ \t]*(?=\S)
    | (?<=[\s,;])(?: \((?P<inner>[A-Za-z])\)[ \t]* | (?P<bare>[A-Z])[.):][ \t]+ )(?=\S)""",
    re.MULTILINE | re.VERBOSE,
)
_UNREAD: Final = re.compile(r"^\W*(?:([A-H])|\d{1,2}[.)]|[ivxIVX]{1,4}[.)])\W+\S", re.MULTILINE)
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_LETTER: Final = re.compile(
    r"[(\[{<]([A-Za-z])[)\]}>]\s*[.:]?\s*(.*)|\$?([A-Za-z])(?:\s*[.):\u3001]\s*(.*)|\s+-\s+(.*))?", re.DOTALL
)
_LEAD: Final = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+|best\s+|final\s+)?(?:answer|option|choice)(?:\s+is)?\s*:?\s+", re.IGNORECASE
)
_BOLD_LETTER: Final = re.compile(r"(\*\*|__|`)\(?([A-Za-z])[.):]?\)?\1\s*[.:]?\s+(?=\S)")
_SHELL: Final = re.compile(r"\$(.*)\$|\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{(.*)\}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoice:
    """1 where the answer chooses a reference's option, else 0 (also without an answer).

    The options are those of the question (`Question.options`), or are read from its text: `A. a cat`, `(B) a dog`,
    `- **C)** a cow`, `[d] an ox`, each on a line of its own or all on one, from A on. Reference and answer may each be
    the letter (`B`, `(b)`, `The answer is B.`), the option's text, or both (`B. a dog`); a letter with the text of
    another option chooses nothing. Without options, letters alone are compared.
    """

    name: str = "choice"
    """Name of the term."""

    def __call__(self, question: Question, answer: str | None, _state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term of 0.0 or 1.0."""
        options = options_of(question)

        def is_right(reference: str, given: str) -> bool:
            expected = chosen_letter(reference, options)
            return expected is not None and chosen_letter(given, options) == expected

        return (RewardTerm(name=self.name, value=best_of(question, answer, is_right)),)

    def problem(self, question: Question) -> str | None:
        """That a reference is none of the options, or that the prompt lists some in a form that is not read."""
        options = options_of(question)
        for reference in question.answers:
            if chosen_letter(reference, options) is None:
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
    """The options that a question offers, by letter; empty where it offers none."""
    if question.options:
        return dict(zip(string.ascii_uppercase, question.options, strict=False))
    return read_options(question.text)


def read_options(text: str) -> Mapping[str, str]:
    """The options that a text lists, by letter; empty where it lists none.

    Of several lists the longest counts, of equally long ones the last. An option ends where the next begins, the last
    one at the end of its line.
    """
    return dict(_read_options(text))


@lru_cache(maxsize=1024)
def _read_options(text: str) -> tuple[tuple[str, str], ...]:
    text = _BREAK.sub("\n", fold_typography(text))
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


def chosen_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that an answer chooses; None where it chooses none, or more than one."""
    plain = _bare(answer)
    named = [letter for letter, text in options.items() if _same(text, plain) or _same(text, answer)]
    match = _LETTER.fullmatch(plain)
    letter = (match[1] or match[3]).upper() if match else None
    if match is None or letter is None or (options and letter not in options):
        return named[0] if len(named) == 1 else None
    said = _bare(match[2] or match[4] or match[5] or "")
    if said and any(_same(text, said) and not _same(options[letter], said) for text in options.values()):
        return None
    return letter


def _same(option: str, said: str) -> bool:
    return normalize_answer(_bare(option)) == normalize_answer(said) or normalize_answer(option) == normalize_answer(
        said
    )


def _letter_of(mark: re.Match[str]) -> str:
    return mark["closed"] or mark["open"] or mark["inner"] or mark["bare"]


def _closed(option: str) -> str:
    """An option without the end of emphasis that began before its letter."""
    for mark in ("**", "__", "`"):
        if option.count(mark) % 2 and option.endswith(mark):
            return option.removesuffix(mark).rstrip()
    return option


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
