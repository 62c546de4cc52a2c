"""Defines how a stranger's chat messages are read: the assistant's turns, their thinking and calls, declared tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from axpo.audit.fields import UnreadableError
from axpo.audit.record import AssistantTurn, Call


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
        UnreadableError: it is no list of messages, or the policy says nothing in it: a rollout that broke before its
            first turn tells nothing of acting.
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
            turns[-1] = _answered(turns[-1], _result(message, text))
        elif role == "user" and turns and "<tool_response>" in text:
            answers = (part.partition("</tool_response>")[0] for part in text.split("<tool_response>")[1:])
            turns[-1] = _answered(turns[-1], *answers)
    if not turns:
        raise UnreadableError(f"expected a turn of the assistant; got none in {len(messages)} messages")
    return tuple(turns)


def _answered(turn: AssistantTurn, *results: str) -> AssistantTurn:
    return replace(turn, results=(*turn.results, *results))


def _result(message: Mapping[str, Any], text: str) -> str:
    """What came back; an error that stands apart is told as one."""
    failed = message.get("error") or message.get("is_error")
    if not failed:
        return text
    said = failed.get("message") if isinstance(failed, Mapping) else None
    return f"Error: {text or said or ''}"


def _assistant(message: Mapping[str, Any], text: str) -> AssistantTurn:
    given = message.get("tool_calls")
    if not given and isinstance(message.get("function_call"), Mapping):
        given = [message["function_call"]]
    calls = (
        tuple(_call(call) for call in given)
        if isinstance(given, Sequence) and not isinstance(given, str) and given
        else None
    )
    return AssistantTurn(text=text, thinking="\n".join(_thinking(message)) or None, calls=calls)


def _thinking(message: Mapping[str, Any]) -> Iterator[str]:
    """Thinking that stands in a field of its own, or in parts of the content."""
    named = (message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    yield from (text for text in [next((text for text in named if text), None)] if isinstance(text, str))
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping) and part.get("type") in ("reasoning", "thinking"):
            thought = part.get("reasoning") or part.get("thinking") or part.get("summary")
            if isinstance(thought, str):
                yield thought


def _call(call: Any) -> Call:
    if isinstance(call, str):
        # Some stacks write each call as JSON of its own.
        try:
            call = json.loads(call)
        except ValueError:
            return Call(name="", readable=False, arguments=call)
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
