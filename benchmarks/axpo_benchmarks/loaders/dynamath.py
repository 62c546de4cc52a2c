"""Defines the loader of DynaMath: `DynaMath/DynaMath_Sample`, splits `sample_variant1` to `sample_variant10`.

| column | holds |
|---|---|
| `id` | the seed question's; where there is no such column, the row's number within its variant |
| `question` | text, with options where it has some |
| `image`, `decoded_image` | the image's path; the image itself |
| `ground_truth` | the answer |
| `answer_type` | `float`, `multiple choice` or `text` |
| `subject`, `level` | kept as further columns |

Further columns: `seed`, equal in the variants of one seed question, and `variant`, 1 to 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import files_of, first_of, image_of, rows_of
from axpo_envs.errors import EnvConfigError

VARIANTS: Final = tuple(f"variant{number}" for number in range(1, 11))
"""The slices beside `full`."""
TYPES: Final = ("float", "multiple choice", "text")
"""Kinds of answers."""

_NAMED: Final = re.compile(r"variant(\d+)")


def _read_variant(path: Path, variant: str) -> Iterator[Entry]:
    number = int(variant.removeprefix("variant"))
    rows = 0
    for file in files_of(path, (f"sample_{variant}-*", f"sample_{variant}", variant), "DynaMath"):
        named = _NAMED.search(file.name)
        if named and int(named[1]) != number:
            raise EnvConfigError(f"DynaMath: expected a file of {variant}; got {file}")
        for where, row in rows_of(file):
            kind = row.get("answer_type")
            if kind not in TYPES:
                raise EnvConfigError(f"{where}, column 'answer_type': expected one of {', '.join(TYPES)}; got {kind!r}")
            # Zero is a seed question's id as well.
            seed = str(rows if row.get("id") is None else row["id"])
            rows += 1
            given = {
                "id": f"{seed}/{variant}",
                "prompt": row.get("question"),
                "answer": row.get("ground_truth"),
                "images": image_of(first_of(row, "decoded_image", "image"), file),
                "answer_type": kind,
                "subject": row.get("subject"),
                "level": row.get("level"),
                "seed": seed,
                "variant": number,
            }
            yield entry_of(given, where=where, part=variant)


def _read(path: Path, slice_name: str) -> Iterator[Entry]:
    for variant in VARIANTS if slice_name == FULL else (slice_name,):
        yield from _read_variant(path, variant)


DYNAMATH: Final = Benchmark(
    name="dynamath",
    published="DynaMath/DynaMath_Sample, sample_variant1 to sample_variant10",
    default="variant1",
    slices={
        **{variant: Expected(total=501) for variant in VARIANTS},
        FULL: Expected(total=5010, parts=dict.fromkeys(VARIANTS, 501)),
    },
    kind=Kind.REASONING,
    sites=("dynamath.github.io", "github.com/dynamath"),
    reader=_read,
)
"""DynaMath, 501 seed questions in ten variants; the paper asks one variant."""
