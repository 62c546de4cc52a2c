"""Reads conversations in OpenAI-style chat messages (`messages`, `conversations`, `completion`) and their rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo.audit.fields import (
    HOPS,
    Fields,
    UnreadableError,
    count_of,
    demands_of,
    environment_of,
    question_of,
    reward_of,
)
from axpo.audit.messages import tool_names, turns_of
from axpo.audit.record import Transcript

_MESSAGES: Final = ("messages", "conversations", "conversation", "completion", "trajectory")


def matches(record: Mapping[str, Any]) -> bool:
    """Some field holds messages with roles."""
    return any(_is_chat(record.get(name)) for name in _MESSAGES)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript:
    """The rollout; questions without an id are told by what stands before the first turn of the assistant."""
    messages = next((record[name] for name in _MESSAGES if _is_chat(record.get(name))), None)
    if messages is None:
        raise UnreadableError(f"expected chat messages in one of the fields {', '.join(_MESSAGES)}; got none")
    finish = record.get("finish_reason")
    return Transcript(
        question=question_of({**record, "prompt": record.get("prompt") or _opening(messages)}, fields),
        turns=turns_of(messages),
        reward=reward_of(record, fields),
        step=count_of(record, ("step", "global_step", "training_step")),
        tools=tool_names(record.get("tools")),
        hops=count_of(record, HOPS),
        demands=demands_of(record),
        cut_off=None if finish is None else finish == "length",
        environment=environment_of(record, fields),
    )


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], Mapping)
        and ("role" in value[0] or "from" in value[0])
    )


def _opening(messages: list[Any]) -> list[Any]:
    opening = []
    for message in messages:
        if isinstance(message, Mapping) and message.get("role", message.get("from")) in ("assistant", "gpt"):
            break
        opening.append(message)
    return opening
