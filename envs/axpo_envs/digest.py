"""Defines the hashes that identify questions and histories: equal digests are equal moments, wherever they arose."""

from __future__ import annotations

import hashlib
from typing import Any

from axpo_envs.images import ImageRef
from axpo_envs.plumbing.columns import Columns
from axpo_envs.types import EpisodeState, Parts, Question, StopReason, Turn


def digest_of(*fields: Any) -> str:
    """Hash of nested tuples of strings, numbers, booleans and None: 32 hexadecimal digits.

    It hashes their ASCII representation, which is unambiguous, takes any string (lone surrogates
    included) and is the same in every Python version.
    """
    return hashlib.blake2b(ascii(fields).encode("ascii"), digest_size=16).hexdigest()


def opening_digest(env_id: str, question: Question, seed: int) -> str:
    """Digest of an episode in which nothing has happened yet."""
    return digest_of("episode", env_id, question.source, question_fields(question), seed)


def next_digest(state: EpisodeState, turn: Turn, stop: StopReason | None) -> str:
    """Digest of the state after one more turn: a hash of the digest before and of the turn.

    It costs the same however long the history is. Execution times are left out, so a replay of the
    same turns ends at the same digest; images enter by the digest of their pixels.
    """
    calls = tuple(
        (
            record.call.name,
            record.call.arguments,
            record.outcome.value,
            record.result.status.value,
            _part_fields(record.result.content),
        )
        for record in turn.calls
    )
    ended = None if stop is None else stop.value
    return digest_of(state.digest, turn.text, calls, turn.answer, _part_fields(turn.observation), ended)


def question_fields(question: Question) -> tuple[Any, ...]:
    """What makes a question what it is, its source aside."""
    labels = tuple(sorted(label.value for label in question.labels))
    more = (question.alternatives, question.options, column_fields(question.extra))
    tools = (tuple(sorted(question.forbidden_tools)), tuple(sorted(question.required_tools)))
    # Questions without any of these keep the digest that they had before there were any.
    return (
        question.id,
        _part_fields(question.prompt),
        question.answer,
        question.hops,
        labels,
        *((more,) if any(more) or any(tools) else ()),
        *((tools,) if any(tools) else ()),
    )


def column_fields(value: Any) -> Any:
    """What makes a frozen value what it is."""
    match value:
        case Columns():
            return tuple(sorted((name, column_fields(part)) for name, part in value.items()))
        case tuple():
            return tuple(column_fields(part) for part in value)
        case frozenset():
            return tuple(sorted(ascii(column_fields(part)) for part in value))
        case ImageRef():
            return "image", value.digest
    return value


def _part_fields(parts: Parts) -> tuple[tuple[str, str], ...]:
    return tuple(("image", part.digest) if isinstance(part, ImageRef) else ("text", part) for part in parts)
