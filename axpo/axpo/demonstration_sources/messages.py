"""Defines `read_message`, which reads one chat message in any of the usual spellings, and `Message`, what it holds.

| spelling | role | text | calls |
|---|---|---|---|
| OpenAI, Transformers, TRL | `role` | `content`: text or a list of parts | `tool_calls` |
| ShareGPT | `from` | `value` | turns of `function_call` |

Thinking kept apart (`reasoning_content`, `reasoning` or `thinking`) is put before the text in `<think>` tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from axpo_envs.brief import brief
from axpo_envs.images import ImageRef
from axpo_envs.tags import THINK_CLOSE, THINK_OPEN
from axpo_envs.types import Parts, ToolCall

ReadImage = Callable[[Any], ImageRef]
"""Makes an image of what a record gives as one; raises `MessageError`."""

_THINKING: Final = ("reasoning_content", "reasoning", "thinking")
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
    role = _ROLES.get(named) if isinstance(named, str) else None
    if role is None:
        raise MessageError(f"expected a role out of {', '.join(_ROLES)}; got {brief(named)}")
    given = value.get("content", value.get("value"))
    if named == "function_call":
        return Message(role=role, content=(), calls=(_read_call(_json(given)),), weight=_weight(value))
    content = _read_content(given, read_image, iter(images))
    if role is not Role.ASSISTANT:
        return Message(role=role, content=content)
    thinking = next((value[key] for key in _THINKING if isinstance(value.get(key), str) and value[key].strip()), None)
    if thinking is not None:
        content = (f"{THINK_OPEN}\n{thinking.strip()}\n{THINK_CLOSE}\n\n", *content)
    calls = tuple(_read_call(call) for call in value.get("tool_calls") or ())
    if any(isinstance(part, ImageRef) for part in content):
        raise MessageError("expected text from an assistant; got an image")
    return Message(role=role, content=content, calls=calls, weight=_weight(value))


def _read_content(given: Any, read_image: ReadImage, images: Iterable[Any]) -> Parts:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,) if given else ()
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise MessageError(f"expected text or a list of parts; got {brief(given)}")
    rest = iter(images)
    return tuple(part for item in given if (part := _read_part(item, read_image, rest)) != "")


def _read_part(item: Any, read_image: ReadImage, images: Iterable[Any]) -> str | ImageRef:
    if isinstance(item, str):
        return item
    if not isinstance(item, Mapping):
        raise MessageError(f"expected parts such as {{'type': 'text', 'text': ...}}; got {brief(item)}")
    if isinstance(item.get("text"), str) and item.get("type", "text") in ("text", "input_text", "output_text"):
        return str(item["text"])
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
    arguments = given.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _json(arguments or "{}")
    if not isinstance(arguments, Mapping):
        raise MessageError(f"expected a call's arguments as an object; got {brief(arguments)}")
    return ToolCall(name=given["name"], arguments=json.dumps(_without_gaps(arguments), ensure_ascii=False))


def _without_gaps(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those that are None: a data set's columns have every argument that any call has."""
    return {name: value for name, value in arguments.items() if value is not None}


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise MessageError(f"expected JSON; got {brief(text)} ({error})") from None


def _weight(value: Mapping[str, Any]) -> float:
    weight = value.get("weight", 1.0)
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise MessageError(f"expected a weight from 0 to 1; got {brief(weight)}")
    return float(weight)
