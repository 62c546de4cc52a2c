"""Reads the rollouts that runs of axpo save (docs/rollouts.md); what was resampled from prefixes counts in no rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from axpo.audit.fields import ENVIRONMENTS, Fields, UnreadableError, at, demands_of, environment_of, key_of, mapping
from axpo.audit.record import AssistantTurn, Call, Transcript
from axpo.diagnostics.demands import Fate

_VALID = ("executed", "over_limit", "withheld")
DEMANDS: Final = ("labels", "forbidden_tools", "required_tools")
"""The fields of a question that hold sets of what it demands."""
_SOURCE: Final = re.compile(r"([a-z_]+)-\d+/")
"""How the fingerprints begin of the sources that the suite's environments draw from."""


def matches(record: Mapping[str, Any]) -> bool:
    """It has the schema's version, and a rollout in a group of a step."""
    return {"version", "step", "group", "rollout"} <= set(record)


def read(record: Mapping[str, Any], fields: Fields) -> Transcript | None:
    """The rollout; None for a continuation, which says nothing of how often the policy acts by itself."""
    episode = at(record, "rollout.episode")
    question = mapping(mapping(episode).get("question"))
    turns = mapping(episode).get("turns")
    reward, step = mapping(episode).get("reward"), record.get("step")
    if not isinstance(turns, list) or not isinstance(reward, int | float) or not isinstance(step, int):
        raise UnreadableError("expected a rollout with turns, a reward and a step")
    if record.get("origin") is not None:
        return None
    asked = at(record, fields.group_by) if fields.group_by else question.get("id")
    return Transcript(
        question=key_of(asked),
        turns=tuple(_turn(mapping(turn)) for turn in turns),
        reward=float(reward),
        step=step,
        hops=question["hops"] if isinstance(question.get("hops"), int) else None,
        demands=demands_of({name: mapping(question.get(name)).get("set") for name in DEMANDS}),
        tells_fates=True,
        cut_off=mapping(episode).get("stop") == "max_tokens",
        environment=_environment(record, question, fields),
    )


def _environment(record: Mapping[str, Any], question: Mapping[str, Any], fields: Fields) -> str | None:
    """The family of a mixture's question, or what its row says; else which of the suite's sources it is from."""
    if fields.split_by:
        return environment_of(record, fields)
    columns = mapping(mapping(question.get("extra")).get("columns"))
    told = environment_of(columns, fields, ("family", *ENVIRONMENTS))
    source = _SOURCE.match(str(question.get("source")))
    return told or (source[1] if source else None)


def _turn(turn: Mapping[str, Any]) -> AssistantTurn:
    calls = turn.get("calls")
    given = [mapping(call) for call in calls] if isinstance(calls, list) else []
    return AssistantTurn(
        text=str(turn.get("text", "")), calls=tuple(map(_call, given)), results=tuple(map(_result, given))
    )


def _call(call: Mapping[str, Any]) -> Call:
    asked, status = mapping(call.get("call")), mapping(call.get("result")).get("status")
    return Call(
        name=str(asked.get("name", "")),
        readable=call.get("outcome") in _VALID,
        succeeded=call.get("outcome") == "executed" and status == "ok",
        fate=_fate(call.get("outcome"), status),
        key=str(asked.get("arguments")),
    )


def _fate(outcome: Any, status: Any) -> Fate:
    if outcome == "executed":
        return Fate.EXECUTED
    return {"dry_run": Fate.DRY_RUN, "denied": Fate.DENIED}.get(str(status), Fate.UNREADY)


def _result(call: Mapping[str, Any]) -> str:
    content = mapping(call.get("result")).get("content")
    return "".join(part for part in content if isinstance(part, str)) if isinstance(content, list) else ""
