"""Defines how what an environment says is laid out: tool results, Gymnasium observations, transcripts for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypedDict

from axpo_envs.images import ImageRef, Pixels
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.turn_format.tags import RESPONSE_CLOSE, RESPONSE_OPEN, RESPONSE_TAGS, TAGS, quote_parts
from axpo_envs.types import CallRecord, EpisodeState, Parts

BETWEEN_RESPONSES: Final = f"\n{RESPONSE_CLOSE}\n{RESPONSE_OPEN}\n"
"""Stands, as a part of its own, between the results of several calls of one turn; no result can hold it."""

_ANSWER_IGNORED: Final = (
    "\nNote: the answer was ignored because the turn also called a tool; answer in a turn of its own."
)


class Observation(TypedDict):
    """What the environment just said; earlier text and images are not repeated."""

    text: str
    """The question after the instructions, or tool results in `<tool_response>`; empty at the end."""
    images: tuple[Pixels, ...]
    """New images as uint8 arrays (H, W, 3), in the order in which the policy sees them."""


def join_results(calls: Iterable[CallRecord], *, answer_ignored: bool, show: Callable[[Parts], Parts] = tuple) -> Parts:
    """The results of one turn's calls as one observation without its outer tags.

    Several results are separated by a closing and an opening `<tool_response>` tag, so that one pair of tags around
    the whole, which chat templates add to a tool's message, leaves each result in a pair of its own. What tools wrote
    is quoted, so that no result holds such a tag.

    Args:
        calls: what was called.
        answer_ignored: the turn gave an answer, too.
        show: a result's parts as the policy sees them.
    """
    parts: Parts = ()
    for number, record in enumerate(calls):
        content = quote_parts(show(record.result.content), RESPONSE_TAGS)
        parts += (BETWEEN_RESPONSES, *content) if number else content
    return (*parts, _ANSWER_IGNORED) if answer_ignored else parts


def split_results(observation: Parts) -> list[Parts]:
    """The results of an observation, one by one."""
    results: list[Parts] = [()]
    for part in observation:
        if part == BETWEEN_RESPONSES:
            results.append(())
        else:
            results[-1] += (part,)
    return results


def without_tags(observation: Parts) -> Parts:
    """An observation for a chat template to render: its results hold no tag of a call, of thinking or of an answer.

    A tokenizer makes tokens of the turn format of such tags wherever they stand, and a reader of the whole
    conversation takes them for the policy's own.
    """
    first, *others = (quote_parts(result, TAGS) for result in split_results(observation))
    for other in others:
        first += (BETWEEN_RESPONSES, *other)
    return first


def with_captions(content: Parts, caption: str, *, first: int) -> Parts:
    """A result with a line before each of its images that tells the image's number.

    Args:
        content: the result.
        caption: the line; `{index}` in it becomes the number.
        first: number of the first image.
    """
    parts: list[str | ImageRef] = []
    index = first
    for part in content:
        if isinstance(part, ImageRef):
            last = parts[-1] if parts else "\n"
            begins = isinstance(last, str) and last.endswith("\n")
            parts.append(f"{'' if begins else chr(10)}{caption.replace('{index}', str(index))}\n")
            index += 1
        parts.append(part)
    return tuple(parts)


def wrap_results(parts: Parts) -> Parts:
    """An observation of tool results in its outer `<tool_response>` tags."""
    return (f"{RESPONSE_OPEN}\n", *parts, f"\n{RESPONSE_CLOSE}")


def to_observation(parts: Parts) -> Observation:
    """Parts as a Gymnasium observation. The pixels are copies, for users may write into what they get."""
    return Observation(
        text="".join(part for part in parts if isinstance(part, str)),
        images=tuple(part.pixels.copy() for part in parts if isinstance(part, ImageRef)),
    )


def transcript(state: EpisodeState) -> str:
    """An episode as text for people: question, turns, tool results, and how it ended."""
    lines = [f"[question {state.question.id}] {in_words(state.question.prompt)}"]
    for turn in state.turns:
        lines.append(f"[assistant] {turn.text}")
        if turn.observation:
            lines.append(f"[tools] {in_words(wrap_results(turn.observation))}")
    if state.stop is not None:
        lines.append(f"[{state.stop.value}] reward {state.reward:g}")
    return well_formed("\n".join(lines))


def in_words(parts: Parts) -> str:
    """Parts as text for people, images by their sizes."""
    return "".join(f"[image {part.width}x{part.height}]" if isinstance(part, ImageRef) else part for part in parts)
