"""Defines the loader of V*: `craigwu/vstar_bench`, split `test`.

| column | holds |
|---|---|
| `image` | the image, or its path |
| `text` | the question; its options follow in lines `(A) ...`, and a line asks for the letter |
| `category` | `direct_attributes` or `relative_position` |
| `question_id` | unique within its category |
| `label` | the letter of the right option |

Options keep their published order and wording. Files in which every label is the same letter are refused: in them the
right option was always put first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import files_of, image_of, rows_of
from axpo_envs.errors import EnvConfigError

_OPTION: Final = re.compile(r"^\s*\(([A-Z])\)\s*(.*\S)\s*$", re.MULTILINE)
_FEWEST: Final = 8
"""Rows from which on equal labels are no coincidence."""


def options_of_text(text: str) -> list[str] | None:
    """The options that lines `(A) ...`, `(B) ...` list, verbatim; None where they are not lettered from A on."""
    found = _OPTION.findall(text)
    lettered = [letter for letter, _ in found] == [chr(ord("A") + place) for place in range(len(found))]
    return [option for _, option in found] if lettered and len(found) > 1 else None


def _read(path: Path, _slice: str) -> Iterator[Entry]:
    labels: list[str] = []
    for file in files_of(path, ("test-*", "test", "test_questions", "vstar*"), "V*"):
        for where, row in rows_of(file):
            text = row.get("text")
            labels.append(str(row.get("label")))
            given = {
                "id": f"{row.get('category')}/{row.get('question_id')}",
                "prompt": text,
                "answer": row.get("label"),
                "images": image_of(row.get("image"), file),
                "options": options_of_text(text) if isinstance(text, str) else None,
                "category": row.get("category"),
            }
            if given["images"] is None:
                raise EnvConfigError(f"{where}: expected an image; got none")
            yield entry_of(given, where=where, part=str(row.get("category")))
    if len(labels) >= _FEWEST and len(set(labels)) == 1:
        raise EnvConfigError(
            f"V*: all {len(labels)} labels in {path} are {labels[0]!r}: not the published order of options"
        )


V_STAR: Final = Benchmark(
    name="v-star",
    published="craigwu/vstar_bench, test",
    default=FULL,
    slices={FULL: Expected(total=191, parts={"direct_attributes": 115, "relative_position": 76})},
    kind=Kind.PERCEPTION,
    sites=("vstar-seal.github.io", "github.com/penghao-wu"),
    reader=_read,
)
"""V*, 191 questions."""
