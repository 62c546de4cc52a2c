"""Defines `ChatFormat`: how a checkpoint's chat template makes ids of prompts and observations, and text of turns.

The template is rendered, never imitated. What follows an assistant turn is found by rendering a conversation with a
marker in the turn's place and taking the text behind the marker, so sampled ids are never tokenized again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, Final

from axpo_agents.errors import PolicyError
from axpo_agents.formats import translate
from axpo_agents.formats._chat_template import ChatTemplate, message
from axpo_agents.formats._outside_text import OutsideText
from axpo_agents.policy import TurnSpans
from axpo_agents.types import Span
from axpo_envs.images import ImageRef
from axpo_envs.observation import BETWEEN_RESPONSES, split_results
from axpo_envs.parsing import TextSpan, parse_turn
from axpo_envs.turn_format.tags import (
    RESPONSE_CLOSE,
    RESPONSE_OPEN,
    RESPONSE_TAGS,
    TAGS,
    THINK_CLOSE,
    quote_parts,
    quote_text,
)
from axpo_envs.types import Parts, ToolCall

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
        tells_images: whether a model that reads text only is told of images, which it is refused otherwise: a note of
            the size stands in the place of each.

    Raises:
        PolicyError: the template cannot show tools and their results, asks for calls in a format that is not known, or
            has no token that ends a turn.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: str,
        stop_ids: Sequence[int],
        image_token: str | None,
        *,
        tells_images: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self._tells_images = tells_images and image_token is None
        self._outside = OutsideText(tokenizer)
        self._template = ChatTemplate(tokenizer, template, image_token)
        self._image_id = None if image_token is None else tokenizer.convert_tokens_to_ids(image_token)
        self._pieces: dict[int, str] = {}
        special = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
        self._control = re.compile("|".join(re.escape(token) for token in special if not TAGS.match(token)) or "(?!)")
        self.calls = self._template.calls
        """How the model writes tool calls."""
        self.opening = self._template.opening
        self.turn_end = self._find_turn_end()
        self.stop_ids = tuple(sorted({*stop_ids, self.turn_end}))

    def encode_prompt(
        self, instructions: str, schemas: Sequence[Mapping[str, Any]], question: Parts
    ) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        """Ids of an episode's opening, one placeholder per image, and the images in order."""
        template, question = self._template, self._told(question)
        tools = [self._outside.mark_schema(schema) for schema in schemas]
        system = self._outside.mark(quote_text(instructions, RESPONSE_TAGS))
        if not template.tools_shown and tools:
            lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
            system = "\n\n".join(filter(None, (system, _TOOLS_BLOCK.format(schemas=lines))))
        before = f"{system}\n\n" if system and not (template.system_shown or template.knows_by_heart) else ""
        messages = [message("user", self._content(quote_parts(question, RESPONSE_TAGS), before))]
        if system and not before:
            messages.insert(0, message("system", system))
        text = template.render(messages, tools=tools if template.tools_shown else None, generation=True)
        return self._encode(text, question)

    def encode_observation(
        self, observation: Parts, after: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        """Ids between the last sampled one in `after` and the next turn, one placeholder per image, and the images."""
        observation = self._told(observation)
        results = [quote_parts(result, TAGS) for result in split_results(observation)]
        template = self._template
        if template.results_as_tool and not template.results_tagged:
            answers = [message("tool", self._content(result)) for result in results]
        else:
            # One pair of tags around them all comes from the template, or is written here.
            tags = ("", "") if template.results_as_tool else (f"{RESPONSE_OPEN}\n", f"\n{RESPONSE_CLOSE}")
            role = "tool" if template.results_as_tool else "user"
            answers = [message(role, self._joined([self._content(result) for result in results], *tags))]
        return self._encode_answer(answers, observation, after)

    def encode_message(self, said: Parts, after: Sequence[int]) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        """The same, where a user goes on with the conversation."""
        said = self._told(said)
        return self._encode_answer([message("user", self._content(quote_parts(said, RESPONSE_TAGS)))], said, after)

    def write_call(self, call: ToolCall) -> str:
        """A call as the model writes it in a turn."""
        return self.calls.write(call)

    def encode_turn(self, turn: str) -> list[int]:
        """Ids of a given turn's text; tokens that end turns or stand for images are cut, those of its tags are not."""
        return self._encode_cut(turn, [match.start() + 1 for match in self._control.finditer(turn)])

    def encode_call(self, call: ToolCall) -> list[int]:
        """Ids of a call as the model writes it; control tokens that its name or arguments quote are cut."""
        written, frame = self.write_call(call), self.write_call(ToolCall(name="f", arguments="{}"))
        own = [match.group() for match in self._control.finditer(frame)]
        cuts = []
        for match in self._control.finditer(written):
            if own[:1] == [match.group()]:
                own.pop(0)
            else:
                cuts.append(match.start() + 1)
        return self._encode_cut(written, cuts)

    def _encode_cut(self, text: str, cuts: Sequence[int]) -> list[int]:
        ids: list[int] = []
        for start, stop in pairwise((0, *cuts, len(text))):
            ids += self.tokenizer.encode(text[start:stop], add_special_tokens=False)
        return ids

    def continued(self, turn: str) -> str:
        """A whole turn's text without what the template writes of it; thinking that it opened is closed at once."""
        if not self.opening:
            return turn
        opened, thinking = self.opening.rstrip(), turn.lstrip()
        if not thinking.startswith(opened):
            return f"\n{THINK_CLOSE}\n\n{turn}"
        return thinking.removeprefix(opened).removeprefix(self.opening.removeprefix(opened))

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The turn's text as the environment parses it, calls in a format of the model's own translated."""
        content = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        text: str = self.tokenizer.decode(list(content), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return translate(self.opening + text, self.calls).text

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """Where the environment's parser finds thinking and the first call, in token positions."""
        content = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        pieces = [self._piece(token) for token in content]
        read = translate(self.opening + "".join(pieces), self.calls)
        turn = parse_turn(read.text)
        ends: list[int] = []
        total = len(self.opening)
        for piece in pieces:
            total += len(piece)
            ends.append(total)
        thinking = _token_span(read.origin(turn.thinking_spans[0]), ends) if turn.thinking_spans else None
        if not turn.calls:
            return TurnSpans(thinking=thinking, call=None, cut=None)
        span = turn.calls[0].span
        origin = read.origin(span)
        tag = _token_span(TextSpan(origin.start, read.opening(span)), ends)
        return TurnSpans(thinking=thinking, call=_token_span(origin, ends), cut=tag.stop)

    def _piece(self, token: int) -> str:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self.tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            self._pieces[token] = piece
        return piece

    def _told(self, parts: Parts) -> Parts:
        """The parts as this model may be shown them."""
        if not self._tells_images:
            return parts
        return tuple(part if isinstance(part, str) else _note_of(part) for part in parts)

    def _content(self, parts: Parts, before: str = "") -> str | list[dict[str, str]]:
        """Parts from outside as a template takes them, texts that follow each other as one.

        Args:
            parts: the parts.
            before: what goes before them, marked already.
        """
        content: list[str | ImageRef] = [before] if before else []
        for is_text, group in groupby(parts, key=lambda part: isinstance(part, str)):
            members = list(group)
            content += [self._outside.mark("".join(map(str, members)))] if is_text else members
        return self._template.content(*content)

    def _joined(self, contents: list[str | list[dict[str, str]]], before: str, behind: str) -> Any:
        """The contents of several results as one, the environment's own tags between and around them."""
        whole: list[Any] = []
        for number, content in enumerate(contents):
            tag = BETWEEN_RESPONSES if number else before
            whole += [tag] if tag else []
            whole += [content] if isinstance(content, str) else content
        whole += [behind] if behind else []
        if not self._template.lists_content:
            return "".join(whole)
        return [{"type": "text", "text": part} if isinstance(part, str) else part for part in whole]

    def _encode_answer(
        self, answers: list[dict[str, Any]], parts: Parts, after: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        suffix = self._template.render_suffix(answers)
        ids, images = self._encode(suffix, parts)
        # A turn that was cut off lacks its end; one that ended has it already.
        return (ids[1:] if after and after[-1] == self.turn_end else ids), images

    def _encode(self, text: str, parts: Parts) -> tuple[tuple[int, ...], tuple[ImageRef, ...]]:
        ids = self._outside.encode(text)
        images = tuple(part for part in parts if isinstance(part, ImageRef))
        shown = sum(token == self._image_id for token in ids)
        if shown != len(images):
            raise PolicyError(f"the chat template shows {shown} of {len(images)} images; expected a place for each")
        return ids, images

    def _find_turn_end(self) -> int:
        suffix = self._template.render_suffix([message("user", self._template.content("?"))], generation=False)
        ids = self.tokenizer(suffix, add_special_tokens=False)["input_ids"]
        if not ids or ids[0] not in self.tokenizer.added_tokens_decoder:
            raise PolicyError(
                f"no end-of-turn token: expected the chat template to end an assistant turn with a special token; "
                f"it writes {suffix[:40]!r}"
            )
        return int(ids[0])


def _note_of(image: ImageRef) -> str:
    width, height = image.size
    return f"[image of {width} x {height} pixels]\n"


def _token_span(span: TextSpan, ends: Sequence[int]) -> Span:
    """The tokens that hold these characters; `ends` says where each token's text ends.

    Characters before the first token belong to the prompt: a span that begins there begins with the turn.
    """
    start = sum(1 for end in ends if end <= span.start)
    stop = sum(1 for end in ends if end < span.stop) + 1
    return Span(start, min(stop, len(ends)))
