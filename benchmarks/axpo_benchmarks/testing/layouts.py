"""Defines made-up rows of every benchmark, and writes them to disk as the benchmarks are published."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from axpo_envs.plumbing.extras import requiring


def picture(width: int = 6, height: int = 4) -> bytes:
    """A grey image as PNG; images of different sizes differ."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def held_image(width: int = 6) -> dict[str, Any]:
    """An image as Parquet files of the hub have it."""
    return {"bytes": picture(width), "path": f"{width}.png"}


def write_parquet(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as Parquet; returns the file.

    Raises:
        MissingExtraError: the extra `datasets` is not installed.
    """
    with requiring("datasets", str(file)):
        import pyarrow
        from pyarrow import parquet
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
    return file


def write_tsv(file: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Writes rows as tab-separated values with a header; returns the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return file


def v_star_row(number: int, label: str = "B", **changes: Any) -> dict[str, Any]:
    """A row of V*, whose options are hard to read."""
    text = (
        "What is beside the dog?\n(A) the cat (left)\n(B) a red (car)\n(C) Based on nothing\n(D) A\n"
        "Answer with the option's letter from the given choices directly."
    )
    row = {"image": held_image(), "text": text, "category": "direct_attributes", "question_id": number, "label": label}
    return {**row, **changes}


def hr_bench_rows(number: int, category: str = "single") -> list[dict[str, str]]:
    """The four rows of a question of HR-Bench, its options in cyclic order; `green` is right."""
    options = ["red", "green", "blue", "A"]
    image = base64.b64encode(picture(6 + number)).decode()
    rows = []
    for cycle in range(4):
        shown = options[cycle:] + options[:cycle]
        rows.append(
            {
                "index": str(4 * number + cycle),
                "question": f'What colour is\tsign {number}, "left"?',
                **dict(zip("ABCD", shown, strict=True)),
                "answer": "ABCD"[shown.index("green")],
                "category": category,
                "cycle_category": str(cycle),
                "image": image,
            }
        )
    return rows


def mathvision_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of MathVision without options."""
    row = {"id": str(number), "question": "How many?\n<image1>", "options": [], "answer": "6", "level": 1}
    shown = {"image": "a.png", "decoded_image": held_image()}
    return {**row, "solution": None, "subject": "counting", **shown, **changes}


def dynamath_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of DynaMath that asks for a number."""
    row = {"question": f"What is f({number})?", "image": "a.png", "decoded_image": held_image(), "ground_truth": "1.5"}
    return {**row, "answer_type": "float", "subject": "algebra", "level": "high school", **changes}


def math_vr_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of Math-VR without images."""
    images: dict[str, Any] = {f"image{place}": None for place in range(1, 9)}
    row = {"id": f"vr{number}", "question": "Find x.", **images, "category": "geometry", "answers": ["4"]}
    more = {"number_of_answers": 1, "scoring_points": ["a", "b"], "scores": [1, 2], "total_score": 3}
    return {**row, **more, **changes}


def visual_probe_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of VisualProbe, whose image `write_visual_probe` writes."""
    row = {"images": ["images/a.png"], "problem": "Which number is on the bus?", "solution": "17", "doc_id": number}
    return {**row, **changes}


def write_visual_probe(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes a set of VisualProbe: `Easy`, `Medium` or `Hard`, with the images `images/a.png` and `images/b.png`."""
    home = folder / f"VisualProbe_{name}"
    (home / "images").mkdir(parents=True)
    (home / "images" / "a.png").write_bytes(picture(11))
    (home / "images" / "b.png").write_bytes(picture(12))
    (home / "val.json").write_text(json.dumps(list(rows)), encoding="utf-8")


def mmsearch_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of MMSearch without images."""
    row = {"sample_id": f"s{number}", "query": "Who won?", "query_image": None, "image_search_result": None}
    golds = {"gt_requery": "winner 2024", "gt_answer": "Lee", "alternative_gt_answers": None}
    return {**row, **golds, "area": "news", "subfield": "sport", "timestamp": "2024-08-01", **changes}


def mmsearch_rerank_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of MMSearch's stage rerank: its second website helps, its third may."""
    sites: dict[str, Any] = {}
    for site in range(8):
        sites[f"website{site}_info"] = {"title": f"Page {site}", "snippet": "It says <image>.", "url": "http://a.org"}
        sites[f"website{site}_head_screenshot"] = held_image(20 + site)
    return mmsearch_row(number, **sites, valid=[1], not_sure=[2], invalid=[0, 3, 4, 5, 6, 7], **changes)


def mmsearch_summary_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of MMSearch's stage summarization, whose page is 1,200 pixels high."""
    page = {"bytes": picture(3, 1200), "path": "page.png"}
    told = {"website_title": "Sports", "website_snippet": "Results", "website_retrieved_content": "Lee won."}
    return mmsearch_row(number, **told, website_fullpage_screenshot=page, **changes)


def hr_mmsearch_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of HR-MMSearch."""
    row = {"sample_id": number, "query": "Which year?", "query_image": held_image(13), "ground_truth": ["1998"]}
    return {**row, "difficulty": "hard", "category": "news", **changes}


def write_layouts(folder: Path, *, rows: int = 2) -> dict[str, Path]:
    """Writes all nine benchmarks, each in a folder of its own name.

    Args:
        folder: where to.
        rows: questions of each, at least 1; of HR-Bench so many times four rows.

    Returns:
        The folders by the benchmarks' names.

    Raises:
        MissingExtraError: the extra `datasets` is not installed.
    """
    first = "00000-of-00001.parquet"
    numbers = range(rows)
    categories = ("direct_attributes", "relative_position")
    write_parquet(
        folder / "mathvision" / "data" / f"testmini-{first}",
        [mathvision_row(n, decoded_image=held_image(6 + n)) for n in numbers],
    )
    for variant in (1, 2):
        made = [dynamath_row(n, ground_truth=f"{variant}.{n}") for n in numbers]
        write_parquet(folder / "dynamath" / "data" / f"sample_variant{variant}-{first}", made)
    write_parquet(folder / "math-vr" / f"test-{first}", [math_vr_row(n, image1=held_image(5)) for n in numbers])
    starred = [v_star_row(n, "AB"[n % 2], image=held_image(6 + n), category=categories[n % 2]) for n in numbers]
    write_parquet(folder / "v-star" / "data" / f"test-{first}", starred)
    write_visual_probe(folder / "visual-probe", "Hard", [visual_probe_row(n) for n in numbers])
    for size in ("4k", "8k"):
        shown = [row for n in numbers for row in hr_bench_rows(n, ("single", "cross")[n % 2])]
        write_tsv(folder / f"hr-bench-{size}" / f"hr_bench_{size}.tsv", shown)
    write_parquet(folder / "hr-mmsearch" / "data" / f"train-{first}", [hr_mmsearch_row(n) for n in numbers])
    for stage, row in (
        ("end2end", mmsearch_row),
        ("rerank", mmsearch_rerank_row),
        ("summarization", mmsearch_summary_row),
    ):
        asked = [row(n, query_image=held_image(9), image_search_result=held_image(10)) for n in numbers]
        write_parquet(folder / "mmsearch" / stage / f"{stage}-{first}", asked)
    return {home.name: home for home in sorted(folder.iterdir())}
