"""Reads the rollout dumps of verl (`trainer.rollout_data_dir`): lines with `input`, `output`, `score`, `step`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from axpo.audit.fields import (
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
from axpo.audit.messages import tool_names
from axpo.audit.record import AssistantTurn, Transcript
from axpo.audit.texts import turns_of_text

_ROLLOUT_ID: Final = re.compile(r"(.+)_\d+_\d+")
"""What verl's trainer of 0.9 writes as `uid`: the question's, the rollout's number, and the output's within it."""

_TOOLS: Final = re.compile(r"<tools>\n(.*?)\n</tools>", re.DOTALL)
"""How the chat templates of Qwen and Hermes declare tools, a line each, in what went in."""


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
        question=_question(record, fields),
        turns=turns,
        reward=reward_of(record, fields, ("score", "reward", "acc")),
        step=count_of(record, ("step", "global_step")),
        tools=_offered(str(record.get("input"))),
        hops=count_of(record, HOPS),
        demands=demands_of(record),
        environment=environment_of(record, fields),
    )


def _question(record: Mapping[str, Any], fields: Fields) -> str:
    found = question_of(record, fields, ("uid", "input"))
    numbered = None if fields.group_by else _ROLLOUT_ID.fullmatch(found)
    # What went in is added, for a user's own ids may look the same and tell questions apart.
    return found if numbered is None else key_of([numbered[1], record.get("input")])


def _offered(given: str) -> tuple[str, ...]:
    declared = _TOOLS.search(given) if "<tools>" in given else None
    return () if declared is None else _names(declared[1])


@lru_cache(maxsize=64)
def _names(block: str) -> tuple[str, ...]:
    """The names of the tools that a block declares; lines that are no JSON declare none."""
    return tuple(name for line in block.splitlines() for name in tool_names(f"[{line}]"))
