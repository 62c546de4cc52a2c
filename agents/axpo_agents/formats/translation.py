"""Defines `translate`, which writes a turn's calls as environments read them and remembers where everything stood."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from axpo_agents.formats.call_format import CallFormat
from axpo_envs.parsing import TextSpan, parse_turn
from axpo_envs.tags import CALL_OPEN


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
    if calls.native:
        return Translation(text=text)
    written: list[str] = []
    pieces: list[tuple[TextSpan, TextSpan, int]] = []
    position = length = 0
    for stretch in _outside_thinking(text):
        for call in calls.find(text[stretch.start : stretch.stop]):
            start, stop = stretch.start + call.span.start, stretch.start + call.span.stop
            written += [text[position:start], call.canonical]
            length += start - position
            here = TextSpan(length, length + len(call.canonical))
            pieces.append((here, TextSpan(start, stop), call.opening - call.span.start))
            position, length = stop, here.stop
    return Translation(text="".join([*written, text[position:]]), pieces=tuple(pieces))


def _outside_thinking(text: str) -> list[TextSpan]:
    edges = [0, *(edge for span in parse_turn(text).thinking_spans for edge in span), len(text)]
    return [TextSpan(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
