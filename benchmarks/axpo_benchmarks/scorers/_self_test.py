r"""Defines `self_test`, which feeds a scorer phrasings of the right answer and near misses of it.

Phrasings say the gold in the ways in which models say it; near misses say another answer, two of them, none, or the
gold where it does not count: in thoughts, in an earlier `<answer>`, in an earlier `\boxed{}`, denied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from axpo_benchmarks.scorers._verdict import Outcome, Scorer
from axpo_envs.types import Question

_SAID: Final = (
    "{}",
    " {}\n",
    "**{}**",
    "\\boxed{{{}}}",
    "So $\\boxed{{{}}}$.",
    "<answer>{}</answer>",
    "<answer>\n{}\n</answer>",
    "Let me see.\n<answer>{}</answer>",
    "<think>Hm.</think>{}",
    "<think>It may be 99 or A.</think>\n<answer>{}</answer>",
    "<answer>qqq</answer> No: <answer>{}</answer>",
    "First \\boxed{{qqq}}, then \\boxed{{{}}}",
    "The answer is {}",
    "the answer is: {}",
    "Answer: {}",
    "**Answer:** {}",
    "**Answer: {}**",
    "Final Answer: {}",
    "I looked twice.\nThe answer is {}",
    "The answer is {}, because it is what the image shows.",
    "\u7b54\u6848\u662f\uff1a{}",
    "<answer>The answer is {}</answer>",
    "<answer>\\boxed{{{}}}</answer>",
)
_UNSAID: Final = (
    "",
    " \n",
    "?",
    "I cannot tell.",
    "<answer></answer>",
    "\\boxed{}",
    "Based on the image, this is hard.",
    "A red herring.",
    "Because of the light, none of them.",
    "<think>It is GOLD.",
    "<think>It is GOLD.</think>",
    "<answer>GOLD",
    "<think><answer>GOLD</answer></think> I do not know.",
    "The answer is not GOLD",
    "It is not GOLD.",
    "The answer is GOLD or OTHER",
    "GOLD, OTHER",
    "<answer>GOLD</answer><answer>OTHER</answer>",
    "\\boxed{GOLD} and then \\boxed{OTHER}",
    "The answer is GOLD. No, the answer is OTHER",
    "<think>GOLD</think><answer>OTHER</answer>",
    "OTHER",
    "The answer is OTHER",
    "__import__('os').abort()",
    "GOLD if OTHER is None else OTHER",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misjudged:
    """A response that a scorer misjudges."""

    response: str
    """What was said."""
    expected_right: bool
    """Whether it is right."""
    reason: str
    """What the scorer said."""


def phrasings(gold: str) -> tuple[str, ...]:
    """Twenty-odd responses that give this answer."""
    return tuple(form.format(gold) for form in _SAID)


def near_misses(gold: str, other: str) -> tuple[str, ...]:
    """Twenty-odd responses that do not give the answer `gold`; `other` is a wrong one."""
    return tuple(form.replace("GOLD", gold).replace("OTHER", other) for form in _UNSAID)


def letter_phrasings(letter: str, text: str) -> tuple[str, ...]:
    """Forms of choosing an option by its letter, its text, or both."""
    low = letter.lower()
    forms = f"{letter}.|({letter})|{low}|({low})|[{letter}]|{letter})|Option {letter}|`{letter}`|$\\text{{{letter}}}$"
    return (*forms.split("|"), f"{letter}. {text}", f"({letter}) {text}", f"{letter}: {text}", text)


def short_answers(gold: str) -> tuple[str, ...]:
    """Forms of the JSON that DynaMath asks for."""
    plain = json.dumps({"solution": "We add: {1, 2}.\nDone.", "short answer": gold})
    return (plain, f"```json\n{plain}\n```", f"Here it is:\n{plain}\nI am sure.", f"<think>x</think>{plain}")


def self_test(
    scorer: Scorer, question: Question, *, rights: Sequence[str], wrongs: Sequence[str]
) -> tuple[Misjudged, ...]:
    """What a scorer misjudges: empty where it calls every one of `rights` right and none of `wrongs`."""
    misjudged = []
    for expected, responses in ((True, rights), (False, wrongs)):
        for response in responses:
            verdict = scorer(question, response)
            if (verdict.outcome is Outcome.RIGHT) is not expected:
                misjudged.append(Misjudged(response=response, expected_right=expected, reason=verdict.reason))
    return tuple(misjudged)
