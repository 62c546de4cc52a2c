"""Defines the loader of HR-MMSearch: `sensenova/HR-MMSearch`, whose one split is named `train`.

| column | holds |
|---|---|
| `sample_id` | unique |
| `query` | text |
| `query_image` | the image asked about, or its path |
| `ground_truth` | the answer; of a list each is right |
| `difficulty`, `category` | kept |

Images keep their original size: a tool that crops must crop from these pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import files_of, image_of, rows_of
from axpo_benchmarks.loaders.mmsearch import several
from axpo_envs.errors import EnvConfigError


def _read(path: Path, _slice: str) -> Iterator[Entry]:
    for file in files_of(path, ("train-*", "train", "*train*", "HR-MMSearch*", "hr_mmsearch*"), "HR-MMSearch"):
        for where, row in rows_of(file):
            image = image_of(row.get("query_image"), file)
            if image is None:
                raise EnvConfigError(f"{where}, column 'query_image': expected an image; got none")
            given = {
                "id": str(row.get("sample_id")),
                "prompt": row.get("query"),
                "answer": several(row.get("ground_truth")),
                "images": image,
                "difficulty": row.get("difficulty"),
                "category": row.get("category"),
            }
            yield entry_of(given, where=where, part=str(row.get("difficulty")))


HR_MMSEARCH: Final = Benchmark(
    name="hr-mmsearch",
    published="sensenova/HR-MMSearch, train",
    default=FULL,
    slices={FULL: Expected(total=305)},
    kind=Kind.SEARCH,
    sites=("github.com/opensensenova",),
    reader=_read,
)
"""HR-MMSearch, 305 questions."""
