"""Defines `read_rollout`: calls, thinking and mentions of tools in a transcript, in the usual spellings of calls."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from axpo.audit.record import AssistantTurn, Call, Rollout, Transcript
from axpo.diagnostics.demands import Attempt, Fate
from axpo_envs.parsing import parse_turn

_THOUGHTS: Final = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>"))
_TAGGED: Final = re.compile(r"<(search|python|code|tool|execute|browse|image_search|open)>(.*?)</\1>", re.DOTALL)
"""Calls of policies in the manner of Search-R1 (arXiv:2503.09516): the tag is the tool."""
_RESULT: Final = re.compile(
    r"<(information|tool_response|result|output|observation|interpreter)>(.*?)</\1>", re.DOTALL | re.IGNORECASE
)
_FAILURE: Final = re.compile(
    r"\s*(?:\W{0,3}(?:tool )?error\b|traceback \(most recent call|exception:|failed to |invalid )", re.I
)
_MISTRAL: Final = re.compile(r"\[TOOL_CALLS\]\s*\[?\s*\{\s*\"name\"\s*:\s*\"([^\"]+)\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolNames:
    """The tools whose mentions are looked for, and whose names calls may have."""

    names: Collection[str] = ()
    """Names and aliases, beside those that a transcript declares."""
    compiled: dict[tuple[str, ...], tuple[frozenset[str], re.Pattern[str]]] = field(default_factory=dict)
    """Per set of names their first words, and what finds them."""

    def mentioned(self, thoughts: Sequence[str], declared: tuple[str, ...]) -> bool | None:
        """Whether any of the names stands in a thought, whatever joins its words; None without names."""
        key = (*self.names, *declared)
        if not key:
            return None
        if key not in self.compiled:
            words = [re.split(r"[\s_-]+", name.lower()) for name in key]
            names = "|".join(r"[\s_-]?".join(map(re.escape, parts)) for parts in words)
            self.compiled[key] = (frozenset(parts[0] for parts in words), re.compile(rf"(?<!\w)(?:{names})(?!\w)"))
        firsts, pattern = self.compiled[key]
        lowered = (thought.lower() for thought in thoughts)
        # To look for a word is far quicker than to try a pattern at every place.
        return any(any(first in thought for first in firsts) and pattern.search(thought) for thought in lowered)


def read_rollout(transcript: Transcript, tools: ToolNames) -> Rollout:
    """The transcript as an audit counts it; whatever the policy wrote, this raises nothing.

    Calls that are not kept apart are looked for in the text outside thinking: `<tool_call>` in both spellings,
    `[TOOL_CALLS]`, and tags named like tools (`<search>`). A call failed whose result begins like an error, or that
    cannot be read.
    """
    thoughts: list[str] = []
    calls: list[Call] = []
    told: list[str | None] = []
    for turn in transcript.turns:
        thinking, text = _apart(turn)
        thoughts += thinking
        found = _calls_in(text) if turn.calls is None else turn.calls
        results = turn.results or tuple(match[2] for match in _RESULT.finditer(text))
        for number, call in enumerate(found):
            result = results[number] if number < len(results) else None
            calls.append(_judged(call, result))
            told.append(result)
    offered = frozenset((*tools.names, *transcript.tools))
    known = tuple(call.readable and (not offered or call.name in offered) for call in calls)
    return Rollout(
        question=transcript.question,
        reward=transcript.reward,
        step=transcript.step,
        calls=tuple(calls),
        known=known,
        thinks=bool(thoughts),
        mentions=tools.mentioned(thoughts, transcript.tools),
        hops=transcript.hops,
        demands=transcript.demands,
        attempts=_attempts(calls, known, told),
        fates=tuple(call.fate or Fate.UNREADY for call in calls) if transcript.tells_fates else None,
        cut_off=transcript.cut_off,
        environment=transcript.environment,
    )


def _attempts(calls: Sequence[Call], known: Sequence[bool], told: Sequence[str | None]) -> tuple[Attempt, ...]:
    """The calls with which of them were let through and which repeat an earlier one, its result included.

    Where a record does not tell what was let through, every call is that can be read and was offered.
    """
    allowed = [
        is_known if call.fate is None else call.fate.allowed for call, is_known in zip(calls, known, strict=True)
    ]
    if len(calls) < 2:
        return tuple(Attempt(call.name, free) for call, free in zip(calls, allowed, strict=True))
    alike: dict[tuple[str, str], list[Call]] = {}
    found = []
    for call, free, result in zip(calls, allowed, told, strict=True):
        if not free or result is None:
            found.append(Attempt(call.name, free))
            continue
        earlier = alike.setdefault((call.name, result), [])
        found.append(Attempt(call.name, free, any(_ask_the_same(call, each) for each in earlier)))
        earlier.append(call)
    return tuple(found)


def _ask_the_same(one: Call, other: Call) -> bool:
    if (one.key, one.arguments) == (other.key, other.arguments):
        return one.key is not None or one.arguments is not None
    asked = _asked(one)
    return asked is not None and asked == _asked(other)


def _asked(call: Call) -> str | None:
    """What a call asks, as a text that is the same where its arguments are; None where they cannot be told."""
    if call.key is not None or call.arguments is None:
        return call.key
    try:
        read = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    except ValueError:
        read = call.arguments
    return json.dumps(read, sort_keys=True, default=str)


def _apart(turn: AssistantTurn) -> tuple[list[str], str]:
    """Thinking, and the text without it."""
    thoughts = [turn.thinking] if turn.thinking else []
    text = turn.text
    if "</think>" in text and "<think>" not in text.partition("</think>")[0]:
        # The prompt opened it.
        before, _, text = text.partition("</think>")
        thoughts.append(before)
    for opening, closing in _THOUGHTS:
        if opening in text:
            before, *opened = text.split(opening)
            parted = [part.partition(closing) for part in opened]
            thoughts += (inner for inner, _, _ in parted)
            text = before + "".join(rest for _, _, rest in parted)
    return thoughts, text


def _calls_in(text: str) -> tuple[Call, ...]:
    if "<tool_call>" in text:
        return tuple(
            Call(name=found.call.name, readable=found.defect is None, key=found.call.arguments)
            for found in parse_turn(text).calls
        )
    if "[TOOL_CALLS]" in text:
        return tuple(Call(name=match[1]) for match in _MISTRAL.finditer(text)) or (Call(name="", readable=False),)
    if "</" not in text:
        return ()
    if _TAGGED.search(text) is None:
        return ()
    written = _RESULT.sub("", text)
    return tuple(
        Call(name=match[1], readable=bool(match[2].strip()), key=match[2].strip())
        for match in _TAGGED.finditer(written)
    )


def reads_like_an_error(result: str) -> bool:
    """Whether what came back from a tool begins like an error."""
    return _FAILURE.match(result) is not None


def _judged(call: Call, result: str | None) -> Call:
    if call.succeeded is not None or result is None:
        return call
    return replace(call, succeeded=call.readable and not reads_like_an_error(result))
