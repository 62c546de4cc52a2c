"""Defines the loader of MMSearch: `CaraJ/MMSearch`, end2end, rerank and summarization.

| column | holds |
|---|---|
| `sample_id` | unique within its stage |
| `query` | text |
| `query_image` | the image asked about; empty where the query is text alone |
| `image_search_result` | what an image search showed; kept as `image_search_result` where it is there |
| `gt_answer`, `alternative_gt_answers` | the answers, each of which is right |
| `gt_requery` | the reference query to a search engine; kept |
| `area`, `subfield`, `timestamp` | kept |
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import Row, files_of, image_of, rows_of

STAGES: Final = ("end2end", "rerank", "summarization")
"""The slices beside `full`."""

_KEPT: Final = ("gt_requery", "area", "subfield", "timestamp")


def several(*values: Any) -> list[Any]:
    """The golds in these values, each of which is one, a list of them, or None or empty for none."""
    flat = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    return [one for one in flat if one is not None and str(one).strip()]


def _entry(where: str, row: Row, file: Path, stage: str) -> Entry:
    shown = image_of(row.get("image_search_result"), file)
    given = {
        "id": f"{stage}/{row.get('sample_id')}",
        "prompt": row.get("query"),
        "answer": several(row.get("gt_answer"), row.get("alternative_gt_answers")),
        "images": image_of(row.get("query_image"), file),
        "image_search_result": str(shown) if isinstance(shown, Path) else shown,
        "stage": stage,
        **{column: row.get(column) for column in _KEPT},
    }
    return entry_of(given, where=where, part=stage)


def _read(path: Path, slice_name: str) -> Iterator[Entry]:
    for stage in STAGES if slice_name == FULL else (slice_name,):
        for file in files_of(path, (f"{stage}-*", stage, f"{stage}*", f"{stage}/*"), f"MMSearch {stage}"):
            for where, row in rows_of(file):
                yield _entry(where, row, file, stage)


MMSEARCH: Final = Benchmark(
    name="mmsearch",
    published="CaraJ/MMSearch, end2end, rerank and summarization",
    default="end2end",
    slices={
        **{stage: Expected(total=300) for stage in STAGES},
        FULL: Expected(total=900, parts=dict.fromkeys(STAGES, 300)),
    },
    kind=Kind.SEARCH,
    sites=("mmsearch.github.io", "github.com/caraj7"),
    reader=_read,
)
"""MMSearch, 300 queries in three stages."""
