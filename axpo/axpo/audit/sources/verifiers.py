"""Reads what verifiers saves: episodes of traces (graphs of messages), single traces, and results of older versions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo.audit.fields import (
    HOPS,
    Fields,
    UnreadableError,
    at,
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
from axpo.audit.texts import turns_of_text

_LIMITS: Final = frozenset(
    {
        *("max_tokens", "length", "context_length"),
        *("max_input_tokens", "max_output_tokens", "max_total_tokens"),
    }
)
"""What stops a trace whose policy had no room left."""


def matches(record: Mapping[str, Any]) -> bool:
    """An episode has `traces` and a `task`, a trace `nodes` and one, a result `example_id` and `completion`."""
    fields = set(record)
    return bool({"traces", "nodes"} & fields and "task" in fields) or {"completion", "reward", "example_id"} <= fields


def parts(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The traces of an episode, with what it says of them all; other records as they are."""
    traces = record.get("traces")
    if "nodes" in record or not isinstance(traces, list) or not traces:
        return (record,)
    shared = {"work": at(record, "run.work"), "env": record.get("env")}
    return [{**shared, **trace} if isinstance(trace, Mapping) else {"nodes": trace} for trace in traces]


def read(record: Mapping[str, Any], fields: Fields) -> Transcript | None:
    """The rollout, of a trace the messages from its last reply back to its root; None for agents that nobody trains."""
    if "nodes" in record:
        return None if at(record, "agent.trainable") is False else _trace(record, fields)
    if "traces" in record:
        raise UnreadableError("expected an episode with traces; it broke before there was any")
    return _result(record, fields)


def _result(record: Mapping[str, Any], fields: Fields) -> Transcript:
    completion = record.get("completion")
    info = mapping(record.get("info"))
    return Transcript(
        question=question_of(record, fields, ("example_id", "prompt")),
        turns=turns_of_text(completion) if isinstance(completion, str) else turns_of(completion),
        # What broke is saved with a reward of 0.
        reward=None if record.get("error") else reward_of(record, fields),
        tools=tool_names(record.get("tool_defs") or record.get("tools") or info.get("oai_tools")),
        hops=count_of(record, HOPS),
        demands=demands_of(record),
        cut_off=record["is_truncated"] if isinstance(record.get("is_truncated"), bool) else None,
        environment=environment_of(record, fields),
    )


def _trace(record: Mapping[str, Any], fields: Fields) -> Transcript:
    nodes, task, info = record["nodes"], record.get("task"), mapping(record.get("info"))
    if not isinstance(nodes, list) or not isinstance(task, Mapping):
        raise UnreadableError("expected a list of nodes and a task")
    where = (fields.group_by,) if fields.group_by else ("task.key", "task.hash", "task.data")
    question = next((found for path in where if (found := at(record, path)) is not None), None)
    if question is None:
        raise UnreadableError(f"expected a question in {' or '.join(where)}; got none")
    agent = at(record, "agent.name")
    return Transcript(
        # Agents of one task do different things.
        question=key_of(question) + (f"/{agent}" if agent not in (None, "agent") else ""),
        turns=turns_of(_path(nodes)),
        reward=reward_of(record, fields) if fields.reward else _weighted(record.get("rewards")),
        step=count_of(mapping(record.get("work")), ("step",)),
        tools=tool_names(record.get("tools")),
        hops=count_of(info, HOPS) or count_of(mapping(at(record, "task.data")), HOPS),
        demands=demands_of(info),
        cut_off=_cut_off(record),
        environment=environment_of(record, fields, ("env.id", "env", "env_id")),
    )


def _cut_off(record: Mapping[str, Any]) -> bool | None:
    stop, calls = record.get("stop_condition"), record.get("calls")
    done = (
        [call for call in calls if isinstance(call, Mapping) and not call.get("error")]
        if isinstance(calls, list)
        else []
    )
    if stop is None and not done:
        return None
    return str(stop) in _LIMITS or bool(done and done[-1].get("finish_reason") == "length")


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
