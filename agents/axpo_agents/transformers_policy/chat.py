"""Defines `ChatFormat`: how a checkpoint's chat template makes ids of prompts and observations, and text of turns.

The template is rendered, never imitated. What follows an assistant turn is found by rendering a conversation with a
marker in the turn's place and taking the text behind the marker, so sampled ids are never tokenized again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from jinja2 import TemplateError

from axpo_agents.policy import TurnSpans
from axpo_agents.transformers_policy.errors import PolicyError
from axpo_agents.types import Span
from axpo_envs.images import ImageRef
from axpo_envs.parsing import TextSpan, parse_turn
from axpo_envs.tags import ANSWER_CLOSE, ANSWER_OPEN, CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN
from axpo_envs.types import Parts

_RESPONSE_OPEN: Final = "<tool_response>"
_RESPONSE_CLOSE: Final = "</tool_response>"
_TAGS: Final = frozenset(
    (THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE, ANSWER_OPEN, ANSWER_CLOSE, _RESPONSE_OPEN, _RESPONSE_CLOSE)
)
_MARKER: Final = "TURNMARKER"
_PROBE: Final = "PROBETEXT"
_PROBE_TOOL: Final = {
    "type": "function",
    "function": {"name": "probetool", "description": _PROBE, "parameters": {"type": "object", "properties": {}}},
}
_TOOLS_BLOCK: Final = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{schemas}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
"""What Qwen's own templates write (Hermes format), for templates that have no place for tools."""


class ChatFormat:
    """A checkpoint's conversation format.

    Args:
        tokenizer: a Transformers tokenizer.
        template: the chat template (Jinja).
        stop_ids: ids that end generation according to the checkpoint's configs.
        image_token: the text of the image placeholder; None for a model that reads text only.

    Raises:
        PolicyError: the template cannot show tools and their results, or has no token that ends a turn.
    """

    def __init__(self, tokenizer: Any, template: str, stop_ids: Sequence[int], image_token: str | None) -> None:
        self.tokenizer = tokenizer
        self._template = template
        self._image_token = image_token
        self._pieces: dict[int, str] = {}
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._control = tuple(sorted(special - _TAGS, key=len, reverse=True))
        self._tools_shown = self._shows_tools()
        self._results_as_tool = self._tools_shown and self._shows_results()
        if not self._tools_shown and _PROBE not in self._render([_message("system", _PROBE), _message("user", "?")]):
            raise PolicyError(
                "no tool support in the chat template: expected it to show `tools`, or a message of role `tool` within "
                "<tool_response> tags, or at least a system message; it shows none of them"
            )
        self.opening = self._find_opening()
        self.turn_end = self._find_turn_end()
        self.stop_ids = tuple(sorted({*stop_ids, self.turn_end}))

    def encode_prompt(
        self, instructions: str, schemas: Sequence[Mapping[str, Any]], question: Parts
    ) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        """Ids of an episode's opening, one placeholder per image, and the images in order."""
        system = instructions
        if not self._tools_shown and schemas:
            lines = "\n".join(json.dumps(schema, ensure_ascii=False) for schema in schemas)
            system = "\n\n".join(filter(None, (instructions, _TOOLS_BLOCK.format(schemas=lines))))
        messages = [_message("user", self._content(question))]
        if system:
            messages.insert(0, _message("system", self._harmless(system)))
        text = self._render(messages, tools=list(schemas) if self._tools_shown else None, generation=True)
        return self._encode(text, question)

    def encode_observation(
        self, observation: Parts, after: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        """Ids between the last sampled one in `after` and the next turn, one placeholder per image, and the images."""
        if self._results_as_tool:
            answer = _message("tool", self._content(observation))
        else:
            answer = _message("user", self._content((f"{_RESPONSE_OPEN}\n", *observation, f"\n{_RESPONSE_CLOSE}")))
        messages = [_message("user", self._content(("?",))), _message("assistant", _MARKER), answer]
        suffix = self._render(messages, generation=True).partition(_MARKER)[2]
        ids, images = self._encode(suffix, observation)
        # A turn that was cut off lacks its end; one that ended has it already.
        return (ids[1:] if after and after[-1] == self.turn_end else ids), images

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The turn's text as the environment parses it."""
        content = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        text: str = self.tokenizer.decode(list(content), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return self.opening + text

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """Where the environment's parser finds thinking and the first call, in token positions."""
        content = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        pieces = [self._piece(token) for token in content]
        turn = parse_turn(self.opening + "".join(pieces))
        ends: list[int] = []
        total = len(self.opening)
        for piece in pieces:
            total += len(piece)
            ends.append(total)
        thinking = _token_span(turn.thinking_spans[0], ends) if turn.thinking_spans else None
        if not turn.calls:
            return TurnSpans(thinking=thinking, call=None, cut=None)
        span = turn.calls[0].span
        tag = _token_span(TextSpan(span.start, span.start + len(CALL_OPEN)), ends)
        return TurnSpans(thinking=thinking, call=_token_span(span, ends), cut=tag.stop)

    def _piece(self, token: int) -> str:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self.tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            self._pieces[token] = piece
        return piece

    def _content(self, parts: Parts) -> str | list[dict[str, str]]:
        """Parts as a template takes them: a list where images may stand, a plain string for text models."""
        if self._image_token is None:
            if any(isinstance(part, ImageRef) for part in parts):
                raise PolicyError("the environment shows images, but the model reads text only: it has no image tower")
            return "".join(self._harmless(part) for part in parts if isinstance(part, str))
        return [
            {"type": "image"} if isinstance(part, ImageRef) else {"type": "text", "text": self._harmless(part)}
            for part in parts
        ]

    def _harmless(self, text: str) -> str:
        """Takes control tokens apart, so that no question and no tool result can end a turn or claim an image."""
        for token in self._control:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _encode(self, text: str, parts: Parts) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        images = tuple(part for part in parts if isinstance(part, ImageRef))
        shown = text.count(self._image_token) if self._image_token is not None else 0
        if shown != len(images):
            raise PolicyError(f"the chat template shows {shown} of {len(images)} images; expected a place for each")
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]), images

    def _render(
        self, messages: list[dict[str, Any]], *, tools: list[Any] | None = None, generation: bool = False
    ) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=generation,
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise PolicyError(f"the chat template refuses a conversation of {roles}: {error}") from error
        return text

    def _shows_tools(self) -> bool:
        question = [_message("user", self._content(("?",)))]
        return "probetool" in self._render(question, tools=[_PROBE_TOOL]) or self._shows_results()

    def _shows_results(self) -> bool:
        """Whether a result, with an image where the model sees, is shown as one."""
        image: list[dict[str, str]] = [] if self._image_token is None else [{"type": "image"}]
        content: Any = self._content((_PROBE,))
        messages = [
            _message("user", self._content(("?",))),
            _message("assistant", _MARKER),
            _message("tool", content + image if isinstance(content, list) else content),
        ]
        try:
            suffix = self._render(messages).partition(_MARKER)[2]
        except PolicyError:
            return False
        images = suffix.count(self._image_token) if self._image_token is not None else 0
        return _PROBE in suffix and _RESPONSE_OPEN in suffix and images == len(image)

    def _find_opening(self) -> str:
        """The start of a turn that the generation prompt already wrote: an open `<think>`, or nothing."""
        question = [_message("user", self._content(("?",)))]
        prompt = self._render(question, generation=True).removeprefix(self._render(question))
        before, tag, after = prompt.rpartition(THINK_OPEN)
        return tag + after if tag and THINK_CLOSE not in after and before else ""

    def _find_turn_end(self) -> int:
        question = _message("user", self._content(("?",)))
        suffix = self._render([question, _message("assistant", _MARKER), question]).partition(_MARKER)[2]
        ids = self.tokenizer(suffix, add_special_tokens=False)["input_ids"]
        if not ids or ids[0] not in self.tokenizer.added_tokens_decoder:
            raise PolicyError(
                f"no end-of-turn token: expected the chat template to end an assistant turn with a special token; "
                f"it writes {suffix[:40]!r}"
            )
        return int(ids[0])


def _message(role: str, content: str | list[dict[str, str]]) -> dict[str, Any]:
    return {"role": role, "content": content}


def _token_span(span: TextSpan, ends: Sequence[int]) -> Span:
    """The tokens that hold these characters; `ends` says where each token's text ends.

    Characters before the first token belong to the prompt: a span that begins there begins with the turn.
    """
    start = sum(1 for end in ends if end <= span.start)
    stop = sum(1 for end in ends if end < span.stop) + 1
    return Span(start, min(stop, len(ends)))
