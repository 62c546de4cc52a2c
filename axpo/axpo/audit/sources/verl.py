"""Reads the rollout dumps of verl (`trainer.rollout_data_dir`): lines with `input`, `output`, `score`, `step`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo.audit.fields import HOPS, Fields, UnreadableError, count_of, labels_of, question_of, reward_of
from axpo.audit.record import AssistantTurn, Transcript
from axpo.audit.texts import turns_of_text


def matches(record: Mapping[str, Any]) -> bool:
    """It has the texts that went in and came out, and a score."""
    return isinstance(record.get("input"), str) and isinstance(record.get("output"), str)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript:
    """The rollout; questions are told by what went in, and what came back from tools stands in what came out."""
    output = record.get("output")
    if not isinstance(output, str):
        raise UnreadableError(f"expected text in the field 'output'; got {type(output).__name__}")
    turns: tuple[AssistantTurn, ...] = turns_of_text(output)
    return Transcript(
        question=question_of(record, fields, ("uid", "input")),
        turns=turns,
        reward=reward_of(record, fields, ("score", "reward", "acc")),
        step=count_of(record, ("step", "global_step")),
        hops=count_of(record, HOPS),
        labels=labels_of(record),
    )
