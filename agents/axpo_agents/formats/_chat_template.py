"""Defines `ChatTemplate`: a checkpoint's Jinja template, and what was found out about it by rendering probes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from jinja2 import TemplateError

from axpo_agents.errors import PolicyError
from axpo_agents.formats import CallFormat, HermesFormat, call_formats, translate
from axpo_envs.images import ImageRef
from axpo_envs.parsing import clip, parse_turn
from axpo_envs.turn_format.tags import RESPONSE_OPEN, THINK_CLOSE, THINK_OPEN

_MARKER: Final = "TURNMARKER"
_PROBE: Final = "PROBETEXT"
_PROBE_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "probetool",
        "description": _PROBE,
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": _PROBE}},
            "required": ["place"],
        },
    },
}
_ARGUMENTS: Final = {"place": "Oslo"}
_CALL_ID: Final = "call00001"
"""Nine letters and digits: what Mistral's templates insist on."""
_SHOWN_CHARS: Final = 300


class ChatTemplate:
    """A chat template.

    Args:
        tokenizer: a Transformers tokenizer; it renders.
        template: the template (Jinja).
        image_token: the text of the image placeholder; None for a model that reads text only.

    Raises:
        PolicyError: it cannot show tools and their results, or asks for calls in a format that is not known.
    """

    def __init__(self, tokenizer: Any, template: str, image_token: str | None) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._image_token = image_token
        self.lists_content = image_token is not None
        """Whether the content of a message is a list of parts, not a text."""
        question = message("user", self.content("?"))
        plain = self.render([question])
        tooled = self._render_or_none([question], tools=[_PROBE_TOOL])
        listed = tooled is not None and "probetool" in tooled
        self.results_tagged, shows_results = self._shows_results()
        self.tools_shown = listed or (shows_results and self.results_tagged)
        """Whether it has a place for tools, if only for their results."""
        led = self._render_or_none([message("system", _PROBE), message("user", self.content("?"))])
        self.system_shown = led is not None and _PROBE in led
        """Whether it shows a message of role `system`."""
        self.knows_by_heart = self.tools_shown and not listed and led is not None and not self.system_shown
        """Whether it takes system messages and tools, shows results, and leaves both out on purpose: the model was
        trained for one environment, without being told of it."""
        self.results_as_tool = self.tools_shown and shows_results
        """Whether it shows messages of role `tool`, with images where the model sees."""
        if not self.tools_shown and not self.system_shown:
            raise PolicyError(
                "no tool support in the chat template: expected it to show `tools`, or a message of role `tool` within "
                "<tool_response> tags, or at least a system message; it shows none of them"
            )
        self.calls: CallFormat = self._find_calls(plain, tooled) if listed and tooled is not None else HermesFormat()
        """How it has the model write calls."""
        self.opening = self._find_opening(plain)
        """What the generation prompt already wrote of a turn: an open `<think>`, or nothing."""

    def content(self, *parts: str | ImageRef) -> str | list[dict[str, str]]:
        """Parts as a template takes them: a list where images may stand, a plain string for text models.

        Raises:
            PolicyError: there is an image, and the model has no image tower.
        """
        if not self.lists_content:
            if any(isinstance(part, ImageRef) for part in parts):
                raise PolicyError(
                    "the environment shows images, but the model reads text only: it has no image tower "
                    "(policy.tell_images tells it their sizes, for tools that read them)"
                )
            return "".join(part for part in parts if isinstance(part, str))
        return [{"type": "image"} if isinstance(part, ImageRef) else {"type": "text", "text": part} for part in parts]

    def render(
        self, messages: Sequence[dict[str, Any]], *, tools: list[Any] | None = None, generation: bool = False
    ) -> str:
        """What the template writes.

        Raises:
            PolicyError: it refuses the conversation.
        """
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages),
                tools=tools,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=generation,
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise PolicyError(f"the chat template refuses a conversation of {roles}: {error}") from error
        return text

    def render_suffix(self, answers: Sequence[dict[str, Any]], *, generation: bool = True) -> str:
        """What stands between an assistant's turn and the next one, with the answers in between."""
        messages = [message("user", self.content("?")), message("assistant", _MARKER), *answers]
        return self.render(messages, generation=generation).partition(_MARKER)[2]

    def _render_or_none(self, messages: Sequence[dict[str, Any]], *, tools: list[Any] | None = None) -> str | None:
        try:
            return self.render(messages, tools=tools)
        except PolicyError:
            return None

    def _shows_results(self) -> tuple[bool, bool]:
        """Whether a result stands within `<tool_response>` tags, and whether it is shown at all, its image included."""
        image: list[dict[str, str]] = [] if self._image_token is None else [{"type": "image"}]
        content: Any = self.content(_PROBE)
        answer = message("tool", content + image if isinstance(content, list) else content)
        try:
            suffix = self.render_suffix([answer], generation=False)
        except PolicyError:
            return False, False
        images = suffix.count(self._image_token) if self._image_token is not None else 0
        return RESPONSE_OPEN in suffix, _PROBE in suffix and images == len(image)

    def _find_calls(self, plain: str, tooled: str) -> CallFormat:
        """The format in which it shows a call, or else the one that it describes in words."""
        shown = self._show_call(tooled)
        if shown is not None:
            for calls in call_formats():
                if _reads(calls, shown):
                    return calls
        else:
            told = [calls for calls in call_formats() if calls.asked_for(tooled)]
            if len(told) == 1:
                return told[0]
        if shown is None:
            what = f"shows no call, and tools as {clip(_added(plain, tooled), _SHOWN_CHARS)!r}"
        else:
            what = f"writes one as {clip(shown, _SHOWN_CHARS)!r}"
        known = "; ".join(f"{calls.name}: {calls.example!r}" for calls in call_formats())
        raise PolicyError(f"expected a chat template that asks for tool calls in a known format ({known}); it {what}")

    def _show_call(self, tooled: str) -> str | None:
        """The assistant's turn with a call, as it is rendered; None where calls are not."""
        for arguments in (_ARGUMENTS, json.dumps(_ARGUMENTS)):
            call = {"id": _CALL_ID, "type": "function", "function": {"name": "probetool", "arguments": arguments}}
            asking = message("assistant", "") | {"tool_calls": [call]}
            text = self._render_or_none([message("user", self.content("?")), asking], tools=[_PROBE_TOOL])
            turn = "" if text is None else _added(tooled, text)
            if "probetool" in turn:
                return turn
        return None

    def _find_opening(self, plain: str) -> str:
        prompt = self.render([message("user", self.content("?"))], generation=True).removeprefix(plain)
        before, tag, after = prompt.rpartition(THINK_OPEN)
        return tag + after if tag and THINK_CLOSE not in after and before else ""


def message(role: str, content: str | list[dict[str, str]]) -> dict[str, Any]:
    """A message; a result names the call that it answers."""
    named = {"tool_call_id": _CALL_ID} if role == "tool" else {}
    return {"role": role, "content": content, **named}


def _added(before: str, after: str) -> str:
    """What a text has that the other had not: between what they begin with and what they end with."""
    start = next((index for index, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
    return after[min(len(before), len(after)) if start is None else start :]


def _reads(calls: CallFormat, turn: str) -> bool:
    """Whether a format reads the probe's call in a turn, whole."""
    found = parse_turn(translate(turn, calls).text).calls
    return calls.recognizes(turn) and [(c.call.name, dict(c.arguments)) for c in found] == [("probetool", _ARGUMENTS)]
