r"""Defines `CallExtents`: where a call that was opened in a turn ends.

What is quoted inside a call belongs to it. In JSON, a string ends where JSON says, so it may hold any tag; in the
XML style, a parameter's value may hold any tag but `</parameter>`. A body that is neither ends at the next tag of a
call.

Every place of a turn is looked at a bounded number of times, whatever the turn is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final, NamedTuple

from axpo_envs.turn_format.tags import CALL_CLOSE, CALL_OPEN

_CALL_TAG: Final = re.compile("</?tool_call>")
_JSON_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# A backslash or an apostrophe outside a string is no JSON: without such places, two readings of one stretch that begin
# at different calls could both run to the end of the turn.
_BETWEEN_STRINGS: Final = re.compile(r"[^\"\\'<]*+")
_FUNCTION: Final = re.compile(r"\s*+<function=[^>\s]++>\s*+")
_PARAMETER: Final = re.compile(r"<parameter=[^>\s]++>")
_PARAMETER_END: Final = re.compile(r"</parameter>\s*+")
_FUNCTION_END: Final = re.compile(r"</function>\s*+(?=</tool_call>)")


class Extent(NamedTuple):
    """Where a call's body ends, and where the text after it begins."""

    body_stop: int
    """One past the body's last character."""
    stop: int
    """One past the closing tag; equal to `body_stop` where there is none."""
    in_string: bool = False
    """The turn ends within a JSON string of the call."""

    @property
    def closed(self) -> bool:
        """Whether a closing tag ends it."""
        return self.stop > self.body_stop


class CallExtents:
    """Finds the ends of one turn's calls.

    Args:
        text: the turn.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._parameter_ends: list[int] | None = None
        self._function_ends: list[int | None] = []

    def find(self, start: int) -> Extent:
        """Where the call ends whose body begins at `start`."""
        header = _FUNCTION.match(self._text, start)
        if header is None:
            return self._end_of_json(start)
        stop = self._end_of_function(header.end())
        return self._next_tag(start) if stop is None else Extent(stop, stop + len(CALL_CLOSE))

    def _end_of_json(self, start: int) -> Extent:
        position = start
        while True:
            position = _skip(_BETWEEN_STRINGS, self._text, position)
            if self._text.startswith('"', position):
                string = _JSON_STRING.match(self._text, position)
                if string is None:
                    return self._next_tag(start)._replace(in_string=True)
                position = string.end()
            elif self._text.startswith(CALL_CLOSE, position):
                return Extent(position, position + len(CALL_CLOSE))
            elif self._text.startswith(CALL_OPEN, position) or position == len(self._text):
                return Extent(position, position)
            else:
                return self._next_tag(start)

    def _next_tag(self, start: int) -> Extent:
        tag = _CALL_TAG.search(self._text, start)
        if tag is None:
            return Extent(len(self._text), len(self._text))
        return Extent(tag.start(), tag.end() if tag.group() == CALL_CLOSE else tag.start())

    def _end_of_function(self, position: int) -> int | None:
        """Where the closing tag of an XML-style call stands whose parameters begin at `position`; None without one."""
        if (end := _FUNCTION_END.match(self._text, position)) is not None:
            return end.end()
        if self._parameter_ends is None:
            self._read_parameter_ends()
        parameter = _PARAMETER.match(self._text, position)
        return None if parameter is None else self._function_end_from(parameter.end())

    def _function_end_from(self, position: int) -> int | None:
        """The same from within a parameter's value."""
        assert self._parameter_ends is not None
        index = bisect_left(self._parameter_ends, position)
        return self._function_ends[index] if index < len(self._function_ends) else None

    def _read_parameter_ends(self) -> None:
        """Settles for every `</parameter>` of the turn, from the last to the first, where its call ends."""
        ends = list(_PARAMETER_END.finditer(self._text))
        self._parameter_ends = [end.start() for end in ends]
        self._function_ends = [None] * len(ends)
        for index in reversed(range(len(ends))):
            self._function_ends[index] = self._end_of_function(ends[index].end())


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where the text goes on behind a pattern that may match nothing."""
    match = pattern.match(text, position)
    return position if match is None else match.end()
