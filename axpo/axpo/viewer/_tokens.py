"""Defines `Tokens`, which finds a turn's tokens in its text, so that each can be shown with its probability."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axpo.records._folder import CHECKPOINTS
from axpo.report._rollout_view import Piece, Tone
from axpo_agents.tiny import checkpoint_of, tiny_named
from axpo_agents.types import Completion
from axpo_envs.turn_format.tags import THINK_OPEN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LEVELS: Final = 10
"""Shades that probabilities are drawn in: 0 for those below a tenth, 9 for those above nine tenths."""
_TOKENIZER: Final = "tokenizer.json"
_MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A sampled token."""

    id: int
    """Its id."""
    probability: float
    """Under the policy that sampled it, at its temperature."""
    start: int
    """Its first character in the turn's text; as many as the text has where it is not part of it."""
    stop: int
    """One past its last character."""

    @property
    def level(self) -> int:
        """Its shade."""
        return min(int(self.probability * LEVELS), LEVELS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of a turn's text that one token wrote, or none that is known."""

    text: str
    """The text, unescaped: templates escape it."""
    tone: Tone
    """What it is."""
    frozen: bool
    """Whether it belongs to a frozen prefix."""
    token: Token | None
    """What wrote it."""


class Tokens:
    """Knows the texts of a run's tokens, where its folder (or somebody) tells them.

    Args:
        tokenizer: None where nobody does.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, path: Path | None) -> Tokens:
        """The tokens of a `tokenizer.json`; unknown ones where there is none, or nothing that can read it."""
        with suppress(ImportError, OSError, ValueError):
            from tokenizers import Tokenizer

            if path is not None and path.stat().st_size <= _MAX_BYTES:
                # It raises plain exceptions where a file is none of its own.
                with suppress(Exception):
                    return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        return cls(None)

    def of(self, completion: Completion, text: str) -> tuple[Token, ...] | None:
        """The turn's tokens in its text; None where they do not spell it out."""
        pieces = self._pieces(completion.ids)
        opening = None if pieces is None else _opening(text, pieces)
        if pieces is None or opening is None:
            return None
        tokens = []
        position = opening
        for id_, logprob, piece in zip(completion.ids, completion.logprobs, pieces, strict=False):
            end = min(position + len(piece), len(text))
            tokens.append(Token(id=id_, probability=probability(logprob), start=position, stop=end))
            position = end
        return tuple(tokens)

    def text(self, ids: Sequence[int]) -> str | None:
        """What tokens spell, special ones included; None where nobody knows."""
        pieces = self._pieces(ids)
        return None if pieces is None else "".join(pieces)

    def _pieces(self, ids: Sequence[int]) -> list[str] | None:
        """The characters that each token completes."""
        if self._tokenizer is None:
            return None
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=False)
        try:
            return [stream.step(self._tokenizer, id_) or "" for id_ in ids]
        except Exception:
            # The library has no class of its own for ids of another vocabulary.
            return None


def _opening(text: str, pieces: Sequence[str]) -> int | None:
    """Where in a turn's text its tokens begin, behind a thinking tag that the prompt wrote; None if they spell another.

    The end of the turn, its last token, may be missing in the text.
    """
    for written in ("".join(pieces), "".join(pieces[:-1])):
        if text.endswith(written) and text[: len(text) - len(written)].strip() in ("", THINK_OPEN):
            return len(text) - len(written)
    return None


def tokenizer_file(folder: Path, model: str, given: Path | None) -> Path | None:
    """Where the vocabulary of a run's tokens is told: as given, in its newest checkpoint, or in this package."""
    if given is not None:
        return given / _TOKENIZER if given.is_dir() else given
    checkpoints = sorted(path for path in (folder / CHECKPOINTS).glob("step-*") if (path / _TOKENIZER).is_file())
    if checkpoints:
        return checkpoints[-1] / _TOKENIZER
    if (folder / "start" / _TOKENIZER).is_file():
        return folder / "start" / _TOKENIZER
    name = tiny_named(model)
    return None if name is None else checkpoint_of(name) / _TOKENIZER


def bare_tokens(completion: Completion) -> tuple[Token, ...]:
    """The turn's tokens without a place in its text."""
    pairs = zip(completion.ids, completion.logprobs, strict=False)
    return tuple(Token(id=id_, probability=probability(logprob), start=0, stop=0) for id_, logprob in pairs)


def probability(logprob: float) -> float:
    """Worked value: -0.693147 gives 0.5; what is no logarithm of a probability is cut to 0 and 1."""
    return math.exp(min(logprob, 0.0))


def stretches(pieces: Sequence[Piece], tokens: Sequence[Token]) -> tuple[Stretch, ...]:
    """A turn's pieces, cut again wherever another token begins."""
    return tuple(_cut(pieces, tokens))


def _cut(pieces: Sequence[Piece], tokens: Sequence[Token]) -> Iterator[Stretch]:
    written = [token for token in tokens if token.stop > token.start]
    position, number = 0, 0
    for piece in pieces:
        end = position + len(piece.text)
        inner = [edge for token in written[number:] if position < (edge := token.start) < end] if written else []
        for start, stop in pairwise((position, *inner, end)):
            while number < len(written) and written[number].stop <= start:
                number += 1
            here = number < len(written) and written[number].start <= start
            yield Stretch(
                text=piece.text[start - position : stop - position],
                tone=piece.tone,
                frozen=piece.frozen,
                token=written[number] if here else None,
            )
        position = end
