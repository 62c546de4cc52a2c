"""Reads the completions that TRL logs (`log_completions`): `prompt`, `completion`, a column a reward, `advantage`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from axpo.audit.fields import (
    ENVIRONMENTS,
    HOPS,
    Fields,
    UnreadableError,
    count_of,
    demands_of,
    environment_of,
    key_of,
    question_of,
    reward_of,
)
from axpo.audit.messages import tool_names, turns_of
from axpo.audit.record import Transcript
from axpo.audit.texts import turns_of_text

_KNOWN: Final = frozenset(
    {"step", "prompt", "completion", "advantage", "index", "image", "images", "tools", *HOPS, *ENVIRONMENTS}
)


def matches(record: Mapping[str, Any]) -> bool:
    """It has a prompt, a completion and an advantage."""
    return {"prompt", "completion", "advantage"} <= set(record)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript:
    """The rollout; its reward is the sum of the rewards' columns, questions are told by the prompt."""
    completion = record.get("completion")
    if completion is None:
        raise UnreadableError("expected a completion in the field 'completion'; got none")
    return Transcript(
        question=question_of(record, fields) if fields.group_by else key_of(record.get("prompt")),
        turns=turns_of_text(completion) if isinstance(completion, str) else turns_of(completion),
        reward=reward_of(record, fields) if fields.reward else _sum(record, fields),
        step=count_of(record, ("step",)),
        tools=tool_names(record.get("tools")),
        hops=count_of(record, HOPS),
        demands=demands_of(record),
        environment=environment_of(record, fields),
    )


def _sum(record: Mapping[str, Any], fields: Fields) -> float | None:
    """A reward function that does not apply logs NaN."""
    numbers = [
        float(value)
        for name, value in record.items()
        if name not in _KNOWN
        and name != fields.split_by
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    ]
    return math.fsum(numbers) if numbers else None
