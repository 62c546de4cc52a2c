"""Defines the loader of VisualProbe: `Mini-o3/VisualProbe_Easy`, `_Medium` and `_Hard`, split `validation`.

| column | holds |
|---|---|
| `images` | a list of paths, from the folder of `val.json`; `image` is taken, too |
| `problem` or `question` | text |
| `solution` or `answer` | the answer |
| `doc_id` | unique within its set; where there is none, the row's number |

The sets are slices and parts of their own: figures over a mixture of them are not the paper's, which has `hard`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import files_of, first_of, image_of, rows_of
from axpo_envs.errors import EnvConfigError

SETS: Final = {"easy": 141, "medium": 268, "hard": 106}
"""Number of questions of each set."""

_TAGGED: Final = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)


def _read_set(path: Path, name: str) -> Iterator[Entry]:
    folders = (f"VisualProbe_{name.capitalize()}", f"visual_probe_{name}", name)
    patterns = [f"{folder}/{file}" for folder in folders for file in ("val", "validation*", "data/val*")]
    own = [f"val*{name}*", f"*{name}*val*", *(("val", "validation*") if name in path.name.lower() else ())]
    number = 0
    for file in files_of(path, (*patterns, *own), f"VisualProbe {name}"):
        for where, row in rows_of(file):
            number += 1
            listed = first_of(row, "images", "image")
            images = [image_of(one, file) for one in (listed if isinstance(listed, list | tuple) else [listed])]
            if not images or None in images:
                raise EnvConfigError(f"{where}: expected images; got {listed!r:.100}")
            answer = first_of(row, "solution", "answer")
            tagged = _TAGGED.fullmatch(answer) if isinstance(answer, str) else None
            doc_id = row.get("doc_id")
            given = {
                "id": f"{name}/{number if doc_id is None else doc_id}",
                "prompt": first_of(row, "problem", "question"),
                "answer": tagged[1].strip() if tagged else answer,
                "images": images,
                "set": name,
            }
            yield entry_of(given, where=where, part=name)


def _read(path: Path, slice_name: str) -> Iterator[Entry]:
    if slice_name == FULL and path.is_file():
        raise EnvConfigError(f"VisualProbe: expected a folder with all three sets for {FULL!r}; got {path}")
    for name in SETS if slice_name == FULL else (slice_name,):
        yield from _read_set(path, name)


VISUAL_PROBE: Final = Benchmark(
    name="visual-probe",
    published="Mini-o3/VisualProbe_Easy, _Medium and _Hard, validation",
    default="hard",
    slices={**{name: Expected(total=size) for name, size in SETS.items()}, FULL: Expected(total=515, parts=SETS)},
    kind=Kind.PERCEPTION,
    sites=("mini-o3.github.io", "github.com/mini-o3"),
    reader=_read,
)
"""VisualProbe, of which the paper reports the hard set, 106 questions."""
