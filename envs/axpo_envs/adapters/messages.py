"""Defines how chat messages of other libraries become turns, and parts of a prompt or a result their content."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.tool.protocol import Tool
from axpo_envs.turn_format.tags import CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN
from axpo_envs.types import Parts

Content: TypeAlias = str | list[dict[str, Any]]
"""What a chat message holds: text, or a list of parts where there are images."""

_TOOLS: Final = (
    "# Tools\n\nYou may call one or more functions. Their signatures:\n<tools>\n{lines}\n</tools>\n\n"
    "A call is a JSON object with name and arguments:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
_REASONING: Final = ("reasoning_content", "reasoning", "thinking")


def turn_of_message(message: Mapping[str, Any]) -> str:
    """The assistant turn that a chat message in OpenAI's layout tells: thinking, text, then calls in `<tool_call>`.

    A server that parsed thinking and calls out of the text is told from one that left them there by their fields.
    Arguments that are no JSON stay as they are, for the environment to judge.
    """
    thinking = next((text for name in _REASONING if isinstance(text := message.get(name), str) and text), "")
    opened = f"{THINK_OPEN}{thinking}{THINK_CLOSE}\n" if thinking else ""
    calls = [_call_text(call) for call in message.get("tool_calls") or ()]
    return "\n".join([opened + text_of_content(message.get("content")), *calls])


def text_of_content(content: Any) -> str:
    """The text of a message's content, whatever its layout."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = (part if isinstance(part, str) else part.get("text") for part in content)
    return "".join(part for part in parts if isinstance(part, str))


def content_of(parts: Parts, image: Callable[[ImageRef], dict[str, Any]]) -> Content:
    """Parts as a message's content: plain text where there are no images, so that models without a tower read it.

    Args:
        parts: text and images.
        image: an image as a part of a message.
    """
    if not any(isinstance(part, ImageRef) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return [image(part) if isinstance(part, ImageRef) else {"type": "text", "text": part} for part in parts if part]


def image_url_part(image: ImageRef) -> dict[str, Any]:
    """An image as OpenAI's chat messages hold it: a lossless PNG in a `data:` URL."""
    return {"type": "image_url", "image_url": {"url": data_url(image)}}


def pillow_part(image: ImageRef) -> dict[str, Any]:
    """An image as the processors of Transformers take it."""
    return {"type": "image", "image": image.to_pil()}


def data_url(image: ImageRef) -> str:
    """An image as a `data:` URL of a PNG file."""
    return f"data:image/png;base64,{base64.b64encode(image.to_png()).decode()}"


def opening_messages(
    env: ToolEnv, question: Parts, image: Callable[[ImageRef], dict[str, Any]], *, declare_tools: bool = False
) -> list[dict[str, Any]]:
    """The messages an episode begins with: the instructions, where there are any, and the question as shown.

    Args:
        env: the environment.
        question: the question as the policy sees it (`ToolEnv.opening`).
        image: an image as a part of a message.
        declare_tools: tell the tools and the format of calls in the system message, for libraries that hand no tools to
            the chat template.
    """
    told = [env.instructions] if env.instructions else []
    if declare_tools and env.tools:
        lines = "\n".join(json.dumps(schema, ensure_ascii=False) for schema in function_schemas(env.tools))
        told.append(_TOOLS.replace("{lines}", lines))
    system = [{"role": "system", "content": "\n\n".join(told)}] if told else []
    return [*system, {"role": "user", "content": content_of(question, image)}]


def function_schemas(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The tools as OpenAI's API declares functions."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]


def images_of(parts: Sequence[str | ImageRef]) -> tuple[ImageRef, ...]:
    """The images among parts, in order."""
    return tuple(part for part in parts if isinstance(part, ImageRef))


def _call_text(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    name, arguments = function.get("name", ""), function.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, default=str)
    return f'{CALL_OPEN}\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {arguments}}}\n{CALL_CLOSE}'
