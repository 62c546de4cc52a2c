"""Defines `ChatAgent`: a model behind `/v1/chat/completions`, as any OpenAI-compatible server offers it.

Tools are told of in the system message and called in text, in the Hermes form that `docs/models.md` describes, so that
a server needs to know nothing of them. What a server gives as `reasoning_content` stands between `<think>` tags.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from axpo_benchmarks.harness._said import Said
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.images import ImageRef
from axpo_envs.observation import without_tags, wrap_results
from axpo_envs.plumbing.web import EnvironmentKey, Retries
from axpo_envs.types import EpisodeState, Parts

_THINK: Final = "<think>\n{thought}\n</think>\n\n"
_TOOLS: Final = """
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """Which server is asked, and how."""

    url: str
    """Where its API begins, such as `http://host:8000/v1`."""
    model: str | None = None
    """The model's name at the server; None leaves it out."""
    key: EnvironmentKey | None = None
    """Names the environment variable that holds the server's key; None for a server without one."""
    temperature: float = 0.7
    """Sampling temperature."""
    top_p: float = 0.8
    """Nucleus."""
    top_k: int = 20
    """0 is all; left out where it is, since not every server knows it."""
    presence_penalty: float = 1.5
    """Presence penalty."""
    max_tokens: int = 32768
    """Token limit of a turn."""
    timeout_s: float = 3600.0
    """Seconds for a whole request."""
    retries: Retries = field(default_factory=Retries)
    """How often a request is tried that met no connection, status 408, 425, 429 or 5xx, and how long is waited."""


class ChatAgent:
    """A model that is asked by messages. Threads may share it.

    Args:
        settings: which server is asked, and how.

    Raises:
        EnvConfigError: a setting is unusable, or the key is missing.
        MissingExtraError: the extra `remote` is not installed.
    """

    def __init__(self, settings: ChatSettings) -> None:
        # The package httpx is an extra.
        from axpo_envs.plumbing.web.service import Service, checked_url

        address = checked_url(settings.url).rstrip("/").removesuffix("/v1")
        self._settings = settings
        self._url = f"{address}/v1/chat/completions"
        self._service = Service(timeout_s=settings.timeout_s, retries=settings.retries, key=settings.key)
        self._service.check()

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        self._service.close()

    def say(self, env: ToolEnv, state: EpisodeState, seed: int) -> Said:
        """The model's next turn.

        Raises:
            InfrastructureFault: the server stayed unreachable, or its answer cannot be used.
            EnvConfigError: the server refuses the request.
        """
        chosen = self._settings
        body: dict[str, Any] = {
            "messages": messages_of(env, state),
            "temperature": chosen.temperature,
            "top_p": chosen.top_p,
            "presence_penalty": chosen.presence_penalty,
            "max_tokens": chosen.max_tokens,
            "seed": seed % 2**31,
        }
        body |= {} if chosen.model is None else {"model": chosen.model}
        body |= {"top_k": chosen.top_k} if chosen.top_k else {}
        return _read(self._service.post(self._url, body))


def _read(answer: Any) -> Said:
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        text = str(message.get("content") or "")
        usage: Mapping[str, Any] = answer.get("usage") or {}
        written, read = usage.get("completion_tokens"), usage.get("prompt_tokens")
        return Said(
            text=(_THINK.format(thought=thought.strip("\n")) if thought else "") + text,
            cut=choice.get("finish_reason") == "length",
            written=None if written is None else int(written),
            read=None if read is None else int(read),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InfrastructureFault(f"the server's answer cannot be read ({type(error).__name__}: {error})") from error


def messages_of(env: ToolEnv, state: EpisodeState) -> list[dict[str, Any]]:
    """An episode as messages: instructions and tools, the question, then turns and observations.

    Args:
        env: its rules, its tools, and how it shows images.
        state: the episode so far.
    """
    signatures = [
        json.dumps(
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            },
            ensure_ascii=False,
        )
        for tool in env.tools
    ]
    told = _TOOLS.format(signatures="\n".join(signatures)) if signatures else ""
    system = f"{env.instructions}\n{told}".strip()
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": _content(env.opening(state))})
    for turn in state.turns:
        messages.append({"role": "assistant", "content": turn.text})
        messages.append({"role": "user", "content": _content(wrap_results(without_tags(turn.observation)))})
    return messages


def _content(parts: Parts) -> str | list[dict[str, Any]]:
    """Text alone as text; with images as a list of parts, texts that touch joined."""
    if all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ImageRef):
            content.append({"type": "image_url", "image_url": {"url": _data_url(part)}})
        elif content and content[-1]["type"] == "text":
            content[-1]["text"] += part
        else:
            content.append({"type": "text", "text": part})
    return content


@lru_cache(maxsize=64)
def _data_url(image: ImageRef) -> str:
    return f"data:image/png;base64,{base64.b64encode(image.to_png()).decode('ascii')}"
