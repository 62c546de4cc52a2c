r"""Defines `parse_turn`, which reads thinking, tool calls and the answer out of an assistant turn and never raises.

| what the turn holds | what becomes of it |
|---|---|
| `<think>...</think>` | thinking; tags inside it are text |
| a first `</think>` without `<think>` before it | everything before it is thinking (the prompt opened it) |
| `<think>` without `</think>` | everything after it is thinking |
| `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` | a call; missing arguments are `{}` |
| the same with the arguments as a JSON string | a call; the string is read as JSON |
| `<tool_call><function=F><parameter=P>value</parameter></function></tool_call>` | a call; its values are untyped |
| `<tool_call>` without `</tool_call>` before the next `<tool_call>` or the end | `UNCLOSED` |
| no JSON, no object, several objects in one pair of tags | `MALFORMED` |
| no name, a name that is no string, arguments that are no object | `MALFORMED` |
| NaN, Infinity, numbers beyond 1e308 or 300 digits, half a surrogate pair, more than 64 levels | `MALFORMED` |
| several pairs of tags | several calls, in order; an argument that quotes one of these tags writes `\u003c` for `<` |
| a stray closing tag | text |
| `<answer>...</answer>` outside thinking and calls | the answer, stripped; the last one counts |
| `<answer>` without `</answer>`, or with thinking or a call before it | text, no answer |
| `\boxed{...}` outside thinking and calls, braces balanced | the answer, as `AnswerFormat` says; the last one counts |
| calls and an answer | both are returned; the environment runs the calls and ignores the answer |

Whether a tool exists and its arguments fit (`UNKNOWN_TOOL`, `INVALID_ARGUMENTS`) is judged where calls are executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from axpo_envs.strict_json import JsonError, read_json
from axpo_envs.surrogates import has_surrogates
from axpo_envs.types import CallOutcome, ToolCall

THINK_OPEN: Final = "<think>"
THINK_CLOSE: Final = "</think>"
CALL_OPEN: Final = "<tool_call>"
CALL_CLOSE: Final = "</tool_call>"
ANSWER_OPEN: Final = "<answer>"
ANSWER_CLOSE: Final = "</answer>"

_OPENING: Final = re.compile("<think>|<tool_call>")
_CALL_TAG: Final = re.compile("</?tool_call>")
_FUNCTION: Final = re.compile(r"\s*<function=([^>\s]+)>(.*)</function>\s*", re.DOTALL)
_PARAMETER: Final = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)
_BOXED: Final = "\\boxed{"
_BRACE: Final = re.compile(r"\\boxed\{|\\?[{}]")


class AnswerFormat(StrEnum):
    """Where a turn's final answer stands."""

    TAG = "tag"
    r"""Between `<answer>` and `</answer>` only."""
    BOXED = "boxed"
    r"""In `\boxed{...}` only."""
    EITHER = "either"
    r"""Between the tags, else in `\boxed{...}`."""


class TextSpan(NamedTuple):
    """A half-open range of characters of a turn."""

    start: int
    """First character."""
    stop: int
    """One past the last character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCall:
    """One attempted call as far as its text alone tells."""

    call: ToolCall
    """Name and arguments as written."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The arguments as read from JSON; empty where the call has a defect."""
    untyped: bool = False
    """The argument values are bare text (`<parameter=P>`), to be read according to the tool's schema."""
    defect: CallOutcome | None = None
    """`MALFORMED` or `UNCLOSED`; None for a well-formed call."""
    problem: str = ""
    """What is wrong and what was expected, for the policy; empty without a defect."""
    span: TextSpan
    """The call in the turn's text, tags included."""


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
    """Reads an assistant turn. Takes any string and never raises; the module's table lists every outcome."""
    thoughts: list[str] = []
    spans: list[TextSpan] = []
    calls: list[ParsedCall] = []
    plain: list[str] = []
    position = _end_of_opened_thinking(text)
    if position:
        thoughts.append(text[: position - len(THINK_CLOSE)])
        spans.append(TextSpan(0, position))
    while (match := _OPENING.search(text, position)) is not None:
        plain.append(text[position : match.start()])
        if match.group() == CALL_OPEN:
            calls.append(_parse_call(text, match))
            position = calls[-1].span.stop
        else:
            close = text.find(THINK_CLOSE, match.end())
            position = len(text) if close < 0 else close + len(THINK_CLOSE)
            thoughts.append(text[match.end() :] if close < 0 else text[match.end() : close])
            spans.append(TextSpan(match.start(), position))
    plain.append(text[position:])
    return ParsedTurn(
        thinking="\n".join(thoughts) if spans else None,
        thinking_spans=tuple(spans),
        calls=tuple(calls),
        answer=_find_answer(plain, answers),
    )


def clip(text: str, limit: int = 80) -> str:
    """Text as an error message quotes it: printable, at most `limit` characters and an ellipsis."""
    shown = text if len(text) <= limit else text[:limit] + "..."
    return shown.encode("utf-8", "backslashreplace").decode()


def _end_of_opened_thinking(text: str) -> int:
    """Where thinking ends that began before the text did; 0 if none did."""
    close = text.find(THINK_CLOSE)
    if close < 0 or 0 <= text.find(THINK_OPEN) < close:
        return 0
    return close + len(THINK_CLOSE)


def _parse_call(text: str, opening: re.Match[str]) -> ParsedCall:
    closing = _CALL_TAG.search(text, opening.end())
    if closing is not None and closing.group() == CALL_CLOSE:
        return _parse_body(text[opening.end() : closing.start()], TextSpan(opening.start(), closing.end()))
    stop = len(text) if closing is None else closing.start()
    return ParsedCall(
        call=ToolCall(name="", arguments=text[opening.end() : stop]),
        defect=CallOutcome.UNCLOSED,
        problem="the opening tool_call tag was never closed; expected a closing tag after the call",
        span=TextSpan(opening.start(), stop),
    )


def _parse_body(body: str, span: TextSpan) -> ParsedCall:
    try:
        if has_surrogates(body):
            raise JsonError("holds half of a surrogate pair")
        if (function := _FUNCTION.fullmatch(body)) is not None:
            name, untyped = function.group(1), True
            arguments: Any = _read_parameters(function.group(2))
        else:
            (name, arguments), untyped = _read_json_call(body), False
    except JsonError as defect:
        return ParsedCall(
            call=ToolCall(name="", arguments=body),
            defect=CallOutcome.MALFORMED,
            problem=f'the call {defect}; expected {{"name": "...", "arguments": {{...}}}} between the tool_call tags',
            span=span,
        )
    raw = json.dumps(arguments, ensure_ascii=False)
    return ParsedCall(call=ToolCall(name=name, arguments=raw), arguments=arguments, untyped=untyped, span=span)


def _read_parameters(body: str) -> dict[str, str]:
    arguments: dict[str, str] = {}
    position = 0
    while (match := _PARAMETER.match(body, position)) is not None:
        arguments[match.group(1)] = match.group(2)
        position = match.end()
    if body[position:].strip():
        raise JsonError(f"holds {clip(body[position:].strip())!r}, which is no parameter")
    return arguments


def _read_json_call(body: str) -> tuple[str, dict[str, Any]]:
    data = read_json(body)
    if not isinstance(data, dict):
        raise JsonError(f"is a JSON {_kind(data)}, not an object")
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise JsonError("has no name" if name in (None, "") else "has a name that is no string")
    if "arguments" not in data and (others := sorted(set(data) - {"name"})):
        raise JsonError(f"has no arguments, only {clip(', '.join(others))}")
    arguments = data.get("arguments", {})
    if isinstance(arguments, str):
        arguments = read_json(arguments)
    if not isinstance(arguments, dict):
        raise JsonError(f"has arguments that are a JSON {_kind(arguments)}, not an object")
    return name, arguments


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _find_answer(plain: list[str], answers: AnswerFormat) -> str | None:
    """The last answer in the text outside thinking and calls."""
    if answers is not AnswerFormat.BOXED and (tagged := _last_found(plain, _last_tagged)) is not None:
        boxed = _last_boxed(tagged)
        return boxed.strip() if boxed is not None and tagged == f"{_BOXED}{boxed}}}" else tagged
    if answers is not AnswerFormat.TAG and (boxed := _last_found(plain, _last_boxed)) is not None:
        return boxed.strip()
    return None


def _last_found(texts: list[str], find: Callable[[str], str | None]) -> str | None:
    return next((found for text in reversed(texts) if (found := find(text)) is not None), None)


def _last_tagged(text: str) -> str | None:
    """What stands after the last opening tag that is closed before the next one, stripped."""
    for piece in reversed(text.split(ANSWER_OPEN)[1:]):
        content, closing, _ = piece.partition(ANSWER_CLOSE)
        if closing:
            return content.strip()
    return None


def _last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` to close; braces must balance, escaped ones do not count."""
    last: tuple[int, int] | None = None
    openings: list[int | None] = []
    for match in _BRACE.finditer(text):
        brace = match.group()
        if brace == "}" and openings:
            inside = openings.pop()
            last = last if inside is None else (inside, match.start())
        elif brace == "{":
            openings.append(None)
        elif brace == _BOXED:
            openings.append(match.end())
    return None if last is None else text[slice(*last)]
