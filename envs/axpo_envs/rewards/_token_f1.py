"""Defines `TokenF1`, the reward for answers in words of which some may be right."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from axpo_envs.rewards._answer_text import fold_typography
from axpo_envs.rewards.reward import best_of
from axpo_envs.types import EpisodeState, Question, RewardTerm

_ARTICLES: Final = ("a", "an", "the")
_BRACKETS: Final = (
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ('"', '"'),
    ("'", "'"),
    ("`", "`"),
    ("**", "**"),
    ("*", "*"),
    ("_", "_"),
)
_EMPHASIS: Final = re.compile(r"(?<!\w)(\*\*|__|\*)(?=\S)([^*_]+)(?<=\S)\1(?!\w)")
_LONGEST_WORD: Final = 1000
"""A longer token is no word: it is compared as it stands, instead of being bared mark by mark."""
_GROUPED: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_OPERATOR: Final = re.compile(r"[-+=<>*/^%~|&\u00b1\u00d7\u00f7\u2260\u2264\u2265\u2248]+")
_INNER_MARKS: Final = str.maketrans("", "", '.,;:?@$&~|_\\()[]{}"`')
_WORD_MARKS: Final = str.maketrans("", "", "-'!")
_LETTERS: Final = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenF1:
    """The F1 of the answer's words against the reference's, 0 to 1 (0 without an answer); of several the best.

    Words are compared as in SQuAD (Rajpurkar et al., arXiv:1606.05250): in lower case, without the articles a, an and
    the, and without punctuation, except where it carries meaning: in numbers (`3.14`, `-5`, `5%`, `5!`, `$5`), between
    them (`5 - 3`), behind single letters (`f'`, `A+`, `C#`) and in `/`, `+`, `=`, `<`, `>`, `^`. Where nothing is left
    of either text, 1 if nothing is left of both.
    """

    name: str = "token_f1"
    """Name of the term."""

    def __call__(self, question: Question, answer: str | None, _state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term from 0.0 to 1.0."""
        return (RewardTerm(name=self.name, value=best_of(question, answer, token_f1)),)


def token_f1(reference: str, answer: str) -> float:
    """The F1 of two texts' words.

    Worked value: "the cat sat" against "a cat sat down" shares 2 words: precision 2/3, recall 2/2, F1 0.8.
    """
    expected, given = Counter(_words(reference)), Counter(_words(answer))
    if not expected or not given:
        return float(expected == given)
    return 2 * (expected & given).total() / (expected.total() + given.total())


def _words(text: str) -> list[str]:
    bare = _EMPHASIS.sub(r"\2", fold_typography(text).lower())
    plain = _GROUPED.sub(lambda found: found[0].replace(",", ""), bare)
    tokens = plain.split()
    words = [_word(token) for token in tokens]
    for place, token in enumerate(tokens):
        # A dash between words parts a sentence; between numbers or single letters it takes away.
        if token == "-" and not all(map(_is_term, (words[place - 1 : place] + words[place + 1 : place + 2]))):
            words[place] = ""
    return [word for word in words if word and word not in _ARTICLES]


def _word(token: str) -> str:
    """A token as it is compared; empty where nothing of it counts."""
    if len(token) > _LONGEST_WORD:
        return token
    word = token
    while True:
        bare = word.rstrip(".,;:?") if any(map(str.isalnum, word)) else word
        for opening, closing in _BRACKETS:
            if len(bare) > len(opening + closing) and bare.startswith(opening) and bare.endswith(closing):
                bare = bare[len(opening) : -len(closing)]
        if bare == word:
            break
        word = bare
    if any(map(str.isdigit, word)):
        return word.lstrip('"`')
    if not any(map(str.isalnum, word)):
        return word if _OPERATOR.fullmatch(word) else ""
    plain = word.translate(_INNER_MARKS)
    return plain.translate(_WORD_MARKS) if _LETTERS.search(plain) else plain


def _is_term(word: str) -> bool:
    return len(word) == 1 or any(map(str.isdigit, word))
