"""Defines `TaskRow`, a user's row read field by field, and `read_task_row`, which notes whatever is wrong with it.

| field | holds |
|---|---|
| `id` | text or an integer; unique |
| `prompt` | text; `<image>` stands for the next image, `<image2>` for the second; without either, images come first; \
`\\<image>` is the text itself |
| `answer` | text, a number or true / false |
| `images` | optional: an image or a list of images (see `TaskImage.read`); the name `image` is taken, too |
| `hops` | optional: calls that an answer needs at least |
| `labels` | optional: `must_act`, `must_not_act`, or a list of such |
| `split` | optional, in every row or in none: text such as `train` |

Other fields are left alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axpo_envs.brief import brief
from axpo_envs.errors import EnvConfigError
from axpo_envs.image_decoding import WHITE, Colour
from axpo_envs.image_files import ImageProblemError, check_count
from axpo_envs.surrogates import well_formed
from axpo_envs.task_questions.problems import Problems
from axpo_envs.task_questions.task_image import TaskImage
from axpo_envs.types import Label, Parts, Question

FIELDS: Final = ("id", "prompt", "answer", "images", "hops", "labels", "split")
"""Names of the fields that are read."""

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

    @property
    def fields(self) -> tuple[Any, ...]:
        """What makes it what it is, for digests."""
        labels = tuple(sorted(label.value for label in self.labels))
        return self.id, self.text, self.answer, self.hops, labels, tuple(image.identity for image in self.images)

    def outline(self) -> Question:
        """The question without its images."""
        prompt = tuple(part for part in self.order if isinstance(part, str))
        return Question(id=self.id, prompt=prompt, answer=self.answer, hops=self.hops, labels=self.labels)

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


class _FieldProblemError(ValueError):
    """A field's value is unusable."""


def read_task_row(
    row: Mapping[str, Any], where: str, folder: Path, problems: Problems, background: Colour = WHITE
) -> TaskRow | None:
    """Reads a row; None if a field is unusable, which `problems` then says.

    Args:
        row: the row, its fields under the names above.
        where: its place, for messages.
        folder: what relative paths of images start from.
        problems: takes what is wrong.
        background: what transparent images are laid on.
    """
    values: dict[str, Any] = {}
    readers: dict[str, Callable[[Any], Any]] = {
        "id": _read_id,
        "prompt": _read_prompt,
        "answer": _read_answer,
        "images": lambda value: _read_images(value, folder, background),
        "hops": _read_hops,
        "labels": _read_labels,
    }
    for field, reader in readers.items():
        value = row.get(field)
        if field == "images" and value is None:
            value = row.get("image")
        try:
            values[field] = reader(value)
        except (_FieldProblemError, ImageProblemError) as error:
            problems.add(where, field, _missing(row, str(error)) if field not in row and value is None else str(error))
    if len(values) < len(readers):
        return None
    try:
        order = lay_out(values["prompt"], len(values["images"]))
    except _FieldProblemError as error:
        problems.add(where, "prompt", str(error))
        return None
    text = values.pop("prompt")
    return TaskRow(text=text, order=order, **values)


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
            raise _FieldProblemError(
                f"it shows image {number + 1} of {images}; placeholders are <image> and <imageN>, "
                "and \\<image> is the text itself"
            )
        shown.append(number)
    if unseen := sorted(set(range(images)) - set(shown)):
        raise _FieldProblemError(f"it has placeholders, but none for image {unseen[0] + 1} of {images}")
    return tuple(shown)


def _read_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _read_text(value, "expected text or an integer")


def _read_prompt(value: Any) -> str:
    return _read_text(value, "expected text")


def _read_answer(value: Any) -> str:
    expected = "expected text, a number or true / false"
    if isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float) and math.isfinite(value):
        return json.dumps(value)
    return _read_text(value, expected)


def _read_text(value: Any, expected: str) -> str:
    if not isinstance(value, str):
        raise _FieldProblemError(f"{expected}; got {brief(value)}")
    if not value.strip():
        raise _FieldProblemError(f"{expected}; got an empty text")
    return well_formed(value)


def _read_images(value: Any, folder: Path, background: Colour) -> tuple[TaskImage, ...]:
    images = _as_list(value)
    check_count(len(images))
    return tuple(TaskImage.read(image, folder, background=background) for image in images)


def _read_hops(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise _FieldProblemError(f"expected an integer from 0; got {brief(value)}")


def _read_labels(value: Any) -> frozenset[Label]:
    labels = _as_list(value)
    for label in labels:
        if label not in tuple(Label):
            raise _FieldProblemError(f"expected labels out of {', '.join(Label)}; got {brief(label)}")
    return frozenset(Label(label) for label in labels)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
