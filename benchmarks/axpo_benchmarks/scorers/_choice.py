"""Defines `choose`, the option that a response chooses, and `score_choice`, the verdict on it.

The answer is found as `final_answer` says; where it stands in no box, the last line is tried after it. It chooses an
option where it is its letter standing as a choice (`B`, `(b)`, `B.`, `Option B`), its text, or both, as the reward
`MultipleChoice` reads them. The article in `A red car` is no choice, `Based on ...` no B, and a letter with the text of
another option, two letters, or a denied letter choose nothing.
"""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Final

from axpo_benchmarks.scorers._final_answer import Found, final_answer, final_text, last_line
from axpo_benchmarks.scorers._verdict import Verdict, blank_state, right, unparsable, wrong
from axpo_envs.rewards import MultipleChoice
from axpo_envs.types import Question

_CHOICE: Final = MultipleChoice()
_UNLISTED: Final = "ABCDEFGH"
_LONGEST: Final = 2000


def choose(question: Question, response: str | None) -> Found:
    """The letter that a response chooses; its `rule` says by what, or why there is none."""
    found = final_answer(response)
    candidates = [] if found.text is None else [found.text]
    ending = last_line(final_text(response).text or "")
    if ending and not found.is_boxed and ending != found.text:
        candidates.append(ending)
    for candidate in candidates:
        letter = letter_of(question, candidate)
        if letter is not None:
            rule = found.rule if candidate == found.text else "the last line"
            return Found(text=letter, rule=f"{rule}: {candidate[:80]!r} chooses {letter}")
    if found.text is None:
        return found
    return Found(text=None, rule=f"{found.rule} chooses no option: {found.text[:80]!r}")


def letter_of(question: Question, text: str) -> str | None:
    """The letter of the one option that a text is; None where it is none."""
    return None if len(text) > _LONGEST else _letter(question.options, question.text, text)


# Most responses choose by a letter, and the reference is asked for with each of them.
@lru_cache(maxsize=1 << 14)
def _letter(options: tuple[str, ...], prompt: str, text: str) -> str | None:
    letters = string.ascii_uppercase[: len(options)] or _UNLISTED

    def is_choice(letter: str) -> bool:
        asked = Question(id="", prompt=(prompt,), answer=letter, options=options)
        return _CHOICE(asked, text, blank_state(asked))[0].value == 1.0

    chosen = [letter for letter in letters if is_choice(letter)]
    return chosen[0] if len(chosen) == 1 else None


def score_choice(question: Question, response: str | None) -> Verdict:
    """The verdict on a response to a question with lettered options; each reference is a letter or an option's text."""
    found = choose(question, response)
    if found.text is None:
        return unparsable(found.rule)
    expected = [letter_of(question, answer) for answer in question.answers]
    said = f"{found.rule}; expected {', '.join(map(str, expected))}"
    return right(said) if found.text in expected else wrong(said)
