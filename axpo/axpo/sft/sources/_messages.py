"""Defines `read_message`, which reads one chat message in any of the usual spellings, and `Message`, what it holds.

| spelling | role | text | calls |
|---|---|---|---|
| OpenAI, Transformers, TRL | `role` | `content`: text or a list of parts | `tool_calls` |
| ShareGPT | `from` | `value` | turns of `function_call` |

Calls may be one or a list, as data or as JSON text, and stand under `function_call`, too; their arguments under
`arguments`, `parameters`, `input` or `args`, as data or as JSON text. Thinking kept apart (`reasoning_content`,
`reasoning`, `reasoning_text`, `thinking`, `thoughts` or `thought`, or parts of such a type) is put before the text in
`<think>` tags, unless the text has its own. Half of a surrogate pair becomes U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from axpo_envs.images import ImageRef
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.turn_format.tags import THINK_CLOSE, THINK_OPEN
from axpo_envs.types import Parts, ToolCall

ReadImage = Callable[[Any], ImageRef]
"""Makes an image of what a record gives as one; raises `MessageError`."""

_THINKING: Final = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thoughts", "thought")
_ARGUMENTS: Final = ("arguments", "parameters", "input", "args")
_TRAINED: Final = ("train", "loss")
_IMAGE_KEYS: Final = ("image", "image_url", "url", "path", "bytes", "base64", "data")


class Role(StrEnum):
    """Who a message is from."""

    SYSTEM = "system"
    """Whoever sets the rules."""
    USER = "user"
    """Whoever asks."""
    ASSISTANT = "assistant"
    """The policy."""
    TOOL = "tool"
    """A tool that was called."""


_ROLES: Final = {
    **{role.value: role for role in Role},
    "developer": Role.SYSTEM,
    "human": Role.USER,
    "gpt": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "function_call": Role.ASSISTANT,
    "function": Role.TOOL,
    "observation": Role.TOOL,
    "ipython": Role.TOOL,
}


class MessageError(ValueError):
    """A message is unusable; the text says what was expected and what was got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A chat message."""

    role: Role
    """Who it is from."""
    content: Parts
    """What it says; of an assistant with its thinking in tags."""
    calls: tuple[ToolCall, ...] = ()
    """Calls given apart from the text."""
    weight: float = 1.0
    """Loss weight, for messages of an assistant."""
    call_ids: tuple[str, ...] = ()
    """The ids of its calls, where each has one; of a result that of its call."""

    @property
    def text(self) -> str:
        """Its text without its images."""
        return "".join(part for part in self.content if isinstance(part, str))


def read_message(value: Any, read_image: ReadImage, images: Iterable[Any]) -> Message:
    """Reads a message.

    Args:
        value: the message as given.
        read_image: makes images of what stands in parts.
        images: the record's own images, which parts without content of their own take in order.

    Raises:
        MessageError: it is no message.
    """
    if not isinstance(value, Mapping):
        raise MessageError(f"expected a mapping with 'role' and 'content'; got {brief(value)}")
    named = value.get("role", value.get("from"))
    role = _ROLES.get(named.strip().lower()) if isinstance(named, str) else None
    if role is None:
        raise MessageError(f"expected a role out of {', '.join(_ROLES)}; got {brief(named)}")
    given = value.get("content", value.get("value"))
    if named == "function_call":
        return Message(role=role, content=(), calls=(_read_call(read_json(given)),), weight=_weight(value))
    if role is Role.TOOL and isinstance(given, Mapping | int | float):
        given = json.dumps(given, ensure_ascii=False)
    thoughts, said = _parted(given) if role is Role.ASSISTANT else ([], given)
    content = _read_content(said, read_image, iter(images))
    if role is not Role.ASSISTANT:
        answered = value.get("tool_call_id")
        return Message(role=role, content=content, call_ids=(answered,) if isinstance(answered, str) else ())
    if any(isinstance(part, ImageRef) for part in content):
        raise MessageError("expected text from an assistant; got an image")
    thinking = _thinking(value, thoughts)
    if thinking and not "".join(map(str, content)).lstrip().startswith(THINK_OPEN):
        content = (f"{THINK_OPEN}\n{thinking}\n{THINK_CLOSE}\n\n", *content)
    given_calls = _listed(value.get("tool_calls")) or _listed(value.get("function_call"))
    ids = [call.get("id") for call in given_calls if isinstance(call, Mapping)]
    return Message(
        role=role,
        content=content,
        calls=tuple(map(_read_call, given_calls)),
        weight=_weight(value),
        call_ids=tuple(each for each in ids if isinstance(each, str)),
    )


def _parted(given: Any) -> tuple[list[Any], Any]:
    """What an assistant's parts hold: thinking, and the rest."""
    if not isinstance(given, list | tuple):
        return [], given

    def is_thinking(part: Any) -> bool:
        return isinstance(part, Mapping) and part.get("type") in _THINKING

    thoughts = [next((p[key] for key in (*_THINKING, "text") if p.get(key)), "") for p in filter(is_thinking, given)]
    return thoughts, [part for part in given if not is_thinking(part)]


def _thinking(value: Mapping[str, Any], thoughts: list[Any]) -> str:
    """An assistant's thinking without its tags; empty without any."""
    given = next((value[key] for key in _THINKING if value.get(key)), None)
    parts = [*(given if isinstance(given, list | tuple) else [given]), *thoughts]
    texts = [part.get("text", part.get("thinking")) if isinstance(part, Mapping) else part for part in parts if part]
    if not all(isinstance(text, str) for text in texts):
        raise MessageError(f"expected an assistant's thinking as text; got {brief(given)}")
    thinking = well_formed("\n".join(texts)).strip().removeprefix(THINK_OPEN).removesuffix(THINK_CLOSE).strip()
    if THINK_CLOSE in thinking:
        raise MessageError(f"expected an assistant's thinking without {THINK_CLOSE}; got {brief(thinking)}")
    return thinking


def _listed(given: Any) -> list[Any]:
    """Calls as a list, however they were given."""
    calls = read_json(given) if isinstance(given, str) and given else given
    if not calls:
        return []
    if not isinstance(calls, Mapping | list | tuple):
        raise MessageError(f"expected a list of calls; got {brief(given)}")
    return [calls] if isinstance(calls, Mapping) else list(calls)


def _read_content(given: Any, read_image: ReadImage, images: Iterable[Any]) -> Parts:
    if given is None:
        return ()
    if isinstance(given, str):
        return (well_formed(given),) if given else ()
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise MessageError(f"expected text or a list of parts; got {brief(given)}")
    rest = iter(images)
    return tuple(part for item in given if (part := _read_part(item, read_image, rest)) != "")


def _read_part(item: Any, read_image: ReadImage, images: Iterable[Any]) -> str | ImageRef:
    if isinstance(item, str):
        return well_formed(item)
    if not isinstance(item, Mapping):
        raise MessageError(f"expected parts such as {{'type': 'text', 'text': ...}}; got {brief(item)}")
    if isinstance(item.get("text"), str) and item.get("type", "text") in ("text", "input_text", "output_text"):
        return well_formed(item["text"])
    if item.get("type") not in ("image", "image_url", "input_image", None):
        raise MessageError(f"expected a part of text or an image; got one of type {brief(item.get('type'))}")
    for key in _IMAGE_KEYS:
        if item.get(key) is not None:
            content = item[key]
            return read_image(content["url"] if key == "image_url" and isinstance(content, Mapping) else content)
    for image in images:
        return read_image(image)
    raise MessageError(f"expected an image in the part, or a further one in the record's images; got {brief(item)}")


def _read_call(value: Any) -> ToolCall:
    given = value.get("function", value) if isinstance(value, Mapping) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or not given["name"]:
        raise MessageError(f"expected a call with 'name' and 'arguments'; got {brief(value)}")
    arguments: Any = next((given[key] for key in _ARGUMENTS if given.get(key) is not None), {})
    for _ in range(2):
        # Some data sets hold the JSON text of a JSON text.
        if isinstance(arguments, str):
            arguments = read_json(arguments or "{}")
    if not isinstance(arguments, Mapping):
        raise MessageError(f"expected a call's arguments as an object; got {brief(arguments)}")
    try:
        written = json.dumps(_without_gaps(arguments), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise MessageError(f"expected a call's arguments as JSON; got {brief(arguments)} ({error})") from None
    return ToolCall(name=well_formed(given["name"]), arguments=well_formed(written))


def _without_gaps(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those that are None: a data set's columns have every argument that any call has."""
    return {name: value for name, value in arguments.items() if value is not None}


def read_json(text: Any) -> Any:
    """What a JSON text holds.

    Raises:
        MessageError: it is none.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise MessageError(f"expected JSON; got {brief(text)} ({error})") from None


def _weight(value: Mapping[str, Any]) -> float:
    trained = next((value[key] for key in _TRAINED if isinstance(value.get(key), bool)), True)
    weight = trained if value.get("weight") is None else value["weight"]
    if not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise MessageError(f"expected a weight from 0 to 1; got {brief(weight)}")
    return float(weight)
