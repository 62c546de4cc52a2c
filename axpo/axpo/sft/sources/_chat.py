"""Defines `chat_demonstrations`: conversations as chat messages, one a record, as demonstrations.

| field of a record | holds |
|---|---|
| `messages`, or `conversations` | the conversation: system, user, assistant and tool messages (see `messages`) |
| `prompt` and `completion` | the same in two: messages, or text of a user and of the assistant |
| `tools` | optional: what could be called, as a list of schemas or as JSON text of one |
| `images` (or `image`) | optional: what parts `{"type": "image"}` and `<image>` in the text stand for, in order |

Every assistant message is trained, unless its `weight` is 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Speaker, Stretch
from axpo.sft.sources._messages import Message, MessageError, Role, read_json, read_message
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.brief import brief
from axpo_envs.questions.problems import Problems
from axpo_envs.questions.rows import RowTable
from axpo_envs.questions.sources import ListQuestions
from axpo_envs.questions.task_image import TaskImage
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.tool.declared import DeclaredTool
from axpo_envs.types import CallOutcome, CallRecord, Parts, Question, ToolCall, ToolResult, ToolStatus

_ENV_ID: Final = "demonstrations"
_PLACEHOLDER: Final = "<image>"


def chat_demonstrations(table: RowTable, env: ToolEnv | None, problems: Problems) -> list[Demonstration]:
    """Reads every record.

    Args:
        table: the records.
        env: shown with its instructions and tools in place of those of the records, so that what is learned is what
            will be asked there; None shows each record with its own.
        problems: takes what is wrong with single records.
    """
    worlds = _Worlds(env)
    found = []
    for where, record in table.rows:
        try:
            found.append(_demonstration(record, worlds, where, table.folder))
        except (MessageError, EnvConfigError) as error:
            problems.add(where, None, str(error))
    return found


class _Worlds:
    """The environments that records are shown with: one for each set of instructions and tools."""

    def __init__(self, env: ToolEnv | None) -> None:
        self._env = env
        self._made: dict[str, ToolEnv] = {}

    def get(self, instructions: str, tools: Sequence[Mapping[str, Any]]) -> ToolEnv:
        if self._env is not None:
            return self._env
        key = json.dumps([instructions, tools], sort_keys=True, default=repr)
        if key not in self._made:
            self._made[key] = ToolEnv(
                ToolEnvSpec(
                    env_id=_ENV_ID,
                    questions=ListQuestions([Question(id="0", prompt=("?",), answer="")]),
                    tools=tuple(map(_declared, tools)),
                    reward=ExactMatch(),
                    instructions=instructions,
                )
            )
        return self._made[key]


def _demonstration(record: Mapping[str, Any], worlds: _Worlds, where: str, folder: Path) -> Demonstration:
    messages = list(_messages(record, folder))
    instructions = "\n\n".join(message.text for message in messages if message.role is Role.SYSTEM)
    spoken = [message for message in messages if message.role is not Role.SYSTEM]
    first = next((place for place, message in enumerate(spoken) if message.role is Role.ASSISTANT), None)
    if not first:
        raise MessageError("expected a message of a user and after it one of an assistant; got none")
    if any(message.role is Role.SYSTEM for message in messages[-len(spoken) :]):
        raise MessageError("expected system messages before all others; got one within the conversation")
    if any(message.role is not Role.USER for message in spoken[:first]):
        raise MessageError("expected messages of a user before the first of an assistant; got one of a tool")
    env = worlds.get(instructions, _tools(record.get("tools")))
    assistant = [message for message in spoken if message.role is Role.ASSISTANT and message.weight > 0]
    if not assistant:
        raise MessageError("expected a message of an assistant with a weight; all are 0")
    question = Question(id=where, prompt=_joined(spoken[:first]), answer="")
    return Demonstration(env=env, start=env.begin(question), turns=tuple(_turns(spoken[first:], env)))


def _messages(record: Mapping[str, Any], folder: Path) -> Iterator[Message]:
    given = record.get("messages", record.get("conversations"))
    if isinstance(given, str):
        given = read_json(given)
    if given is None and "completion" in record:
        given = [*_spoken(record.get("prompt"), Role.USER), *_spoken(record["completion"], Role.ASSISTANT)]
    if not isinstance(given, Sequence) or isinstance(given, str | bytes) or not given:
        raise MessageError(f"expected 'messages', a list of chat messages; the record has {brief(list(record))}")
    own = record.get("images", record.get("image"))
    images = [] if own is None else list(own) if isinstance(own, list | tuple) else [own]
    rest = iter(images)

    def read_image(value: Any) -> ImageRef:
        try:
            return TaskImage.read(value, folder).decode()
        except ImageProblemError as error:
            raise MessageError(str(error)) from None

    for number, value in enumerate(given):
        try:
            yield read_message(_with_placeholders(value) if images else value, read_image, rest)
        except MessageError as error:
            raise MessageError(f"message {number + 1}: {error}") from None
    if left := len(list(rest)):
        raise MessageError(f"expected a place for each of {len(images)} images; {left} have none")


def _spoken(given: Any, role: Role) -> list[Any]:
    if isinstance(given, str):
        return [{"role": role.value, "content": given}]
    return list(given) if isinstance(given, list | tuple) else []


def _with_placeholders(value: Any) -> Any:
    """A message with `<image>` in its text taken apart into parts."""
    if not isinstance(value, Mapping) or value.get("role", value.get("from")) in ("assistant", "gpt"):
        return value
    text = value.get("content", value.get("value"))
    if not isinstance(text, str) or _PLACEHOLDER not in text:
        return value
    parts: list[Any] = []
    for number, piece in enumerate(text.split(_PLACEHOLDER)):
        parts += [{"type": "image"}] if number else []
        parts += [{"type": "text", "text": piece}] if piece else []
    return {**value, "content": parts}


def _turns(spoken: Sequence[Message], env: ToolEnv) -> Iterator[DemonstratedTurn]:
    """The assistant's messages, each with what follows it; what follows the last is not read by anyone."""
    places = [place for place, message in enumerate(spoken) if message.role is Role.ASSISTANT]
    for place, after in zip(places, [*places[1:], None], strict=True):
        message = spoken[place]
        answers = [] if after is None else list(spoken[place + 1 : after])
        if after is not None and not answers:
            raise MessageError("expected a result or a user between two messages of an assistant; got nothing")
        speakers = {answer.role for answer in answers}
        if len(speakers) > 1:
            raise MessageError("expected either results or a user after a message of an assistant; got both")
        if not message.text.strip() and not message.calls:
            raise MessageError("expected text or calls from an assistant; got an empty message")
        results = Role.TOOL in speakers
        yield DemonstratedTurn(
            stretches=(Stretch(text=message.text, weight=message.weight),),
            calls=message.calls,
            observation=_results(_in_order(answers, message.call_ids), env) if results else _joined(answers),
            answered_by=Speaker.TOOL if results or not answers else Speaker.USER,
        )


def _in_order(answers: Sequence[Message], call_ids: Sequence[str]) -> Sequence[Message]:
    """Results in the order of their calls, where ids say which they answer."""
    given = [answer.call_ids[0] for answer in answers if answer.call_ids]
    if len(given) == len(answers) and sorted(given) == sorted(call_ids) and len(set(given)) == len(given):
        return sorted(answers, key=lambda answer: call_ids.index(answer.call_ids[0]))
    return answers


def _joined(messages: Sequence[Message]) -> Parts:
    """What several messages say, with a blank line between them."""
    parts: Parts = ()
    for message in messages:
        parts += ("\n\n", *message.content) if parts else message.content
    return parts


def _results(answers: Sequence[Message], env: ToolEnv) -> Parts:
    """Results as the environment shows them."""
    call = ToolCall(name="", arguments="{}")
    records = [
        CallRecord(
            call=call,
            outcome=CallOutcome.EXECUTED,
            result=ToolResult(status=ToolStatus.OK, content=answer.content),
        )
        for answer in answers
    ]
    return env.results(records)


def _tools(given: Any) -> list[Mapping[str, Any]]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise MessageError(f"tools: expected a list of schemas; got {brief(given)} ({error})") from None
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise MessageError(f"tools: expected a list of schemas; got {brief(given)}")
    schemas = [each.get("function", each) if isinstance(each, Mapping) else each for each in given]
    for schema in schemas:
        if not isinstance(schema, Mapping) or not isinstance(schema.get("name"), str):
            raise MessageError(f"tools: expected schemas with 'name' and 'parameters'; got {brief(schema)}")
    return schemas


def _declared(schema: Mapping[str, Any]) -> DeclaredTool:
    parameters = schema.get("parameters") or schema.get("input_schema") or {"type": "object", "properties": {}}
    return DeclaredTool(name=schema["name"], description=schema.get("description") or "", parameters=parameters)
