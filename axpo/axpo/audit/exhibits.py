"""Defines `exhibits`: some records of what was audited, read a second time to be shown, each cut to a bounded size."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axpo.audit.audit import AuditSettings
from axpo.audit.fields import Fields, UnreadableError, at, mapping
from axpo.audit.images import images_of
from axpo.audit.messages import content_text
from axpo.audit.record import AssistantTurn, Call, Rollout, Transcript
from axpo.audit.stream import Seen, stream
from axpo.audit.turns import ToolNames, read_rollout
from axpo_envs.images import ImageRef

MOST_CHARACTERS: Final = 4000
"""Of a text that the policy wrote, or that asks."""
_SHORT: Final = 1200
"""Characters of what came back from a tool, and of a call's arguments."""
_FIRST_TURNS: Final = 8
_LAST_TURNS: Final = 4
_MOST_CALLS: Final = 6
_MOST_IMAGES: Final = 4
_PROMPTS: Final = (
    *("rollout.episode.question.prompt", "prompt", "messages", "conversations", "conversation", "input", "question"),
    *("problem", "query", "task.data", "nodes"),
)
_USER: Final = re.compile(
    r"(?:\A|\n)(?:<\|im_start\|>)?user\n((?:(?!\nuser\n).)*?)(?:<\|im_end\|>)?\n(?:<\|im_start\|>)?assistant\n",
    re.DOTALL,
)
"""What a user says in a rendered prompt, behind what declares tools."""
_ASKED_BY: Final = ("user", "human", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A rollout to be shown."""

    place: str
    """Where its record stands."""
    prompt: str
    """What was asked, as far as it can be told."""
    transcript: Transcript
    """The rollout; long texts are cut."""
    rollout: Rollout
    """The same as it was counted."""
    images: tuple[ImageRef, ...]
    """Images that the record keeps."""


def exhibits(paths: Sequence[Path], settings: AuditSettings, numbers: Collection[int]) -> dict[int, Exhibit]:
    """The records of these numbers (`Findings.samples`, `Findings.worst`); those that changed meanwhile are left out.

    Raises:
        ConfigError: a path does not exist any more, or a file is of no known kind or format.
    """
    wanted = set(numbers)
    fields = Fields(group_by=settings.group_by, reward=settings.reward, split_by=settings.split_by)
    tools = ToolNames(names=settings.tools)
    found: dict[int, Exhibit] = {}
    if not wanted:
        return found
    for seen in stream(paths, settings.format):
        if seen.number in wanted:
            exhibit = _exhibit(seen, fields, tools)
            if exhibit is not None:
                found[seen.number] = exhibit
            wanted.remove(seen.number)
            if not wanted:
                break
    return found


def _exhibit(seen: Seen, fields: Fields, tools: ToolNames) -> Exhibit | None:
    if isinstance(seen.record, UnreadableError):
        return None
    try:
        transcript = seen.format.read(seen.record, fields)
    except UnreadableError:
        return None
    if transcript is None:
        return None
    return Exhibit(
        place=seen.place,
        prompt=clipped(_prompt(seen.record) or transcript.question),
        transcript=replace(
            transcript,
            question=clipped(transcript.question),
            turns=_some(transcript.turns),
        ),
        rollout=read_rollout(transcript, tools),
        images=images_of(seen.record, seen.file, _MOST_IMAGES),
    )


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text as it can be written in UTF-8, its middle left out where it is long."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters left out ...] {text[-half:]}"


def _some(turns: tuple[AssistantTurn, ...]) -> tuple[AssistantTurn, ...]:
    """The first turns and the last ones."""
    left_out = len(turns) - _FIRST_TURNS - _LAST_TURNS
    if left_out <= 0:
        return tuple(map(_short, turns))
    gap = AssistantTurn(text=f"[... {left_out} turns left out ...]")
    return (*map(_short, turns[:_FIRST_TURNS]), gap, *map(_short, turns[-_LAST_TURNS:]))


def _short(turn: AssistantTurn) -> AssistantTurn:
    return AssistantTurn(
        text=clipped(turn.text),
        thinking=None if turn.thinking is None else clipped(turn.thinking),
        calls=None if turn.calls is None else tuple(map(_short_call, turn.calls[:_MOST_CALLS])),
        results=tuple(clipped(result, _SHORT) for result in turn.results[:_MOST_CALLS]),
    )


def _short_call(call: Call) -> Call:
    arguments = call.arguments
    if arguments is None:
        return call
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return replace(call, name=clipped(call.name, _SHORT), arguments=clipped(text, _SHORT))


def _prompt(record: Mapping[str, Any]) -> str:
    """What was asked: a text, or the user's messages before the first turn of the assistant."""
    for path in _PROMPTS:
        text = _asked(at(record, path)).strip()
        if text:
            return text
    return ""


def _asked(value: Any) -> str:
    if isinstance(value, str):
        asked = _USER.search(value)
        return value if asked is None else asked[1]
    if isinstance(value, Mapping):
        return next((_asked(value[name]) for name in ("question", "prompt", "input") if value.get(name)), "")
    if not isinstance(value, list):
        return ""
    said = []
    for part in value:
        message = mapping(mapping(part).get("message")) or part
        if not isinstance(message, Mapping):
            said.append(message if isinstance(message, str) else "")
            continue
        role = message.get("role", message.get("from"))
        if role in ("assistant", "gpt", "ai"):
            break
        if role in _ASKED_BY:
            said.append(_text_of(message))
    return "\n".join(text for text in said if text)


def _text_of(message: Mapping[str, Any]) -> str:
    try:
        return content_text(message.get("content", message.get("value", message.get("text"))))
    except UnreadableError:
        return ""
