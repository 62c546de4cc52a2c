"""Defines how fields of a stranger's record are found and read: rewards, questions, chat messages.

What a record holds may be of any type; `UnreadableError` says what was expected and got, and is counted by its place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from axpo.audit.record import AssistantTurn, Call

REWARDS: Final = (
    "reward",
    "score",
    "rewards",
    "total_reward",
    "return",
    "correct",
    "is_correct",
    "acc",
    "accuracy",
    "success",
)
QUESTIONS: Final = (
    *("group_id", "question_id", "prompt_id", "example_id", "task_id", "problem_id", "sample_id", "uid", "qid", "id"),
    *("question", "prompt", "input", "problem", "query"),
)
HOPS: Final = ("hops", "num_hops", "required_hops", "needed_hops")
_LONGEST_KEY: Final = 4000


class UnreadableError(ValueError):
    """A record is none of its format; the message says what was expected and what was got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which fields mean what, where the usual names do not do."""

    group_by: str | None = None
    """The field whose value tells questions apart; dots go deeper."""
    reward: str | None = None
    """The field that holds the reward; dots go deeper."""


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def at(record: Any, path: str) -> Any:
    """What lies at a path such as `extra_info.index`; None where nothing does."""
    found = record
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def reward_of(record: Mapping[str, Any], fields: Fields, names: Iterable[str] = REWARDS) -> float | None:
    """The reward; None where the record has none.

    Raises:
        UnreadableError: what stands there is no finite number, or the field that was asked for is missing.
    """
    if fields.reward is not None:
        value = at(record, fields.reward)
        if value is None:
            raise UnreadableError(f"expected a reward in the field {fields.reward!r}; got none")
        return number(value, fields.reward)
    for name in names:
        if record.get(name) is not None:
            return number(record[name], name)
    return None


def number(value: Any, name: str) -> float:
    """A finite number; of several by name, their sum."""
    if isinstance(value, Mapping):
        return math.fsum(number(part, f"{name}.{key}") for key, part in value.items() if part is not None)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise UnreadableError(f"expected a finite number in the field {name!r}; got {str(value)[:80]!r}")


def question_of(record: Mapping[str, Any], fields: Fields, names: Iterable[str] = QUESTIONS) -> str:
    """What tells the record's question from others.

    Raises:
        UnreadableError: it has no such field.
    """
    if fields.group_by is not None:
        value = at(record, fields.group_by)
        if value is None:
            raise UnreadableError(f"expected a question in the field {fields.group_by!r} (--group-by); got none")
        return key_of(value)
    for name in names:
        if record.get(name) not in (None, "", []):
            return key_of(record[name])
    raise UnreadableError(
        f"expected one of the fields {', '.join(QUESTIONS)} to tell the question by; got {_names(record)}"
    )


def key_of(value: Any) -> str:
    """A value as a key: itself, or a digest where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= _LONGEST_KEY else f"{text[:200]}#{hash(text):x}"


def count_of(record: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """A whole number from the first of these fields that holds one."""
    for name in names:
        value = record.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def labels_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Demands on acting: `labels`, or flags of their names."""
    named = record.get("labels")
    found = (
        [label for label in named if isinstance(label, str)]
        if isinstance(named, Sequence) and not isinstance(named, str)
        else []
    )
    return (*found, *(label for label in ("must_act", "must_not_act") if record.get(label) is True))


def tool_names(tools: Any) -> tuple[str, ...]:
    """Names of declared tools: strings, or schemas with or without the shell `function`."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except ValueError:
            return ()
    if not isinstance(tools, Sequence):
        return ()
    inner = (tool.get("function", tool) if isinstance(tool, Mapping) else tool for tool in tools)
    names = (tool.get("name") if isinstance(tool, Mapping) else tool for tool in inner)
    return tuple(name for name in names if isinstance(name, str))


def content_text(content: Any) -> str:
    """The text of a message's content: a string, or parts of which some are text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(
            part if isinstance(part, str) else str(part.get("text") or "")
            for part in content
            if isinstance(part, str | Mapping)
        )
    raise UnreadableError(f"expected a message's content as text or parts; got {type(content).__name__}")


def turns_of(messages: Any) -> tuple[AssistantTurn, ...]:
    """The assistant's turns of a conversation in chat messages, with what came back after each.

    Raises:
        UnreadableError: it is no list of messages.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        raise UnreadableError(f"expected a list of chat messages; got {type(messages).__name__}")
    turns: list[AssistantTurn] = []
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise UnreadableError(f"message {place}: expected an object; got {type(message).__name__}")
        role = message.get("role", message.get("from"))
        text = content_text(message.get("content", message.get("value")))
        if role in ("assistant", "gpt", "ai"):
            turns.append(_assistant(message, text))
        elif role in ("tool", "function", "observation", "ipython", "tool_response") and turns:
            last = turns[-1]
            failed = message.get("error") or message.get("is_error")
            turns[-1] = AssistantTurn(
                text=last.text,
                thinking=last.thinking,
                calls=last.calls,
                results=(*last.results, f"Error: {text}" if failed else text),
            )
        elif role == "user" and turns and "<tool_response>" in text:
            last = turns[-1]
            answers = tuple(part.partition("</tool_response>")[0] for part in text.split("<tool_response>")[1:])
            turns[-1] = AssistantTurn(
                text=last.text, thinking=last.thinking, calls=last.calls, results=(*last.results, *answers)
            )
    return tuple(turns)


def _assistant(message: Mapping[str, Any], text: str) -> AssistantTurn:
    thinking = next(
        (message[name] for name in ("reasoning_content", "reasoning", "thinking") if message.get(name)), None
    )
    given = message.get("tool_calls")
    if not given and isinstance(message.get("function_call"), Mapping):
        given = [message["function_call"]]
    calls = (
        tuple(_call(call) for call in given)
        if isinstance(given, Sequence) and not isinstance(given, str) and given
        else None
    )
    return AssistantTurn(text=text, thinking=thinking if isinstance(thinking, str) else None, calls=calls)


def _call(call: Any) -> Call:
    inner = call.get("function", call) if isinstance(call, Mapping) else {}
    if isinstance(inner, str):
        inner = {"name": inner, "arguments": call.get("arguments")}
    name, arguments = (inner.get("name"), inner.get("arguments")) if isinstance(inner, Mapping) else (None, None)
    readable = isinstance(name, str)
    if isinstance(arguments, str):
        try:
            readable = readable and isinstance(json.loads(arguments or "{}"), dict)
        except ValueError:
            readable = False
    failed = isinstance(call, Mapping) and bool(call.get("parse_error"))
    return Call(
        name=name if isinstance(name, str) else "",
        readable=readable and not failed,
        arguments="" if arguments is None else arguments,
    )


def _names(record: Mapping[str, Any]) -> str:
    return ", ".join(list(map(str, record))[:12]) or "no field"
