r"""Defines `parse_turn`, which reads thinking, tool calls and the answer out of an assistant turn and never raises.

A turn is read from its start, and a structure that has begun is read to its end before anything else: tags within
thinking, within a call or between a pair of answer tags are text there.

| what the turn holds | what becomes of it |
|---|---|
| `<think>...</think>` | thinking, up to the first closing tag |
| a first `</think>` outside calls and answers, no `<think>` before | all before it is thinking (the prompt opened it) |
| `<think>` without `</think>` | everything after it is thinking |
| `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` | a call; its JSON strings may hold any tag |
| the same with the arguments as a JSON string | a call; the string is read as JSON |
| `<tool_call><function=F><parameter=P>value</parameter></function></tool_call>` | a call of untyped values |
| `<tool_call>` without `</tool_call>` before the next `<tool_call>` or the end | `UNCLOSED` |
| the same with `</think>` behind it that no JSON string holds, no `<think>` before | text (of opened thinking) |
| no JSON, no object, several objects in one pair of tags | `MALFORMED`; ends at the next tag of a call |
| no name, a name that is no string, arguments that are no object | `MALFORMED` |
| NaN, Infinity, numbers beyond 1e308 or 300 digits, half a surrogate pair, more than 64 levels | `MALFORMED` |
| several pairs of tags | several calls, in order |
| a stray closing tag | text |
| `<answer>...</answer>` outside thinking and calls | the answer, stripped; it may quote tags; the last one counts |
| `<answer>` without `</answer>` before the next `<answer>` or the end | text, no answer |
| `\boxed{...}` outside thinking and calls, braces balanced | the answer, as `AnswerFormat` says; the last one counts |
| calls and an answer | both are returned; the environment runs the calls and ignores the answer |

Whether a tool exists and its arguments fit (`UNKNOWN_TOOL`, `INVALID_ARGUMENTS`) is judged where calls are executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from axpo_envs.turn_format._boxed import BOXED, boxes, last_boxed
from axpo_envs.turn_format._call_extent import CallExtents
from axpo_envs.turn_format._call_reading import ParsedCall, TextSpan, clip, read_call, unclosed_call
from axpo_envs.turn_format.tags import ANSWER_CLOSE, ANSWER_OPEN, CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN

__all__ = [
    "ANSWER_CLOSE",
    "ANSWER_OPEN",
    "CALL_CLOSE",
    "CALL_OPEN",
    "THINK_CLOSE",
    "THINK_OPEN",
    "AnswerFormat",
    "ParsedCall",
    "ParsedTurn",
    "TextSpan",
    "clip",
    "parse_turn",
]

_OPENING: Final = re.compile(r"</?think>|<tool_call>|<answer>|\\boxed\{")
_ANSWER_TAG: Final = re.compile("</?answer>")


class AnswerFormat(StrEnum):
    """Where a turn's final answer stands."""

    TAG = "tag"
    r"""Between `<answer>` and `</answer>` only."""
    BOXED = "boxed"
    r"""In `\boxed{...}` only."""
    EITHER = "either"
    r"""Between the tags, else in `\boxed{...}`."""
    BOXED_TAG = "boxed_tag"
    r"""In `\boxed{...}` between the tags only: `<answer>\boxed{...}</answer>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTurn:
    """What an assistant turn holds."""

    thinking: str | None = None
    """The text of the thinking spans without their tags, joined by newlines; None without one."""
    thinking_spans: tuple[TextSpan, ...] = ()
    """The thinking spans, tags included."""
    calls: tuple[ParsedCall, ...] = ()
    """The attempted calls outside thinking, in order."""
    answer: str | None = None
    """The final answer, stripped; None without one."""


def parse_turn(text: str, *, answers: AnswerFormat = AnswerFormat.EITHER) -> ParsedTurn:
    """Reads an assistant turn. Takes any string and never raises; the module's table lists every outcome.

    It takes time in proportion to the turn's length, whatever the turn is.
    """
    reading = _Reading(text)
    position = 0
    while (match := _OPENING.search(text, position)) is not None:
        position = reading.take(match)
    reading.keep_text(len(text))
    return ParsedTurn(
        thinking="\n".join(reading.thoughts) if reading.spans else None,
        thinking_spans=tuple(reading.spans),
        calls=tuple(reading.calls),
        answer=_find_answer(reading, answers),
    )


class _Reading:
    """What was found in a turn so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.thoughts: list[str] = []
        self.spans: list[TextSpan] = []
        self.calls: list[ParsedCall] = []
        self.tagged: list[str] = []
        self.plain: list[str] = []
        self._seen = 0
        self._extents = CallExtents(text)
        self._boxes: dict[int, int] | None = None
        self._next_answer = -1

    def take(self, opening: re.Match[str]) -> int:
        """Reads the structure that begins with a tag to its end; returns where the turn goes on."""
        match opening.group():
            case "<think>":
                return self._think(opening)
            case "</think>":
                return self._end_opened_thinking(opening)
            case "<tool_call>":
                return self._call(opening)
            case "<answer>":
                return self._answer(opening)
            case _:
                return self._box(opening)

    def keep_text(self, stop: int) -> None:
        """Adds what was passed over to the text in which answers are looked for."""
        self.plain.append(self.text[self._seen : stop])
        self._seen = stop

    def _think(self, opening: re.Match[str]) -> int:
        close = self.text.find(THINK_CLOSE, opening.end())
        stop = len(self.text) if close < 0 else close + len(THINK_CLOSE)
        self.keep_text(opening.start())
        self.thoughts.append(self.text[opening.end() : stop if close < 0 else close])
        self.spans.append(TextSpan(opening.start(), stop))
        self._seen = stop
        return stop

    def _end_opened_thinking(self, closing: re.Match[str]) -> int:
        """The prompt had opened thinking: whatever was found before its end was thought of, not done."""
        if not self.spans:
            self.calls, self.tagged, self.plain = [], [], []
            self.thoughts.append(self.text[: closing.start()])
            self.spans.append(TextSpan(0, closing.end()))
            self._seen = closing.end()
        return closing.end()

    def _call(self, opening: re.Match[str]) -> int:
        extent = self._extents.find(opening.end())
        body = self.text[opening.end() : extent.body_stop]
        if not (extent.closed or extent.in_string or self.spans) and THINK_CLOSE in body:
            # Thinking that the prompt had opened mentions the tag.
            return opening.end()
        self.keep_text(opening.start())
        span = TextSpan(opening.start(), extent.stop)
        self.calls.append(read_call(body, span) if extent.closed else unclosed_call(body, span, extent.in_string))
        self._seen = extent.stop
        return extent.stop

    def _answer(self, opening: re.Match[str]) -> int:
        tag = _ANSWER_TAG.search(self.text, opening.end())
        if tag is None or tag.group() == ANSWER_OPEN:
            return opening.end()
        self.tagged.append(self.text[opening.end() : tag.start()].strip())
        return tag.end()

    def _box(self, opening: re.Match[str]) -> int:
        if self._boxes is None:
            self._boxes = dict(boxes(self.text))
        start = opening.end()
        if self._next_answer < start:
            found = self.text.find(ANSWER_OPEN, start)
            self._next_answer = len(self.text) if found < 0 else found
        stop = self._boxes.get(start)
        return start if stop is None or self._next_answer < stop else stop


def _find_answer(reading: _Reading, answers: AnswerFormat) -> str | None:
    """The last answer in the text outside thinking and calls."""
    if answers is AnswerFormat.BOXED_TAG:
        boxed = last_boxed(reading.tagged[-1]) if reading.tagged else None
        return None if boxed is None else boxed.strip()
    if answers is not AnswerFormat.BOXED and reading.tagged:
        tagged = reading.tagged[-1]
        boxed = last_boxed(tagged)
        return boxed.strip() if boxed is not None and tagged == f"{BOXED}{boxed}}}" else tagged
    if answers is not AnswerFormat.TAG:
        found = (boxed for text in reversed(reading.plain) if (boxed := last_boxed(text)) is not None)
        return next((boxed.strip() for boxed in found), None)
    return None
