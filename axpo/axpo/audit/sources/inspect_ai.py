"""Reads samples of inspect_ai's logs (`.eval`, or JSON): messages, and scores that are letters, booleans or numbers."""

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
    key_of,
    mapping,
    number,
    question_of,
    reward_of,
)
from axpo.audit.messages import tool_names, turns_of
from axpo.audit.record import Transcript

_LETTERS: Final = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""Correct, incorrect, partially correct, no answer: inspect_ai's own values."""


def matches(record: Mapping[str, Any]) -> bool:
    """It has an epoch, messages and a target."""
    return {"id", "epoch", "messages", "target"} <= set(record)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript:
    """The rollout; an epoch is one rollout of its sample, its reward the mean of its scores."""
    extra = mapping(record.get("metadata"))
    return Transcript(
        question=question_of(record, fields) if fields.group_by else key_of(record.get("id")),
        turns=turns_of(record.get("messages")),
        reward=reward_of(record, fields) if fields.reward else _reward(record.get("scores")),
        tools=_tools(record.get("events")),
        hops=count_of(extra, HOPS),
        demands=demands_of(extra),
        cut_off=_cut_off(record),
        environment=environment_of(record, fields, ("task",)),
    )


def _tools(events: Any) -> tuple[str, ...]:
    """What the model was offered when it was first asked."""
    for event in events if isinstance(events, list) else ():
        if isinstance(event, Mapping) and event.get("event") == "model":
            return tool_names(event.get("tools"))
    return ()


def _cut_off(record: Mapping[str, Any]) -> bool:
    choices = mapping(record.get("output")).get("choices")
    last = mapping(choices[-1]).get("stop_reason") if isinstance(choices, list) and choices else None
    return mapping(record.get("limit")).get("type") == "token" or last in ("max_tokens", "model_length")


def _reward(scores: Any) -> float | None:
    if not scores:
        return None
    if not isinstance(scores, Mapping):
        raise UnreadableError(f"expected scores by name; got {type(scores).__name__}")
    values = []
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, Mapping) else score
        values.append(
            _LETTERS[value] if isinstance(value, str) and value in _LETTERS else number(value, f"scores.{name}")
        )
    return sum(values) / len(values)
