"""Defines the loader of Math-VR: `gogoduan/Math-VR-bench`, split `test`.

| column | holds |
|---|---|
| `id` | unique |
| `question` | text; `<image1>`, `<image2>`, ... stand for images |
| `image1` to `image8` | the images; empty where there is none |
| `answers` | a list, or one as text; each of them is asked for |
| `number_of_answers` | how many there are |
| `scoring_points`, `scores`, `total_score` | what a judge gives points for, and how many |
| `category` | kept |

English and Chinese questions are slices of their own, told apart by Chinese characters in the question; text questions
and those with images are parts of their own. The further column `golds` holds the answers, all of which are needed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind, entry_of
from axpo_benchmarks.loaders._files import Row, files_of, image_of, rows_of
from axpo_envs.errors import EnvConfigError

_CHINESE: Final = re.compile("[\u4e00-\u9fff]")
_PLACEHOLDER: Final = re.compile(r"<image(\d+)>")
_KEPT: Final = ("category", "scoring_points", "scores", "total_score")


def language_of(text: str) -> str:
    """`chinese` where a text has a Chinese character, else `english`."""
    return "chinese" if _CHINESE.search(text) else "english"


def golds_of(row: Row, where: str) -> tuple[str, ...]:
    """The answers of a row, all of which are asked for.

    Raises:
        EnvConfigError: there is none, or there are not as many as the row says.
    """
    value = row.get("answers")
    if isinstance(value, str) and value.strip().startswith("["):
        value = _listed(value)
    listed = value if isinstance(value, list | tuple) else [value]
    golds = tuple(str(one).strip() for one in listed if one is not None and str(one).strip())
    said = row.get("number_of_answers")
    if not golds or (said is not None and str(said) != str(len(golds))):
        raise EnvConfigError(f"{where}, column 'answers': expected {said or 'at least one'}; got {value!r:.200}")
    return golds


def _listed(text: str) -> Any:
    """The list that a text is, as JSON or as Python writes it; the text itself where it is none, such as `[1, 2)`."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _images(row: Row, text: str, file: Path, where: str) -> tuple[str, list[Any]]:
    """The text with its placeholders counted over the images that there are, and these."""
    held = {number: image_of(row.get(f"image{number}"), file) for number in range(1, 9)}
    present = [number for number, image in held.items() if image is not None]
    places = {number: place for place, number in enumerate(present, start=1)}
    named = {int(number) for number in _PLACEHOLDER.findall(text)}
    if missing := sorted(named - places.keys()):
        raise EnvConfigError(f"{where}: the question shows image {missing[0]}, which the row does not have")
    renamed = _PLACEHOLDER.sub(lambda found: f"<image{places[int(found[1])]}>", text)
    unnamed = [f"<image{place}>" for number, place in places.items() if number not in named]
    # Images that the text names nowhere come first.
    return "".join(unnamed) + renamed, [held[number] for number in present]


def _read(path: Path, slice_name: str) -> Iterator[Entry]:
    for file in files_of(path, ("test-*", "test", "*test*", "*"), "Math-VR"):
        for where, row in rows_of(file):
            text = str(row.get("question") or "")
            language = language_of(text)
            if slice_name not in (FULL, language):
                continue
            golds = golds_of(row, where)
            prompt, images = _images(row, text, file, where)
            kind = "multimodal" if images else "text"
            given = {
                "id": row.get("id"),
                "prompt": prompt,
                "answer": "; ".join(golds),
                "images": images,
                "golds": golds,
                "language": language,
                "kind": kind,
                **{column: row.get(column) for column in _KEPT},
            }
            yield entry_of(given, where=where, part=f"{language} {kind}")


MATH_VR: Final = Benchmark(
    name="math-vr",
    published="gogoduan/Math-VR-bench, test",
    default="english",
    slices={"english": Expected(total=2500), "chinese": Expected(total=None), FULL: Expected(total=None)},
    kind=Kind.REASONING,
    sites=("math-vr.github.io", "github.com/hku-mmlab"),
    reader=_read,
)
"""Math-VR, 2,500 English questions."""
