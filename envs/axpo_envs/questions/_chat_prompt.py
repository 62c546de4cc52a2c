"""Defines how a prompt that is given as chat messages becomes one text with placeholders of its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from axpo_envs.plumbing.brief import brief
from axpo_envs.questions._reference import FieldProblemError, read_text

_SYSTEM: Final = ("system", "developer")
_SPEAKERS: Final = {"user": "User", "assistant": "Assistant"}
_TEXTS: Final = ("text", "input_text")
_IMAGES: Final = ("image", "image_url", "input_image")
_PAYLOADS: Final = ("image", "image_url", "url", "path", "bytes")
_EXPECTED: Final = "expected chat messages {'role': system, user or assistant, 'content': text or parts}"


def read_chat(messages: Sequence[Any], images: int) -> tuple[str, list[Any]]:
    """The text of a prompt given as chat messages, and the images that it brings along.

    A system message comes first, then the user's message as it is. Where there were messages before it, each begins
    with `User:` or `Assistant:`. An image part without content stands for the next image of the row.

    Args:
        messages: mappings with `role` and `content`, the last of the user; content is text, or a list of texts and
            parts `{"type": "text", "text": ...}`, `{"type": "image", "image": ...}`, `{"type": "image_url", ...}`.
        images: number of images that the row has beside the prompt.

    Returns:
        The text, with `<imageN>` for the images of the prompt, which are numbered behind those of the row; and these.

    Raises:
        FieldProblemError: the messages are something else; the message says which.
    """
    brought: list[Any] = []
    instructions: list[str] = []
    spoken: list[tuple[str, str]] = []
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, Mapping) or message.get("role") not in (*_SYSTEM, *_SPEAKERS):
            raise FieldProblemError(f"{_EXPECTED}; message {number} is {brief(message)}")
        text = "".join(_parts(message.get("content"), number, images, brought))
        if message["role"] in _SYSTEM:
            instructions.append(text)
        else:
            spoken.append((_SPEAKERS[message["role"]], text))
    if not spoken or spoken[-1][0] != "User":
        raise FieldProblemError("expected chat messages of which the last is the user's")
    said = [spoken[0][1]] if len(spoken) == 1 else [f"{speaker}: {text}" for speaker, text in spoken]
    return "\n\n".join((*instructions, *said)), brought


def _parts(content: Any, number: int, images: int, brought: list[Any]) -> Iterator[str]:
    if isinstance(content, str):
        yield read_text(content, f"{_EXPECTED}; message {number} must have text")
        return
    if not isinstance(content, list | tuple) or not content:
        raise FieldProblemError(f"{_EXPECTED}; the content of message {number} is {brief(content)}")
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else "text"
        if kind in _TEXTS:
            yield read_text(part["text"] if isinstance(part, Mapping) and "text" in part else part, _EXPECTED)
        elif kind in _IMAGES:
            payload = next((part[name] for name in _PAYLOADS if part.get(name) is not None), None)
            if payload is None:
                yield "<image>"
                continue
            address = payload.get("url") if isinstance(payload, Mapping) and "url" in payload else payload
            brought.append(address)
            yield f"<image{images + len(brought)}>"
        else:
            raise FieldProblemError(f"{_EXPECTED}; message {number} has a part {brief(part)}")
