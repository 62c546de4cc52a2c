"""Defines the loaders of HR-Bench 4K and 8K: `DreamMr/HR-Bench`, `hr_bench_4k` and `hr_bench_8k`, TSV or Parquet.

| column | holds |
|---|---|
| `index` | unique |
| `question` | text |
| `A`, `B`, `C`, `D` | the options, which the four rows of a question show in four cyclic orders |
| `answer` | the letter of the right option |
| `category` | `single` or `cross` |
| `cycle_category` | which of the four orders it is |
| `image` | the image in base64 |

The further column `group` is equal in the rows of one question: a hash of its text, its image and its options' set.
The image that they show is read from base64, kept and decoded once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, Reader, entry_of
from axpo_benchmarks.loaders._files import Row, files_of, rows_of
from axpo_envs.errors import EnvConfigError

LETTERS: Final = ("A", "B", "C", "D")
"""The columns of the options."""


def image_bytes(value: Any, where: str) -> bytes:
    """The bytes of an image in base64, or as they are.

    Raises:
        EnvConfigError: it is neither.
    """
    held = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(held, bytes):
        return held
    try:
        if not isinstance(held, str) or not held.strip():
            raise ValueError("there is none")
        return base64.b64decode("".join(held.split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise EnvConfigError(f"{where}: expected an image in base64; {error}") from None


class _Encoded:
    """The bytes of an image, for as long as an entry needs them."""

    __slots__ = ("__weakref__", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data


class _EncodedImages:
    """The images of rows in base64; equal ones are one."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, _Encoded] = WeakValueDictionary()

    def of(self, value: Any, where: str) -> _Encoded:
        """As `image_bytes`."""
        if not isinstance(value, str):
            return _Encoded(image_bytes(value, where))
        code = hashlib.blake2b(value.encode(), digest_size=16).digest()
        known = self._known.get(code)
        if known is None:
            self._known[code] = known = _Encoded(image_bytes(value, where))
        return known


def _group(row: Row, image: bytes) -> str:
    options = sorted(str(row.get(letter)) for letter in LETTERS)
    parts = (str(row.get("question")), *options)
    return hashlib.blake2b(b"\0".join((*(part.encode() for part in parts), image)), digest_size=8).hexdigest()


def _entry(where: str, row: Row, images: _EncodedImages) -> Entry:
    answer = str(row.get("answer")).strip()
    if answer not in LETTERS:
        raise EnvConfigError(f"{where}, column 'answer': expected one of A, B, C, D; got {row.get('answer')!r}")
    image = images.of(row.get("image"), where)
    given = {
        "id": str(row.get("index")),
        "prompt": row.get("question"),
        "answer": answer,
        "images": image.data,
        "options": [row.get(letter) for letter in LETTERS],
        "category": row.get("category"),
        "cycle_category": str(row.get("cycle_category")),
        "group": _group(row, image.data),
    }
    return replace(entry_of(given, where=where, part=str(row.get("category"))), shared=image)


def _reader(size: str) -> Reader:
    patterns = (f"hr_bench_{size}", f"hr_bench_{size}*", f"hrbench_{size}*")

    def read(path: Path, _slice: str) -> Iterator[Entry]:
        images = _EncodedImages()
        for file in files_of(path, patterns, f"HR-Bench {size.upper()}"):
            for where, row in rows_of(file):
                yield _entry(where, row, images)

    return read


def _benchmark(size: str) -> Benchmark:
    return Benchmark(
        name=f"hr-bench-{size}",
        published=f"DreamMr/HR-Bench, hr_bench_{size}",
        default=FULL,
        slices={FULL: Expected(total=800, parts={"single": 400, "cross": 400})},
        kind=Kind.PERCEPTION,
        sites=("github.com/dreammr",),
        reader=_reader(size),
    )


HR_BENCH_4K: Final = _benchmark("4k")
"""HR-Bench 4K, 200 questions of four rows each."""
HR_BENCH_8K: Final = _benchmark("8k")
"""HR-Bench 8K, 200 questions of four rows each."""
