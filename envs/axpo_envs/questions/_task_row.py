"""Defines `TaskRow`, a user's row read field by field, and `read_task_row`, which notes whatever is wrong with it.

| field | holds |
|---|---|
| `id` | text or an integer; unique |
| `prompt` | text, or chat messages (see `read_chat`), as JSON text, too; \
`<image>` stands for the next image, `<image2>` for the second; \
without either, images come first; `\\<image>` is the text itself |
| `answer` | text, a number or true / false; a list of several, each of which is right |
| `images` | optional: an image or a list of images (see `TaskImage.read`); the name `image` is taken, too |
| `hops` | optional: calls that an answer needs at least |
| `labels` | optional: `must_act`, `must_not_act` or `either`, or a list of one |
| `forbidden_tools`, `required_tools` | optional: the name of a tool of the environment, or a list of such (see \
`read_demands`) |
| `options` | optional: the texts of the options A, B, C, ... (see `read_option_texts`), which the prompt lists if it \
does not do so already |
| `split` | optional, in every row or in none: text such as `train` |

Other fields are the question's `extra`, for rewards and tools, as far as they hold plain data.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from axpo_envs.digest import column_fields
from axpo_envs.errors import EnvConfigError
from axpo_envs.imaging.files import ImageProblemError, check_count
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.columns import Columns, UnfrozenError, freeze
from axpo_envs.questions._chat_prompt import read_chat
from axpo_envs.questions._demands import DEMANDS, read_demands
from axpo_envs.questions._reference import FieldProblemError, read_answers, read_option_texts, read_text, with_options
from axpo_envs.questions.problems import Problems
from axpo_envs.questions.task_image import TaskImage
from axpo_envs.types import Label, Parts, Question

FIELDS: Final = ("id", "prompt", "answer", "images", "hops", *DEMANDS, "options", "split")
"""Names of the fields that are read."""

_LARGEST_ID: Final = 10**100
_PLACEHOLDER: Final = re.compile(r"(?<!\\)<image(\d*)>")
_ESCAPED: Final = re.compile(r"\\(<image\d*>)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A question whose images are not decoded yet."""

    id: str
    """Unique within its source."""
    text: str
    """The prompt with its placeholders."""
    order: tuple[str | int, ...]
    """What is shown: text, and images by number from 0."""
    answer: str
    """The reference answer."""
    images: tuple[TaskImage, ...]
    """The images."""
    hops: int | None
    """Calls that an answer needs at least; None where unknown."""
    labels: frozenset[Label]
    """Demands beyond the answer."""
    alternatives: tuple[str, ...] = ()
    """Further reference answers."""
    options: tuple[str, ...] = ()
    """The texts of the options."""
    extra: Columns = Columns()  # noqa: RUF009 - it is immutable
    """Further columns."""
    forbidden_tools: frozenset[str] = frozenset()
    """Tools that must not be called."""
    required_tools: frozenset[str] = frozenset()
    """Tools each of which must be called."""

    @property
    def fields(self) -> tuple[Any, ...]:
        """What makes it what it is, for digests."""
        labels = tuple(sorted(label.value for label in self.labels))
        images = tuple(image.identity for image in self.images)
        more = (self.alternatives, self.options, column_fields(self.extra))
        tools = (tuple(sorted(self.forbidden_tools)), tuple(sorted(self.required_tools)))
        # Questions without any of these keep the fingerprint that they had before there were any.
        return (
            *(self.id, self.text, self.answer, self.hops, labels, images),
            *((more,) if any(more) or any(tools) else ()),
            *((tools,) if any(tools) else ()),
        )

    def outline(self) -> Question:
        """The question without its images."""
        prompt = tuple(part for part in self.order if isinstance(part, str))
        return Question(
            id=self.id,
            prompt=prompt,
            answer=self.answer,
            hops=self.hops,
            labels=self.labels,
            alternatives=self.alternatives,
            options=self.options,
            extra=self.extra,
            forbidden_tools=self.forbidden_tools,
            required_tools=self.required_tools,
        )

    def question(self, source: str) -> Question:
        """The question, its images decoded.

        Raises:
            EnvConfigError: the file of an image was changed or removed since it was read, or is damaged.
        """
        try:
            images = tuple(image.decode() for image in self.images)
        except EnvConfigError as error:
            raise EnvConfigError(f"question {self.id!r}, field 'images': {error}") from None
        prompt: Parts = tuple(images[part] if isinstance(part, int) else part for part in self.order)
        return replace(self.outline(), prompt=prompt, source=source)


def _missing(row: Mapping[str, Any], problem: str) -> str:
    expected = problem.partition(";")[0]
    return f"missing: {expected}; the row has {brief(list(row))} (columns= says what a field is called there)"


def read_task_row(
    row: Mapping[str, Any], where: str, problems: Problems, read_image: Callable[[Any], TaskImage]
) -> TaskRow | None:
    """Reads a row; None if a field is unusable, which `problems` then says.

    Args:
        row: the row, its fields under the names above.
        where: its place, for messages.
        problems: takes what is wrong.
        read_image: reads an image as the row has it.
    """
    values: dict[str, Any] = {"images": (), "options": ()}
    unusable = False
    readers: dict[str, Callable[[Any], Any]] = {
        "id": _read_id,
        "images": lambda value: _read_images(value, read_image),
        "options": read_option_texts,
        "prompt": lambda value: _read_prompt(value, len(values["images"])),
        "answer": lambda value: read_answers(value, values["options"]),
        "hops": _read_hops,
    }
    for field, reader in readers.items():
        value = row.get(field)
        if field == "images" and value is None:
            value = row.get("image")
        try:
            values[field] = reader(value)
        except (FieldProblemError, ImageProblemError) as error:
            unusable = True
            problems.add(where, field, _missing(row, str(error)) if field not in row and value is None else str(error))
    demands = read_demands(row, where, problems)
    if unusable or demands is None:
        return None
    text, brought = values.pop("prompt")
    try:
        values["images"] += _read_images(brought, read_image)
        text = with_options(text, values["options"])
        order = lay_out(text, len(values["images"]))
    except (FieldProblemError, ImageProblemError) as error:
        problems.add(where, "prompt", str(error))
        return None
    answer, *alternatives = values.pop("answer")
    values |= demands
    return TaskRow(
        text=text,
        order=order,
        answer=answer,
        alternatives=tuple(alternatives),
        extra=_further(row),
        **values,
    )


def _further(row: Mapping[str, Any]) -> Columns:
    """The columns that are no fields, but for images, arrays and other values that are no plain data."""
    kept: dict[str, Any] = {}
    for name, value in row.items():
        if name in FIELDS or name == "image" or (isinstance(value, Mapping) and "bytes" in value):
            continue
        with contextlib.suppress(UnfrozenError):
            kept[str(name)] = freeze(value)
    return Columns(kept.items())


def lay_out(text: str, images: int) -> tuple[str | int, ...]:
    """A prompt's text with image numbers (from 0) in place of its placeholders, or after the images without any.

    Worked value: `("<image>Compare it with <image2>.", 2)` gives `(0, "Compare it with ", 1, ".")`. A backslash before
    a placeholder makes it text: `("Say \\<image>", 0)` gives `("Say <image>",)`.

    Raises:
        ValueError: a placeholder has no image, or an image no placeholder.
    """
    pieces = _PLACEHOLDER.split(text)
    if len(pieces) == 1:
        return (*range(images), _ESCAPED.sub(r"\1", text))
    shown: list[str | int] = []
    following = 0
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            shown += [_ESCAPED.sub(r"\1", piece)] if piece else []
            continue
        number = int(piece) - 1 if piece else following
        following += not piece
        if not 0 <= number < images:
            raise FieldProblemError(
                f"it shows image {number + 1} of {images}; placeholders are <image> and <imageN>, "
                "and \\<image> is the text itself"
            )
        shown.append(number)
    if unseen := sorted(set(range(images)) - set(shown)):
        raise FieldProblemError(f"it has placeholders, but none for image {unseen[0] + 1} of {images}")
    return tuple(shown)


def _read_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID:
        return str(value)
    return read_text(value, "expected text or an integer")


def _read_prompt(value: Any, images: int) -> tuple[str, list[Any]]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = _messages_of(json.loads(value)) or value
    if isinstance(value, list | tuple) and value:
        return read_chat(value, images)
    return read_text(value, "expected text"), []


def _messages_of(value: Any) -> list[Any]:
    """Chat messages that a prompt holds as JSON text; empty where it is some other text."""
    return value if isinstance(value, list) and all(isinstance(one, Mapping) and "role" in one for one in value) else []


def _read_images(value: Any, read_image: Callable[[Any], TaskImage]) -> tuple[TaskImage, ...]:
    images = _as_list(value)
    check_count(len(images))
    return tuple(map(read_image, images))


def _read_hops(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise FieldProblemError(f"expected an integer from 0; got {brief(value)}")


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
