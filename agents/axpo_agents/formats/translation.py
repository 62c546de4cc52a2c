"""Defines `translate`, which writes a turn's calls as environments read them and remembers where everything stood."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from axpo_agents.formats.call_format import CallFormat
from axpo_envs.parsing import TextSpan
from axpo_envs.turn_format.tags import CALL_OPEN, THINK_CLOSE, THINK_OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A turn as environments read it."""

    text: str
    """The turn with its calls in `<tool_call>` tags."""
    pieces: tuple[tuple[TextSpan, TextSpan, int], ...] = ()
    """For each stretch that was rewritten: where it stands here, where it stood in the turn, and how many characters
    of the turn open the call."""

    def origin(self, span: TextSpan) -> TextSpan:
        """Where a span of the text stood in the turn; all of a rewritten stretch where it touches one."""
        return TextSpan(self._origin(span.start)[0], self._origin(span.stop - 1)[1])

    def opening(self, span: TextSpan) -> int:
        """Where the opening of the call ended in the turn that stands at `span` here."""
        piece = self._piece(span.start)
        if piece is None:
            return self._origin(span.start)[0] + len(CALL_OPEN)
        return piece[1].start + piece[2]

    def _piece(self, place: int) -> tuple[TextSpan, TextSpan, int] | None:
        index = bisect_right(self.pieces, place, key=lambda piece: piece[0].start) - 1
        return self.pieces[index] if index >= 0 and place < self.pieces[index][0].stop else None

    def _origin(self, place: int) -> tuple[int, int]:
        """First and last-plus-one character of the turn that a character here stands for."""
        piece = self._piece(place)
        if piece is not None:
            return piece[1]
        index = bisect_right(self.pieces, place, key=lambda piece: piece[0].start) - 1
        shift = self.pieces[index][1].stop - self.pieces[index][0].stop if index >= 0 else 0
        return place + shift, place + shift + 1


def translate(text: str, calls: CallFormat) -> Translation:
    """A turn as environments read it. Thinking stays as it is, whatever it quotes.

    Args:
        text: the turn, as the model wrote it.
        calls: how the model writes calls.
    """
    written: list[str] = []
    pieces: list[tuple[TextSpan, TextSpan, int]] = []
    copied = position = length = 0
    while (opening := calls.opening(text, position)) is not None:
        thinking = text.find(THINK_OPEN, position, opening.stop)
        if thinking >= 0:
            close = text.find(THINK_CLOSE, thinking)
            position = len(text) if close < 0 else close + len(THINK_CLOSE)
            continue
        call = calls.read(text, opening)
        position = call.stop
        if call.canonical is None:
            continue
        written += [text[copied : opening.start], call.canonical]
        length += opening.start - copied
        here = TextSpan(length, length + len(call.canonical))
        pieces.append((here, TextSpan(opening.start, call.stop), opening.stop - opening.start))
        copied, length = call.stop, here.stop
    return Translation(text="".join([*written, text[copied:]]), pieces=tuple(pieces))
