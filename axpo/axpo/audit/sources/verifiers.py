"""Reads what verifiers saves: traces of its version 1 (graphs of messages), and the results of those before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from axpo.audit.fields import (
    HOPS,
    Fields,
    UnreadableError,
    at,
    count_of,
    key_of,
    labels_of,
    mapping,
    number,
    question_of,
    reward_of,
    tool_names,
    turns_of,
)
from axpo.audit.record import Transcript
from axpo.audit.texts import turns_of_text

_LIMITS: Final = frozenset({"max_tokens", "length", "context_length"})
"""What stops a trace whose policy had no room left."""


def matches(record: Mapping[str, Any]) -> bool:
    """A trace has `nodes` and a `task`, a result `example_id` and `completion`."""
    return {"nodes", "task"} <= set(record) or {"completion", "reward", "example_id"} <= set(record)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript:
    """The rollout; of a trace the messages from its last reply back to its root."""
    return _trace(record, fields) if "nodes" in record else _result(record, fields)


def _result(record: Mapping[str, Any], fields: Fields) -> Transcript:
    completion = record.get("completion")
    info = mapping(record.get("info"))
    return Transcript(
        question=question_of(record, fields, ("example_id", "prompt")),
        turns=turns_of_text(completion) if isinstance(completion, str) else turns_of(completion),
        reward=reward_of(record, fields),
        tools=tool_names(record.get("tools") or info.get("oai_tools")),
        hops=count_of(record, HOPS),
        labels=labels_of(record),
        cut_off=record["is_truncated"] if isinstance(record.get("is_truncated"), bool) else None,
    )


def _trace(record: Mapping[str, Any], fields: Fields) -> Transcript:
    nodes, task, info = record["nodes"], record.get("task"), mapping(record.get("info"))
    if not isinstance(nodes, list) or not isinstance(task, Mapping):
        raise UnreadableError("expected a list of nodes and a task")
    where = (fields.group_by,) if fields.group_by else ("task.key", "task.hash", "task.data")
    question = next((found for path in where if (found := at(record, path)) is not None), None)
    if question is None:
        raise UnreadableError(f"expected a question in {' or '.join(where)}; got none")
    stop = record.get("stop_condition")
    return Transcript(
        question=key_of(question),
        turns=turns_of(_path(nodes)),
        reward=reward_of(record, fields) if fields.reward else _weighted(record.get("rewards")),
        tools=tool_names(record.get("tools")),
        hops=count_of(info, HOPS),
        labels=labels_of(info),
        cut_off=str(stop) in _LIMITS if stop else None,
    )


def _weighted(rewards: Any) -> float | None:
    """The sum of the scores by their weights; None where nothing was scored."""
    scored = [
        number(reward.get("score"), name) * number(reward.get("weight", 1.0), name)
        for name, reward in mapping(rewards).items()
        if isinstance(reward, Mapping)
    ]
    return math.fsum(scored) if scored else None


def _path(nodes: list[Any]) -> list[Any]:
    """Messages from a root to the last node; a node's parent comes before it."""
    path = []
    place: int | None = len(nodes) - 1 if nodes else None
    while place is not None:
        node = nodes[place]
        if not isinstance(node, Mapping) or not isinstance(node.get("message"), Mapping):
            raise UnreadableError(f"node {place}: expected an object with a message")
        path.append(node["message"])
        parent = node.get("parent")
        if parent is not None and not (isinstance(parent, int) and 0 <= parent < place):
            raise UnreadableError(f"node {place}: expected a parent before it; got {parent!r}")
        place = parent
    return path[::-1]
