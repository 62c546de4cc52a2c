"""Defines the loader of MMSearch: `CaraJ/MMSearch`, end2end, rerank and summarization, and how its stages are asked.

| column | holds |
|---|---|
| `sample_id` | unique within its stage |
| `query` | text |
| `query_image` | the image asked about; empty where the query is text alone |
| `image_search_result` | a picture of what an image search showed; shown by the stages, else kept where it is a path |
| `gt_answer`, `alternative_gt_answers` | the answers, each of which is right |
| `gt_requery` | the reference query to a search engine; kept |
| `area`, `subfield`, `timestamp` | kept |
| rerank: `website0_info` to `website7_info` | `title` and `snippet` of a page |
| rerank: `website0_head_screenshot` to `website7_head_screenshot` | the top of it |
| rerank: `valid`, `not_sure`, `invalid` | numbers of pages, from 0, that help, that may, and that do not; kept |
| summarization: `website_title`, `website_snippet`, `website_retrieved_content` | the page to answer from |
| summarization: `website_fullpage_screenshot` | all of it, shown in at most ten slices of 512 pixels |

`end2end` asks the query; `requery`, whose rows are those of `end2end`, asks for a query to a search engine; `rerank`
for one of eight pages, as `<Website 3>`; `summarization` for the answer from a page. The stages' prompts are this
package's, after what the published ones ask for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import Row, files_of, image_of, rows_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.brief import brief
from axpo_envs.types import Question

REQUERY: Final = "requery"
"""Asks for a query to a search engine."""
RERANK: Final = "rerank"
"""Asks for the page to read."""
SUMMARIZATION: Final = "summarization"
"""Asks for the answer from a page."""
SINGLE_TURN: Final = (REQUERY, RERANK, SUMMARIZATION)
"""The stages that a model answers in one turn, without tools."""
STAGES: Final = ("end2end", *SINGLE_TURN)
"""The slices beside `full`."""
WEBSITES: Final = 8
"""Pages that rerank shows."""
SLICE_HEIGHT: Final = 512
"""Pixels of a slice of a page's screenshot."""
MOST_SLICES: Final = 10
"""Slices of a page that are shown."""

_KEPT: Final = ("gt_requery", "area", "subfield", "timestamp")
_PLACEHOLDER: Final = re.compile(r"(<image\d*>)")
_FOUND: Final = "\nWhat an image search finds for the image of the question: <image>"
_REQUERY: Final = (
    "Write the query to a text search engine that would find what answers the question. Do not answer it; write the "
    "query alone."
)
_RERANK: Final = (
    f"A search engine found {WEBSITES} websites. Choose the one whose text helps most to answer the question, and "
    "write it alone, as <Website 1> for the first."
)
_SUMMARIZE: Final = (
    "Answer the question from the website, in as few words as you can, dates as yyyy-mm-dd. Where the question assumes "
    "what is false, the answer is: invalid question."
)


def several(*values: Any) -> list[Any]:
    """The golds in these values, each of which is one, a list of them, or None or empty for none."""
    flat = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    return [one for one in flat if one is not None and str(one).strip()]


def _plain(value: Any) -> str:
    """Text as it is, even where it looks like a placeholder of an image."""
    return _PLACEHOLDER.sub(r"\\\1", str(value or ""))


def _question(row: Row, file: Path) -> tuple[str, list[Any]]:
    """The question with what an image search found for its image, and the images of both."""
    image, found = (image_of(row.get(column), file) for column in ("query_image", "image_search_result"))
    if image is None:
        return f"Question: {_plain(row.get('query'))}", []
    question = f"Question: <image>{_plain(row.get('query'))}"
    return (question, [image]) if found is None else (question + _FOUND, [image, found])


def _column(where: str, row: Row, name: str, kind: Any) -> Any:
    value = row.get(name)
    if not isinstance(value, kind):
        raise EnvConfigError(f"{where}, column {name!r}: expected a {kind.__name__.lower()}; got {brief(value)}")
    return value


def _end_to_end(_where: str, row: Row, file: Path) -> dict[str, Any]:
    shown = image_of(row.get("image_search_result"), file)
    return {
        "prompt": row.get("query"),
        "answer": several(row.get("gt_answer"), row.get("alternative_gt_answers")),
        "images": image_of(row.get("query_image"), file),
        "image_search_result": str(shown) if isinstance(shown, Path) else shown,
    }


def _requery(_where: str, row: Row, file: Path) -> dict[str, Any]:
    question, images = _question(row, file)
    return {"prompt": f"{_REQUERY}\n{question}", "answer": row.get("gt_requery"), "images": images}


def _rerank(where: str, row: Row, file: Path) -> dict[str, Any]:
    question, images = _question(row, file)
    texts = [f"{_RERANK}\n{question}"]
    for number in range(WEBSITES):
        info = _column(where, row, f"website{number}_info", Mapping)
        shown = image_of(row.get(f"website{number}_head_screenshot"), file)
        told = f"Website {number + 1}: {_plain(info.get('title'))}\n{_plain(info.get('snippet'))}"
        texts.append(told if shown is None else f"{told}\n<image>")
        images += [] if shown is None else [shown]
    helpful = _column(where, row, "valid", list)
    perhaps = row.get("not_sure") or []
    return {
        "prompt": "\n\n".join(texts),
        "answer": [f"<Website {number + 1}>" for number in helpful or perhaps] or ["none of them"],
        "images": images,
        "valid": helpful,
        "not_sure": perhaps,
    }


def _summarize(where: str, row: Row, file: Path) -> dict[str, Any]:
    question, images = _question(row, file)
    content = _column(where, row, "website_retrieved_content", str)
    screenshot = image_of(row.get("website_fullpage_screenshot"), file)
    texts = [_SUMMARIZE, *(_plain(row.get(column)) for column in ("website_title", "website_snippet")), _plain(content)]
    return {
        "prompt": "\n".join([*texts, *([] if screenshot is None else ["<image>"]), question]),
        "answer": several(row.get("gt_answer"), row.get("alternative_gt_answers")),
        "images": [*([] if screenshot is None else [screenshot]), *images],
        "sliced": screenshot is not None,
    }


_ASKED: Final[Mapping[str, Callable[[str, Row, Path], dict[str, Any]]]] = {
    "end2end": _end_to_end,
    REQUERY: _requery,
    RERANK: _rerank,
    SUMMARIZATION: _summarize,
}


def in_slices(question: Question) -> Question:
    """The question with its first image, a page from top to bottom, in slices."""
    place = next(number for number, part in enumerate(question.prompt) if isinstance(part, ImageRef))
    page = question.images[0].pixels
    tops = range(0, min(page.shape[0], MOST_SLICES * SLICE_HEIGHT), SLICE_HEIGHT)
    slices = tuple(ImageRef(page[top : top + SLICE_HEIGHT].copy()) for top in tops)
    return replace(question, prompt=(*question.prompt[:place], *slices, *question.prompt[place + 1 :]))


def _entry(where: str, row: Row, file: Path, stage: str) -> Entry:
    asked = _ASKED[stage](where, row, file)
    sliced = asked.pop("sliced", False)
    kept = {column: row.get(column) for column in _KEPT}
    given = {"id": f"{stage}/{row.get('sample_id')}", "stage": stage, **asked, **kept}
    entry = entry_of(given, where=where, part=stage)
    return replace(entry, finish=in_slices) if sliced else entry


def _read(path: Path, slice_name: str) -> Iterator[Entry]:
    for stage in STAGES if slice_name == FULL else (slice_name,):
        held = "end2end" if stage == REQUERY else stage
        for file in files_of(path, (f"{held}-*", held, f"{held}*", f"{held}/*"), f"MMSearch {held}"):
            for where, row in rows_of(file):
                yield _entry(where, row, file, stage)


MMSEARCH: Final = Benchmark(
    name="mmsearch",
    published="CaraJ/MMSearch, end2end, rerank and summarization",
    default="end2end",
    slices={
        **{stage: Expected(total=300) for stage in STAGES},
        FULL: Expected(total=1200, parts=dict.fromkeys(STAGES, 300)),
    },
    kind=Kind.SEARCH,
    single_turn=SINGLE_TURN,
    sites=("mmsearch.github.io", "github.com/caraj7"),
    reader=_read,
)
"""MMSearch, 300 queries in four stages."""
