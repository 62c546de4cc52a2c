"""Reads rollouts as text in the manner of Search-R1 (arXiv:2503.09516): `<search>`, `<information>`, `<answer>`."""

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
from axpo.audit.record import Transcript
from axpo.audit.texts import turns_of_text

_TEXTS: Final = ("response", "output", "text", "sequences_str", "generation", "prediction", "completion", "trajectory")


def matches(record: Mapping[str, Any]) -> bool:
    """Some field holds a text that a policy may have written."""
    return any(isinstance(record.get(name), str) for name in _TEXTS)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript:
    """The rollout."""
    text = next((record[name] for name in _TEXTS if isinstance(record.get(name), str)), None)
    if text is None:
        raise UnreadableError(f"expected text in one of the fields {', '.join(_TEXTS)}; got none")
    return Transcript(
        question=question_of(record, fields),
        turns=turns_of_text(text),
        reward=reward_of(record, fields),
        step=count_of(record, ("step", "global_step")),
        hops=count_of(record, HOPS),
        demands=demands_of(record),
        environment=environment_of(record, fields),
    )
