"""Defines `OutsideText`, the one place that keeps texts from outside from becoming tokens of the conversation's format.

Questions, instructions, tool schemas and results are rendered by a chat template together with the template's own
words, and tokenized with them. Before that, every such text is put between marks. Afterwards the marks are taken out,
and no token that the tokenizer knows by name (`<|im_end|>`, `<tool_call>`, an image's placeholder) may touch what stood
between them: where one would, the text is cut within it and its pieces are tokenized apart. So such a text is shown
character by character as it is, in other tokens than the format's own. Text that holds none is tokenized as if nothing
had been done.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from axpo_agents.errors import PolicyError
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.turn_format.tags import TAGS, quote_text

# Printable, so that no template escapes them; no end of one is the beginning of the other, so that no text before,
# between or behind them makes another of them.
_OPEN: Final = "\U000101d0outside\U000101d1"
_CLOSE: Final = "\U000101d2outside\U000101d3"
_MARKS: Final = re.compile(f"{_OPEN}|{_CLOSE}")
_PLAIN_NAME: Final = re.compile(r"[\w$./-]*")
_LEAD: Final = re.compile(r"\s*")


class _Rendered(NamedTuple):
    """What a template wrote, without marks."""

    text: str
    """The text."""
    starts: tuple[int, ...]
    """Where each text from outside begins."""
    stops: tuple[int, ...]
    """Where each ends."""


class OutsideText:
    """Marks texts from outside, and tokenizes what a template made of them.

    Args:
        tokenizer: a Transformers tokenizer.

    Raises:
        PolicyError: the tokenizer does not say where in a text its tokens stand.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.is_fast:
            raise PolicyError(
                f"expected a tokenizer of the tokenizers library, which says where tokens stand; got "
                f"{type(tokenizer).__name__}"
            )
        self._tokenizer = tokenizer
        named = {number: token for number, token in tokenizer.added_tokens_decoder.items() if not _is_word(token)}
        self._named = frozenset(named)
        self._plain = tuple(str(token) for token in named.values() if _PLAIN_NAME.fullmatch(str(token)))

    def mark(self, text: str) -> str:
        """A text between marks, which stand within the white space around it: templates may trim it.

        Half of a surrogate pair becomes U+FFFD.
        """
        text = _MARKS.sub(lambda mark: f"{mark.group()[0]} {mark.group()[1:]}", well_formed(text))
        core = text.strip()
        if not core:
            return text
        lead = len(text) - len(text.lstrip())
        return f"{text[:lead]}{_OPEN}{core}{_CLOSE}{text[lead + len(core) :]}"

    def mark_schema(self, schema: Any) -> Any:
        """A tool's schema with every text in it quoted and marked, names of parameters included.

        What is written like a plain name is left as it is: templates look for such names and values.
        """
        match schema:
            case str():
                plain = _PLAIN_NAME.fullmatch(schema) and not any(token in schema for token in self._plain)
                return schema if plain else self.mark(quote_text(schema, TAGS))
            case Mapping():
                return {self.mark_schema(key): self.mark_schema(value) for key, value in schema.items()}
            case list() | tuple():
                return [self.mark_schema(item) for item in schema]
        return schema

    def encode(self, rendered: str) -> tuple[int, ...]:
        """Ids of what a template wrote around marked texts.

        Raises:
            PolicyError: the template left out one of two marks.
        """
        text, starts, stops = _without_marks(rendered)
        edges = [0, len(text)]
        core = self._tokenizer.backend_tokenizer
        # Files of tokenizers may ask for either.
        core.no_truncation()
        core.no_padding()
        while True:
            ids: list[int] = []
            cuts: list[int] = []
            for start, stop in pairwise(edges):
                encoded = core.encode(text[start:stop], add_special_tokens=False)
                ids += encoded.ids
                for token, (left, right) in zip(encoded.ids, encoded.offsets, strict=True):
                    if token not in self._named or not _forged(text, start + left, start + right, starts, stops):
                        continue
                    first = start + left + len(_LEAD.match(text[start + left : start + right])[0])  # type: ignore[index]
                    if first + 1 < start + right:
                        cuts.append(first + 1)
                    elif text[first] != "\ufffd":
                        # A token of one character cannot be cut; it is lost. What stands for it then may be a token
                        # with a name, too: that of unknown characters.
                        text = f"{text[:first]}\ufffd{text[first + 1 :]}"
                        cuts.append(first)
            if not cuts:
                return tuple(ids)
            edges = sorted({*edges, *cuts})


def _without_marks(rendered: str) -> _Rendered:
    pieces: list[str] = []
    starts: list[int] = []
    stops: list[int] = []
    position = length = 0
    for mark in _MARKS.finditer(rendered):
        pieces.append(rendered[position : mark.start()])
        length += len(pieces[-1])
        position = mark.end()
        opens = mark.group() == _OPEN
        if opens == (len(starts) > len(stops)):
            raise PolicyError("the chat template writes only a part of a message; expected all of it, or nothing")
        (starts if opens else stops).append(length)
    if len(starts) > len(stops):
        raise PolicyError("the chat template writes only the beginning of a message; expected all of it, or nothing")
    return _Rendered("".join([*pieces, rendered[position:]]), tuple(starts), tuple(stops))


def _forged(text: str, left: int, right: int, starts: Sequence[int], stops: Sequence[int]) -> bool:
    """Whether a token that takes these characters takes any that came from outside.

    White space beside a token may belong to it: that is no forgery, and is lost as it always was.
    """
    index = bisect_right(stops, left)
    while index < len(starts) and starts[index] < right:
        if text[max(left, starts[index]) : min(right, stops[index])].strip():
            return True
        index += 1
    return False


def _is_word(token: Any) -> bool:
    """Whether a token was added for what it says: white space, or a word of letters and digits."""
    content = str(token).replace("\u2581", " ").strip()
    return not token.special and (not content or content.isalnum())
