"""Defines how the images of an index are read: rows `{"image", "caption"?, "page"?}` of a JSONL file or a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.strict_json import JsonError, read_json
from axpo_envs.questions.task_image import TaskImage

MAX_ROWS: Final = 1_000_000
"""Images of one index."""
MAX_TEXT: Final = 10_000
"""Characters of a caption or an address."""

_FIELDS: Final = ("image", "caption", "page")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """An image that is to be found."""

    image: ImageRef
    """Its pixels."""
    caption: str
    """What is said of it; may be empty."""
    page: str
    """Where it is shown; may be empty."""


def read_image_rows(source: str | Path | Iterable[Mapping[str, Any]]) -> Iterator[ImageRow]:
    """The rows one after the other, each image decoded when it is reached.

    Args:
        source: a JSONL file, whose images' paths start from its folder, or rows, whose paths start from the current
            one.

    Raises:
        EnvConfigError: the file cannot be read, a row is none, an image cannot be decoded, or there are too many; the
            message names file and line, or the row's number.
    """
    file = isinstance(source, str | Path)
    folder = Path(source).absolute().parent if isinstance(source, str | Path) else Path.cwd()
    rows = _lines(Path(source)) if isinstance(source, str | Path) else enumerate(source)
    for count, (number, row) in enumerate(rows):
        where = f"{source}:{number}" if file else f"row {number}"
        if count >= MAX_ROWS:
            raise EnvConfigError(f"{where}: expected at most {MAX_ROWS:,} images")
        yield _row(row, folder, where)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parsed(line, f"{path}:{number}")
    except OSError as error:
        raise EnvConfigError(f"cannot read the images {path}: {error.strerror or error}") from error


def _parsed(line: bytes, where: str) -> Any:
    try:
        # Some editors begin a file with a byte order mark.
        return read_json(line.decode("utf-8-sig"), halves=True)
    except UnicodeDecodeError as error:
        raise EnvConfigError(f"{where}: expected UTF-8 text; byte {error.start} of the line is none") from None
    except JsonError as error:
        raise EnvConfigError(f"{where}: expected a JSON object; the line {error}") from None


def _row(row: Any, folder: Path, where: str) -> ImageRow:
    if not isinstance(row, Mapping) or "image" not in row:
        raise EnvConfigError(f'{where}: expected {{"image", "caption", "page"}}; got {brief(row)}')
    if unknown := sorted(set(row) - set(_FIELDS), key=str):
        raise EnvConfigError(f"{where}: expected the fields {', '.join(_FIELDS)}; got {brief(unknown[0])}")
    texts = {}
    for name in ("caption", "page"):
        value = row.get(name) or ""
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise EnvConfigError(f"{where}: expected {name} to be text of at most {MAX_TEXT:,} characters")
        texts[name] = value
    try:
        image = TaskImage.read(row["image"], folder).decode()
    except ImageProblemError as error:
        raise EnvConfigError(f"{where}: image: {error}") from None
    return ImageRow(image=image, **texts)
