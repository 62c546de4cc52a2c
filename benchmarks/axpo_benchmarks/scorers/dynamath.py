"""Defines the scorer of DynaMath and `DynaMathReport`, its figures.

The answer is the field "short answer" of the response's JSON; where there is none, it is found as `final_answer` says.
By the kind of answer:

- `float`: one number (fractions, per cent, scientific, with or without unit) that is within 0.001 of the gold; what
  is no number is unparsable.
- `multiple choice`: the letter, or the option's text (see `_choice`); what chooses nothing is unparsable.
- `text`: the gold's words stand in the short answer one after the other, whole, in any case, and no word beside them
  denies or offers another (not, no, neither, nor, or, but, except, if, ...n't). Neither may a comma, a semicolon, a
  slash or an `and` join them to further words, behind `yes`, `no`, `true` and `false` aside. What is merely contained
  in the gold is wrong.

Average accuracy is over all variants and seed questions; worst-case accuracy is the share of seed questions that are
right in every variant that was asked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

from axpo_benchmarks.scorers._choice import letter_of
from axpo_benchmarks.scorers._final_answer import Found, final_answer, final_text
from axpo_benchmarks.scorers._short_answer import FIELD, short_answer
from axpo_benchmarks.scorers._verdict import Outcome, Tally, Verdict, blank_state, right, unparsable, wrong
from axpo_envs.rewards import Numeric
from axpo_envs.types import Question

TOLERANCE: Final = 0.001
"""Largest difference of a right number, absolute."""

_NUMERIC: Final = Numeric(tolerance=TOLERANCE, relative=0.0)
_WORD: Final = re.compile(r"-?\d+(?:[.,]\d+)*|[^\W_]+(?:['\u2019][^\W_]+)?|[^\w\s]")
_DENIALS: Final = frozenset(
    (
        "not",
        "no",
        "neither",
        "nor",
        "or",
        "but",
        "except",
        "never",
        "cannot",
        "without",
        "either",
        "unless",
        "instead",
        "wrong",
        "if",
        "else",
    )
)
_MARKS: Final = frozenset(".:!?\"'`*$")
_JOINTS: Final = frozenset((",", ";", "/", "&", "and"))
_VERDICTS: Final = frozenset(("yes", "no", "true", "false"))


def score_dynamath(question: Question, response: str | None, /) -> Verdict:
    """The verdict by the module's rules."""
    found = _given(response)
    if found.text is None:
        return unparsable(found.rule)
    kind = question.extra["answer_type"]
    said = f"{kind}, {found.rule}: {found.text[:80]!r}; expected {question.answer[:80]!r}"
    if kind == "float":
        if _NUMERIC.problem(replace(question, answer=found.text, alternatives=())) is not None:
            return unparsable(f"{said}: no number")
        is_right = _NUMERIC(question, found.text, blank_state(question))[0].value == 1.0
    elif kind == "multiple choice":
        letter = letter_of(question, found.text)
        if letter is None:
            return unparsable(f"{said}: no option")
        is_right = letter == letter_of(question, question.answer)
    else:
        is_right = contains_words(found.text, question.answer)
    return right(said) if is_right else wrong(said)


def contains_words(answer: str, gold: str) -> bool:
    """Whether a gold's words stand in an answer in order, whole, with no denial beside them."""
    given, wanted = _words(answer), _words(gold)
    if not wanted:
        return given == wanted
    for start in range(len(given) - len(wanted) + 1):
        if given[start : start + len(wanted)] == wanted:
            before, behind = given[:start], given[start + len(wanted) :]
            joined = (before[-1:] and before[-1] in _JOINTS) or (len(behind) > 1 and behind[0] in _JOINTS)
            if joined and not (gold.strip().casefold() in _VERDICTS and not before):
                return False
            beside = before + behind
            return not any(word in _DENIALS or word.endswith(("n't", "n\u2019t")) for word in beside)
    return False


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in _MARKS]


def _given(response: str | None) -> Found:
    found = final_text(response)
    if found.text is None:
        return found
    short = short_answer(found.text)
    if short is not None:
        return Found(text=short, rule="the field 'short answer'")
    if FIELD.search(found.text) is not None:
        return Found(text=None, rule="the field 'short answer' cannot be read")
    return final_answer(response)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynaMathReport:
    """The figures of DynaMath over one response per question."""

    average: float
    """Accuracy over all questions."""
    worst_case: float
    """Share of seed questions that are right in every variant asked."""
    seeds: int
    """Number of seed questions."""
    variants: tuple[int, ...]
    """The variants asked; the paper asks one."""
    tally: Tally
    """Counts of questions."""


def dynamath_report(results: Iterable[tuple[Question, Verdict]]) -> DynaMathReport:
    """The figures over questions and their verdicts.

    Raises:
        ValueError: there are none, or a seed question was not asked in the same variants as the others.
    """
    by_seed: dict[str, dict[int, bool]] = defaultdict(dict)
    listed = list(results)
    for question, verdict in listed:
        by_seed[question.extra["seed"]][question.extra["variant"]] = verdict.outcome is Outcome.RIGHT
    asked = {tuple(sorted(variants)) for variants in by_seed.values()}
    if len(asked) != 1 or len(listed) != sum(map(len, by_seed.values())):
        raise ValueError(f"expected every seed question once in each of the same variants; got {sorted(asked)}")
    rights = [list(variants.values()) for variants in by_seed.values()]
    return DynaMathReport(
        average=fmean(one for variants in rights for one in variants),
        worst_case=fmean(map(all, rights)),
        seeds=len(rights),
        variants=next(iter(asked)),
        tally=Tally.of(verdict for _, verdict in listed),
    )
