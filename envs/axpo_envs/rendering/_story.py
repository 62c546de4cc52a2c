"""Defines an episode as passages of text for people: who says what, in the order in which it was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from axpo_envs.observation import in_words
from axpo_envs.plumbing.printable import printable
from axpo_envs.types import EpisodeState, Turn

CUT_CHARACTERS: Final = "characters cut ...]"
"""Ends the mark of a text that was cut before it was wrapped into lines."""

_MOST_CHARS: Final = 4000


class Voice(StrEnum):
    """Who speaks."""

    QUESTION = "question"
    """The environment asks."""
    ASSISTANT = "assistant"
    """The policy."""
    CALL = "call"
    """A tool answers a call."""
    END = "end"
    """How the episode ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What one speaker said at a time."""

    voice: Voice
    """Who."""
    heading: str
    """Who and when, for people; one line."""
    text: str
    """What: nothing in it commands a terminal; cut in the middle where it is very long."""
    call: int = 0
    """Number of the call from 1, where it is a tool's answer."""


def question(state: EpisodeState) -> Passage:
    """What is asked."""
    return _passage(Voice.QUESTION, f"question {state.question.id}", in_words(state.question.prompt))


def turns(state: EpisodeState) -> Iterator[tuple[Passage, ...]]:
    """What was said in each turn: by the policy, then by the tools."""
    before = 0
    for number, turn in enumerate(state.turns, start=1):
        yield tuple(_turn(number, turn, before))
        before += len(turn.calls)


def ending(state: EpisodeState) -> Passage | None:
    """How the episode ended; None while it goes on."""
    if state.stop is None:
        return None
    terms = ", ".join(f"{term.name} {term.value:g}" for term in state.terms)
    return _passage(Voice.END, f"{state.stop.value}: reward {state.reward:g}", terms)


def _turn(number: int, turn: Turn, before: int) -> Iterator[Passage]:
    yield _passage(Voice.ASSISTANT, f"assistant, turn {number}", turn.text)
    for place, record in enumerate(turn.calls, start=before + 1):
        outcome = f"{record.outcome.value}, {record.result.status.value}"
        heading = f"call {place}: {record.call.name or 'no tool'} ({outcome})"
        yield _passage(Voice.CALL, heading, in_words(record.result.content), call=place)


def _passage(voice: Voice, heading: str, text: str, *, call: int = 0) -> Passage:
    one_line = printable(" ".join(heading.split()))
    return Passage(voice=voice, heading=one_line, text=printable(cut(text, _MOST_CHARS)).expandtabs(4), call=call)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and end with a mark in between that counts what is missing."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]}\n[... {len(text) - most:,} {CUT_CHARACTERS}\n{text[-end:]}"
