"""Defines `check_calls`: what a policy would say of recorded calls, without running anything or asking anybody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axpo_envs.governance._arguments import changed, seen, unbounded
from axpo_envs.governance._budgets import Ledger, Spent, exceeded_by_history, spent_on
from axpo_envs.governance._gate import Judgement, judge, judge_exceeded, no_number
from axpo_envs.governance._matching import Facts
from axpo_envs.governance._reading import PolicyError
from axpo_envs.governance.audit_log._chain import file_number
from axpo_envs.governance.policy import Action, Phase, Policy
from axpo_envs.plumbing.strict_json import JsonError, read_json
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import Effects, Tool
from axpo_envs.types import Label, ToolResult

_MOST_TOLD: Final = 10
_RAN: Final = ("executed", "withheld")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A call that was made, or might be."""

    tool: str
    """The tool's name."""
    arguments: Mapping[str, Any]
    """The arguments as JSON."""
    effects: Effects | None = None
    """What the tool does; None where the record does not tell."""
    environment: str = ""
    """Id of the environment."""
    agent: str = ""
    """Who calls, in a team."""
    phase: Phase | None = None
    """What the agent acts for; None where the record does not tell."""
    labels: frozenset[Label] = frozenset()
    """Those of the question."""
    question: str = ""
    """What identifies the question."""
    episode: str = ""
    """What the calls of an episode share, in their order."""
    seconds: float = 0.0
    """How long it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCall:
    """What a policy would say of a call."""

    call: RecordedCall
    """The call."""
    judgement: Judgement
    """What decides, and what it says; of what is asked about nobody knows the answer."""
    arguments: Mapping[str, Any]
    """The arguments that it would run with."""
    assumed_external: bool
    """Nothing tells the effects of its tool, which was taken for one with external effects."""


def check_calls(
    policy: Policy, calls: Iterable[RecordedCall], *, tools: Iterable[Tool] = (), phase: Phase | None = None
) -> tuple[CheckedCall, ...]:
    """What a policy would say of calls, one after the other.

    Budgets count the calls that it lets run; those per episode over the calls with the same `episode`. Of results
    nothing is known but `seconds`. Calls that somebody would be asked about count as not run.

    Args:
        policy: the policy.
        calls: the calls, in order.
        tools: tell effects and defaults of arguments, where they are among them.
        phase: what the agent acts for, where a call does not tell.

    Raises:
        PolicyError: the policy tells phases apart, and a call has none.
    """
    known = {tool.name: tool for tool in tools}
    ledger = Ledger()
    history: dict[tuple[str, str], list[Spent]] = {}
    checked: list[CheckedCall] = []
    for call in calls:
        facts, assumed = _facts(call, known.get(call.tool), phase)
        if facts.phase is None and policy.tells_phases:
            raise PolicyError(f"phase: expected one of {', '.join(Phase)}, which the policy tells apart; got none")
        judged = judge(policy, facts)
        if judged.rule is not None and judged.action is Action.MODIFY:
            before, facts = facts, replace(facts, arguments=changed(facts.arguments, judged.rule))
            if path := unbounded(before.arguments, judged.rule):
                judged, facts = replace(judged, action=Action.DENY, reason=no_number(path)), before
            elif before == facts:
                judged = replace(judged, action=Action.ALLOW)
        if judged.action in (Action.ALLOW, Action.MODIFY):
            own = history.setdefault((call.question, call.episode), [])
            exceeded = exceeded_by_history(policy, facts, own) or ledger.take(policy, facts, call.question)
            if exceeded is None:
                ran = ToolResult(seconds=call.seconds)
                own.append(spent_on(policy, facts, ran))
                ledger.add(policy, facts, call.question, ran)
            else:
                judged = judge_exceeded(policy, exceeded)
        checked.append(CheckedCall(call=call, judgement=judged, arguments=facts.arguments, assumed_external=assumed))
    return tuple(checked)


def read_recorded(path: str | Path) -> tuple[RecordedCall, ...]:
    """The calls of a JSONL file: of an audit log, of a run's rollouts, or rows of `RecordedCall`'s fields.

    Arguments may be an object, or JSON in a text. Lines of an audit log that are no decisions, and calls that could
    not be read or did not fit their tool's schema, are left out. A folder stands for the `.jsonl` files in it.

    Raises:
        PolicyError: the file cannot be read, or a line is none of these; the message lists line and field.
    """
    calls: list[RecordedCall] = []
    problems: list[str] = []
    for file in _files(Path(path).expanduser()):
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"calls: {file} cannot be read: {error}") from error
        if file_number(file.name):
            # Of an audit log that is being written, or whose writer was killed, the last line may be torn.
            lines = lines[:-1]
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    calls += _calls_of(_well_formed(read_json(line, halves=True)), f"{file.name}:{number}")
                except (JsonError, ValueError) as error:
                    problems.append(f"{file}, line {number}: {error}")
    if problems:
        more = f"\n  and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        raise PolicyError("calls: " + "\n  ".join(problems[:_MOST_TOLD]) + more)
    return tuple(calls)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.jsonl"))
    if not files:
        raise PolicyError(f"calls: expected .jsonl files; {path} holds none")
    return files


def _facts(call: RecordedCall, tool: Tool | None, phase: Phase | None) -> tuple[Facts, bool]:
    effects = call.effects if tool is None else tool.effects
    facts = Facts(
        tool=call.tool,
        effects=Effects.EXTERNAL if effects is None else effects,
        arguments=seen(call.arguments, {} if tool is None else tool.parameters),
        environment=call.environment,
        agent=call.agent,
        phase=phase or call.phase,
        labels=call.labels,
    )
    return facts, effects is None


def _calls_of(row: Any, place: str) -> Iterator[RecordedCall]:
    if not isinstance(row, Mapping):
        raise ValueError(f"expected a JSON object; got {row!r:.80}")
    if "rollout" in row:
        yield from _of_rollout(row, place)
    elif row.get("kind", "decision") == "decision" and row.get("outcome", "executed") in _RAN:
        yield _of_row(row)


def _of_row(row: Mapping[str, Any]) -> RecordedCall:
    name = row.get("tool", row.get("name"))
    if not isinstance(name, str) or not name:
        raise ValueError(f"tool: expected the name of a tool; got {name!r:.80}")
    seconds = row.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"seconds: expected a number >= 0; got {seconds!r:.80}")
    return RecordedCall(
        tool=name,
        arguments=_arguments(row.get("arguments", {})),
        effects=_member(Effects, row, "effects"),
        environment=_text(row, "environment"),
        agent=_text(row, "agent"),
        phase=_member(Phase, row, "phase"),
        labels=_labels(row.get("labels")),
        question=_text(row, "question"),
        episode=_text(row, "episode"),
        seconds=float(seconds),
    )


def _of_rollout(row: Mapping[str, Any], place: str) -> Iterator[RecordedCall]:
    try:
        episode = row["rollout"]["episode"]
        question = episode["question"]
        labels = _labels((question.get("labels") or {}).get("set"))
        for turn in episode["turns"]:
            for record in turn["calls"]:
                if record["outcome"] in _RAN:
                    yield RecordedCall(
                        tool=str(record["call"]["name"]),
                        arguments=_arguments(record["call"]["arguments"]),
                        agent=str(record.get("agent", "")),
                        labels=labels,
                        question=str(question["id"]),
                        episode=place,
                        seconds=float(record["result"].get("seconds", 0.0)),
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected a rollout that a run saved; {type(error).__name__}: {error}") from None


def _arguments(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = _well_formed(read_json(given, halves=True))
        except JsonError as error:
            raise ValueError(f"arguments: expected a JSON object; the text {given!r:.80} {error}") from None
    if not isinstance(given, Mapping):
        raise ValueError(f"arguments: expected an object; got {given!r:.80}")
    return given


def _member(kind: Any, row: Mapping[str, Any], name: str) -> Any:
    given = row.get(name)
    if given is None or given == "":
        return None
    if given not in tuple(kind):
        raise ValueError(f"{name}: expected one of {', '.join(kind)}; got {given!r:.80}")
    return kind(given)


def _labels(given: Any) -> frozenset[Label]:
    found = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(found, list) or any(label not in tuple(Label) for label in found):
        raise ValueError(f"labels: expected some of {', '.join(Label)}; got {given!r:.80}")
    return frozenset(map(Label, found))


def _well_formed(data: Any) -> Any:
    """JSON with U+FFFD in place of halves of surrogate pairs, which no file takes."""
    return json.loads(well_formed(json.dumps(data, ensure_ascii=False)))


def _text(row: Mapping[str, Any], name: str) -> str:
    given = row.get(name, "")
    if not isinstance(given, str):
        raise ValueError(f"{name}: expected a text; got {given!r:.80}")
    return given
