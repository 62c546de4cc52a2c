"""Defines what the page of an audit shows of a stranger's rollout, in the pieces that pages of runs are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from axpo.audit.exhibits import Exhibit
from axpo.audit.record import AssistantTurn, Call
from axpo.audit.turns import reads_like_an_error
from axpo.report._pictures import Drawing, Picture
from axpo.report._rollout_view import Piece, Reply, Tone, TurnView, pieces_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A rollout as the page shows it."""

    place: str
    """Where its record stands."""
    prompt: str
    """What was asked."""
    verdict: str
    """What came of it, in a few words."""
    correct: bool | None
    """Whether it is right; None where it was not scored."""
    scenes: tuple[Picture, ...]
    """The images that its record keeps."""
    shown: tuple[Picture, ...]
    """None: what the policy saw of them is not told."""
    turns: tuple[TurnView, ...]
    """Its turns."""


def example(exhibit: Exhibit, threshold: float) -> Example:
    """The rollout as the page shows it; rewards below the threshold are wrong."""
    reward, calls = exhibit.transcript.reward, len(exhibit.rollout.calls)
    correct = None if reward is None else reward >= threshold
    judged = "not scored" if reward is None else f"{'right' if correct else 'wrong'}, reward {reward:g}"
    hops = "" if exhibit.transcript.hops is None else f" of {exhibit.transcript.hops} needed"
    malformed = exhibit.rollout.known.count(False)
    numbers = count(1)
    return Example(
        place=exhibit.place,
        prompt=exhibit.prompt,
        verdict=f"{judged} · {calls} call{'' if calls == 1 else 's'}{hops}"
        + (f", {malformed} malformed" if malformed else ""),
        correct=correct,
        scenes=tuple(Drawing(image).picture() for image in exhibit.images),
        shown=(),
        turns=tuple(_turn(turn, numbers) for turn in exhibit.transcript.turns),
    )


def _turn(turn: AssistantTurn, numbers: Iterator[int]) -> TurnView:
    pieces = [*pieces_of(turn.text)]
    if turn.thinking:
        pieces.insert(0, Piece(text=f"{turn.thinking}\n", tone=Tone.THINKING, frozen=False))
    calls = turn.calls or ()
    # Calls without arguments stand in the text already.
    pieces += (
        Piece(text=f"\n{call.name or '(no name)'} {call.arguments}", tone=Tone.CALL, frozen=False)
        for call in calls
        if call.arguments is not None
    )
    return TurnView(
        pieces=tuple(pieces),
        replies=tuple(
            _reply(result, calls[place] if place < len(calls) else None, next(numbers))
            for place, result in enumerate(turn.results)
        ),
    )


def _reply(result: str, call: Call | None, number: int) -> Reply:
    succeeded = None if call is None else call.succeeded
    ok = not reads_like_an_error(result) if succeeded is None else succeeded
    return Reply(label=str(number), status="ok" if ok else "error", ok=ok, text=result or "(no text)", pictures=())
