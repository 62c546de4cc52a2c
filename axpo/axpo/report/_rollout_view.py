"""Defines what a page shows of a saved rollout: its turns in coloured pieces, its images, the boxes of its calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, pairwise
from typing import Final

from axpo.records.rollout_record import Cut, RolloutRecord
from axpo.report._pictures import Album, Drawing, Picture
from axpo_envs.images import ImageRef
from axpo_envs.parsing import parse_turn
from axpo_envs.turn_format.tags import ANSWER_CLOSE, ANSWER_OPEN
from axpo_envs.types import CallOutcome, CallRecord, Turn

_ANSWER: Final = re.compile(f"{ANSWER_OPEN}.*?{ANSWER_CLOSE}", re.DOTALL)


class Tone(StrEnum):
    """What a piece of a turn is."""

    THINKING = "thinking"
    """Within thinking tags."""
    CALL = "call"
    """A tool call, tags included."""
    ANSWER = "answer"
    """The final answer, tags included."""
    TEXT = "text"
    """Anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a turn's text."""

    text: str
    """The text, unescaped: templates escape it."""
    tone: Tone
    """What it is."""
    frozen: bool
    """Whether it belongs to a prefix that was frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of a call."""

    label: str
    """Number of the call within the episode."""
    status: str
    """How it ended: `ok`, or what went wrong."""
    ok: bool
    """The tool ran and returned a result."""
    text: str
    """What the policy read."""
    pictures: tuple[Picture, ...]
    """What the policy saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """One assistant turn and the replies to it."""

    pieces: tuple[Piece, ...]
    """Its text."""
    replies: tuple[Reply, ...]
    """What came of its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """Everything that a page shows of a rollout."""

    step: int
    """The training step."""
    question: str
    """What was asked."""
    answer: str
    """The reference answer."""
    scenes: tuple[Picture, ...]
    """The question's images with the regions that calls asked for."""
    shown: tuple[Picture, ...]
    """The same images as the policy saw them, where that differs."""
    turns: tuple[TurnView, ...]
    """Its turns."""
    reward: float
    """Its reward."""
    correct: bool
    """Whether the reward counts as a success."""
    used_tool: bool
    """Whether it called a tool."""
    stop: str
    """Why it ended."""


def view_rollout(rollout: RolloutRecord, album: Album, *, cut: Cut | None = None) -> RolloutView:
    """What a page shows of a rollout.

    Args:
        rollout: a saved rollout.
        album: where its images are.
        cut: where it was cut as the source of a branch, or cut off from its source as a continuation; everything
            before that is marked as frozen.
    """
    scenes = [Drawing(image) for image in rollout.question.images]
    drawings = list(scenes)
    crops: list[list[Drawing]] = []
    calls = rollout.rollout.episode.calls
    for number, call in enumerate(calls):
        for mark in rollout.marks[number] if number < len(rollout.marks) else ():
            if mark.image < len(drawings):
                drawings[mark.image].add(mark, str(number + 1))
        crops.append([Drawing(part) for part in call.result.content if isinstance(part, ImageRef)])
        drawings += crops[-1]
    replies = iter([_reply(str(number), *pair, album) for number, pair in enumerate(zip(calls, crops, strict=True), 1)])
    return RolloutView(
        step=rollout.step,
        question=rollout.question.text.strip(),
        answer=rollout.question.answer,
        scenes=tuple(map(album.picture, scenes)),
        shown=tuple(album.picture(Drawing(image)) for image in rollout.shown),
        turns=tuple(
            TurnView(
                pieces=pieces_of(turn.text, _frozen(number, turn, cut)), replies=tuple(islice(replies, len(turn.calls)))
            )
            for number, turn in enumerate(rollout.turns)
        ),
        reward=rollout.reward,
        correct=album.correct(rollout),
        used_tool=rollout.used_tool,
        stop=rollout.stop.value,
    )


def _reply(label: str, call: CallRecord, crops: Sequence[Drawing], album: Album) -> Reply:
    executed = call.outcome is CallOutcome.EXECUTED
    status = call.result.status.value if executed else call.outcome.value.replace("_", " ")
    return Reply(
        label=label,
        status=status,
        ok=call.succeeded,
        text="".join(part for part in call.result.content if isinstance(part, str)).strip(),
        pictures=tuple(map(album.picture, crops)),
    )


def _frozen(number: int, turn: Turn, cut: Cut | None) -> int:
    """How many characters of a turn are frozen."""
    if cut is None or number > cut.turn:
        return 0
    return len(turn.text) if number < cut.turn else cut.characters(turn.text)


def pieces_of(text: str, frozen: int = 0) -> tuple[Piece, ...]:
    """A turn's text cut wherever its tone changes, and where its frozen part (that many characters) ends."""
    tones = list(_tones(text))
    edges = sorted({*(start for start, _ in tones), frozen, len(text)})
    pieces = []
    for start, stop in pairwise(edges):
        tone = next(tone for begin, tone in reversed(tones) if begin <= start)
        pieces.append(Piece(text=text[start:stop], tone=tone, frozen=stop <= frozen))
    return tuple(pieces)


def _tones(text: str) -> Iterator[tuple[int, Tone]]:
    """Where each stretch of one tone begins."""
    turn = parse_turn(text)
    spans = [(span.start, span.stop, Tone.THINKING) for span in turn.thinking_spans]
    spans += [(call.span.start, call.span.stop, Tone.CALL) for call in turn.calls]
    spans += [(match.start(), match.end(), Tone.ANSWER) for match in _ANSWER.finditer(text)]
    position = 0
    for start, stop, tone in sorted(spans):
        if start < position:
            continue
        if start > position:
            yield position, Tone.TEXT
        yield start, tone
        position = stop
    if position < len(text):
        yield position, Tone.TEXT
