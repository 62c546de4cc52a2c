"""Rows in the published layout of every benchmark, odd ones included, become questions."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from axpo_benchmarks.loaders import BENCHMARKS, Expected, count_differences
from axpo_benchmarks.scorers import SCORERS, Tally, near_misses, phrasings, self_test
from axpo_benchmarks.testing import (
    dynamath_row,
    held_image,
    hr_bench_rows,
    math_vr_row,
    mathvision_row,
    mmsearch_rerank_row,
    mmsearch_row,
    mmsearch_summary_row,
    picture,
    v_star_row,
    visual_probe_row,
    write_parquet,
    write_tsv,
    write_visual_probe,
)
from axpo_envs import EnvConfigError, ExactMatch, ImageRef, ToolEnv, ToolEnvSpec

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data" / "mathvision"
"""The first hundred published rows, where they lie beside the checkout."""


def test_v_star_keeps_order_and_wording_of_options(tmp_path: Path) -> None:
    rows = [v_star_row(0), v_star_row(0, "A", category="relative_position")]
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", rows)
    first, second = BENCHMARKS["v-star"].questions(tmp_path)
    assert first.options == ("the cat (left)", "a red (car)", "Based on nothing", "A")
    assert first.text == rows[0]["text"]
    assert (first.id, first.answer, second.id) == ("direct_attributes/0", "B", "relative_position/0")
    assert first.images[0].pixels.shape == (4, 6, 3)


def test_v_star_reads_lines_beside_folders_of_images(tmp_path: Path) -> None:
    (tmp_path / "direct_attributes").mkdir()
    (tmp_path / "direct_attributes" / "sa_1.png").write_bytes(picture(9))
    lines = [json.dumps(v_star_row(1, image="direct_attributes/sa_1.png"))]
    (tmp_path / "test_questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (question,) = BENCHMARKS["v-star"].questions(tmp_path)
    assert question.images[0].pixels.shape == (4, 9, 3)


def test_v_star_with_the_right_option_always_first_is_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "test.parquet", [v_star_row(number, "A") for number in range(8)])
    with pytest.raises(EnvConfigError, match=r"all 8 labels .* are 'A'"):
        list(BENCHMARKS["v-star"].questions(file))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"image": None}, "row 2: expected an image; got none"),
        ({"image": "gone.png"}, "row 2, field 'images': cannot read the image file"),
        ({"text": ""}, "row 2, field 'prompt': expected text; got an empty text"),
        ({"label": None}, "row 2, field 'answer': missing: expected text"),
        ({"question_id": 0}, "two rows with the id 'direct_attributes/0'"),
    ],
)
def test_an_unusable_row_is_named(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    (tmp_path / "0.png").write_bytes(picture())
    rows = [v_star_row(0, image="0.png"), v_star_row(1, **{"image": "0.png", **changes})]
    file = tmp_path / "test.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(EnvConfigError, match=problem):
        list(BENCHMARKS["v-star"].questions(file))


@pytest.mark.parametrize("size", ["4k", "8k"])
def test_hr_bench_groups_the_cyclic_rows_of_a_question(tmp_path: Path, size: str) -> None:
    rows = [*hr_bench_rows(0), *hr_bench_rows(1, "cross")]
    # Published by cycle, the rows of a question need not stand together.
    by_cycle = sorted(rows, key=lambda row: row["cycle_category"])
    write_tsv(tmp_path / f"hr_bench_{size}.tsv", by_cycle)
    questions = list(BENCHMARKS[f"hr-bench-{size}"].questions(tmp_path))
    assert [question.extra["cycle_category"] for question in questions] == ["0", "0", "1", "1", "2", "2", "3", "3"]
    assert sorted(Counter(question.extra["group"] for question in questions).values()) == [4, 4]
    assert {question.options["ABCD".index(question.answer)] for question in questions} == {"green"}
    assert questions[0].text.startswith('What colour is\tsign 0, "left"?\nA. red\nB. green')


def test_hr_bench_reads_and_decodes_an_image_once_however_many_rows_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    decoded: list[int] = []
    b64decode, from_bytes = base64.b64decode, ImageRef.from_bytes

    def reading(text: str, **settings: Any) -> bytes:
        read.append(len(text))
        return b64decode(text, **settings)

    def decoding(data: bytes, **settings: Any) -> ImageRef:
        decoded.append(len(data))
        return from_bytes(data, **settings)

    monkeypatch.setattr(base64, "b64decode", reading)
    monkeypatch.setattr(ImageRef, "from_bytes", decoding)
    # Sizes that no other test shows: pixels are shared for as long as someone has them.
    rows = [*hr_bench_rows(80), *hr_bench_rows(81)]
    write_tsv(tmp_path / "hr_bench_4k.tsv", [*rows[::2], *rows[1::2]])
    source = BENCHMARKS["hr-bench-4k"].source(tmp_path)
    assert (len(read), len(decoded)) == (2, 0)
    questions = [source.question(index) for index in range(8)]
    assert len(decoded) == 2
    assert len({id(question.images[0]) for question in questions}) == 2
    assert {question.images[0].width for question in questions} == {86, 87}


def test_hr_bench_reads_parquet_and_refuses_other_answers_and_images(tmp_path: Path) -> None:
    benchmark = BENCHMARKS["hr-bench-4k"]
    rows: list[dict[str, Any]] = [*hr_bench_rows(0)]
    write_parquet(tmp_path / "hrbench_4k-00000-of-00001.parquet", rows)
    assert len(list(benchmark.questions(tmp_path))) == 4
    with pytest.raises(EnvConfigError, match="column 'answer': expected one of A, B, C, D; got 'green'"):
        list(benchmark.questions(write_tsv(tmp_path / "a.tsv", [{**rows[0], "answer": "green"}])))
    with pytest.raises(EnvConfigError, match="row 1: expected an image in base64"):
        list(benchmark.questions(write_tsv(tmp_path / "b.tsv", [{**rows[0], "image": "17"}])))


def test_a_field_longer_than_the_csv_module_likes_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    row = {**hr_bench_rows(0)[0], "image": base64.b64encode(buffer.getvalue()).decode()}
    assert len(row["image"]) > 131072
    (question,) = BENCHMARKS["hr-bench-8k"].questions(write_tsv(tmp_path / "hr_bench_8k.tsv", [row]))
    assert np.array_equal(question.images[0].pixels, pixels)


def test_mathvision_tells_multiple_choice_from_free_form(tmp_path: Path) -> None:
    drawn = mathvision_row(2, options=list("ABCDE"), answer="D")
    worded = mathvision_row(3, options=["six", "seven"], answer="B")
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [mathvision_row(1), drawn, worded])
    write_parquet(tmp_path / "data" / "testmini-00000-of-00001.parquet", [mathvision_row(1)])
    benchmark = BENCHMARKS["mathvision"]
    assert [entry.part for entry in benchmark.entries(tmp_path, "test")] == [
        "free_form",
        "multiple_choice",
        "multiple_choice",
    ]
    assert [question.id for question in benchmark.questions(tmp_path)] == ["1"]
    assert benchmark.differences(tmp_path, "test") == (
        "expected 3040 questions; got 3",
        "expected 1508 of free_form; got 1",
        "expected 1532 of multiple_choice; got 2",
    )


@pytest.mark.parametrize("folder", [REAL], ids=["published rows" if REAL.is_dir() else "no published rows here"])
def test_published_rows_of_mathvision_load_and_their_answers_are_right(folder: Path) -> None:
    if not folder.is_dir():
        print(f"{folder} does not exist: the rows that tests write stand for the published ones")
        return
    benchmark, scorer = BENCHMARKS["mathvision"], SCORERS["mathvision"]()
    questions = list(benchmark.questions(folder, "testmini"))
    assert benchmark.differences(folder, "testmini") == ("expected 304 questions; got 100",)
    assert all(len(question.images) == 1 for question in questions)
    boxed = [scorer(question, f"<think>Hm.</think>So \\boxed{{{question.answer}}}.") for question in questions]
    assert Tally.of(boxed).accuracy == 1.0
    lost = [scorer(question, "I see\nno way to tell.") for question in questions]
    assert Tally.of(lost).unparsable == 100
    for question in questions[::5]:
        other = "B" if question.answer == "C" else "C" if question.answer.isalpha() else f"{question.answer}1"
        said, missed = phrasings(question.answer), near_misses(question.answer, other)
        assert self_test(scorer, question, rights=said, wrongs=missed) == ()


def test_dynamath_keys_variants_by_their_seed_question(tmp_path: Path) -> None:
    for variant in range(1, 11):
        rows = [dynamath_row(seed, ground_truth=f"{variant}.{seed}") for seed in range(2)]
        write_parquet(tmp_path / "data" / f"sample_variant{variant}-00000-of-00001.parquet", rows)
    benchmark = BENCHMARKS["dynamath"]
    assert [question.id for question in benchmark.questions(tmp_path)] == ["0/variant1", "1/variant1"]
    # variant1 is not the beginning of variant10.
    assert [question.answer for question in benchmark.questions(tmp_path)] == ["1.0", "1.1"]
    full = list(benchmark.questions(tmp_path, "full"))
    assert len(full) == 20
    assert [question.extra["variant"] for question in full if question.extra["seed"] == "1"] == list(range(1, 11))


def test_dynamath_refuses_other_kinds_and_another_variants_file(tmp_path: Path) -> None:
    benchmark = BENCHMARKS["dynamath"]
    with pytest.raises(EnvConfigError, match="column 'answer_type': expected one of float, multiple choice, text"):
        list(benchmark.questions(write_parquet(tmp_path / "a.parquet", [dynamath_row(0, answer_type="int")])))
    file = write_parquet(tmp_path / "sample_variant10.parquet", [dynamath_row(0)])
    with pytest.raises(EnvConfigError, match="expected a file of variant1; got"):
        list(benchmark.questions(file, "variant1"))


def test_math_vr_parts_languages_and_kinds(tmp_path: Path) -> None:
    rows = [
        math_vr_row(1),
        math_vr_row(2, question="See <image1> and <image3>.", image1=held_image(5), image3=held_image(7)),
        math_vr_row(3, question="求 x 的值。<image1>", image1=held_image(8), answers=["四"]),
        math_vr_row(4, question="Both roots?", answers=["-1", "2"], number_of_answers=2),
        math_vr_row(5, question="Named: <image2>.", image1=held_image(5), image2=held_image(6)),
    ]
    write_parquet(tmp_path / "test-00000-of-00001.parquet", rows)
    benchmark = BENCHMARKS["math-vr"]
    one, two, four, five = benchmark.questions(tmp_path)
    assert (one.images, one.extra["kind"]) == ((), "text")
    assert [image.pixels.shape[1] for image in two.images] == [5, 7]
    assert two.prompt[::2] == ("See ", " and ", ".")
    assert (four.extra["golds"], four.alternatives) == (("-1", "2"), ())
    assert [image.pixels.shape[1] for image in five.images] == [5, 6]
    (chinese,) = benchmark.questions(tmp_path, "chinese")
    assert (chinese.answer, chinese.extra["language"], chinese.extra["kind"]) == ("四", "chinese", "multimodal")
    parts = Counter(entry.part for entry in benchmark.entries(tmp_path, "full"))
    assert parts == {"english text": 2, "english multimodal": 2, "chinese multimodal": 1}
    assert benchmark.differences(tmp_path, "full") == ()
    assert benchmark.differences(tmp_path) == ("expected 2500 questions; got 4",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"question": "See <image1>."}, "row 1: the question shows image 1, which the row does not have"),
        ({"number_of_answers": 2}, "column 'answers': expected 2; got"),
        ({"answers": []}, "column 'answers': expected 1; got"),
    ],
)
def test_math_vr_names_missing_images_and_answers(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    file = tmp_path / "test.json"
    file.write_text(json.dumps([math_vr_row(1, **changes)]), encoding="utf-8")
    with pytest.raises(EnvConfigError, match=problem):
        list(BENCHMARKS["math-vr"].questions(file))


def test_math_vr_reads_answers_that_are_written_as_text(tmp_path: Path) -> None:
    written = [("['a', 'b']", "2"), ('["a", "b"]', 2), ("[1, 2)", 1), ("a, b", None), (7, 1)]
    rows = [
        math_vr_row(number, answers=answers, number_of_answers=said) for number, (answers, said) in enumerate(written)
    ]
    file = tmp_path / "test.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    golds = [question.extra["golds"] for question in BENCHMARKS["math-vr"].questions(file)]
    assert golds == [("a", "b"), ("a", "b"), ("[1, 2)",), ("a, b",), ("7",)]


def test_visual_probe_keeps_its_sets_apart(tmp_path: Path) -> None:
    write_visual_probe(tmp_path, "Easy", [visual_probe_row(0)])
    write_visual_probe(tmp_path, "Medium", [visual_probe_row(0, images=["images/a.png", "images/b.png"])])
    old_names = {"images": ["images/b.png"], "question": "<image>\nWhat?", "answer": "<answer>红色</answer>"}
    write_visual_probe(tmp_path, "Hard", [old_names, visual_probe_row(7)])
    benchmark = BENCHMARKS["visual-probe"]
    hard = list(benchmark.questions(tmp_path))
    assert [(question.id, question.answer) for question in hard] == [("hard/1", "红色"), ("hard/7", "17")]
    assert hard[0].images[0].pixels.shape == (4, 12, 3)
    full = list(benchmark.questions(tmp_path, "full"))
    assert [question.extra["set"] for question in full] == ["easy", "medium", "hard", "hard"]
    assert [len(question.images) for question in full] == [1, 2, 1, 1]
    (easy,) = benchmark.questions(tmp_path / "VisualProbe_Easy", "easy")
    assert easy.id == "easy/0"
    write_visual_probe(tmp_path / "more", "Hard", [visual_probe_row(0, images=[])])
    with pytest.raises(EnvConfigError, match="expected images; got"):
        list(benchmark.questions(tmp_path / "more"))


def test_mmsearch_takes_several_golds_and_queries_without_an_image(tmp_path: Path) -> None:
    shown = mmsearch_row(
        2, query_image=held_image(9), image_search_result=held_image(5), alternative_gt_answers=["李", "Lee K.", ""]
    )
    write_parquet(tmp_path / "end2end" / "end2end-00000-of-00001.parquet", [mmsearch_row(1), shown])
    plain, pictured = BENCHMARKS["mmsearch"].questions(tmp_path)
    assert (plain.images, plain.answers) == ((), ("Lee",))
    assert pictured.answers == ("Lee", "李", "Lee K.")
    assert pictured.images[0].pixels.shape == (4, 9, 3)
    assert pictured.extra["image_search_result"] == picture(5)
    assert plain.extra["gt_requery"] == "winner 2024"


def test_mmsearch_asks_its_stages_with_what_they_show(tmp_path: Path) -> None:
    shown = {"query": "Who is <image>?", "query_image": held_image(9), "image_search_result": held_image(10)}
    made = {"end2end": mmsearch_row, "rerank": mmsearch_rerank_row, "summarization": mmsearch_summary_row}
    for stage, row in made.items():
        rows = [row(0, **shown), row(1)] if stage != "end2end" else [row(0, **{**shown, "query": "Who?"}), row(1)]
        write_parquet(tmp_path / stage / f"{stage}-00000-of-00001.parquet", rows)
    benchmark = BENCHMARKS["mmsearch"]
    assert benchmark.differences(tmp_path, "full")[0] == "expected 1200 questions; got 8"
    source = benchmark.source(tmp_path, "full")
    assert [source.part(index) for index in range(8)] == [
        stage for stage in ("end2end", "requery", "rerank", "summarization") for _ in range(2)
    ]
    _, _, requery, plain, rerank, _, summary, _ = (source.question(index) for index in range(8))
    assert [image.size for image in requery.images] == [(9, 4), (10, 4)]
    assert (requery.answer, plain.images) == ("winner 2024", ())
    # The query's image comes first, then what was found for it, then the pages; texts that look like images are texts.
    assert [image.width for image in rerank.images] == [9, 10, *range(20, 28)]
    assert rerank.text.count("It says <image>.") == 8
    assert "Who is <image>?" in rerank.text
    assert (rerank.answer, rerank.extra["valid"], rerank.extra["not_sure"]) == ("<Website 2>", (1,), (2,))
    assert [image.size for image in summary.images] == [(3, 512), (3, 512), (3, 176), (9, 4), (10, 4)]
    assert summary.text.index("Lee won.") < summary.text.index("Who is")
    assert summary.answer == "Lee"


def test_mmsearch_names_what_a_stage_lacks(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rerank" / "rerank-00000-of-00001.parquet", [mmsearch_row(0)])
    with pytest.raises(EnvConfigError, match=r"row 1, column 'website0_info': expected a mapping; got None"):
        list(BENCHMARKS["mmsearch"].questions(tmp_path, "rerank"))


def test_hr_mmsearch_needs_its_image_and_takes_several_golds(tmp_path: Path) -> None:
    row = {"sample_id": 1, "query": "哪一年", "query_image": held_image(13), "difficulty": "hard", "category": "news"}
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    write_parquet(file, [{**row, "ground_truth": ["1998", "一九九八"]}])
    (question,) = BENCHMARKS["hr-mmsearch"].questions(tmp_path)
    assert (question.id, question.answers) == ("1", ("1998", "一九九八"))
    assert question.images[0].pixels.shape == (4, 13, 3)
    without = tmp_path / "train.jsonl"
    without.write_text(json.dumps({**row, "query_image": None, "ground_truth": "1998"}), encoding="utf-8")
    with pytest.raises(EnvConfigError, match="column 'query_image': expected an image; got none"):
        list(BENCHMARKS["hr-mmsearch"].questions(without))


def test_a_benchmark_is_a_source_of_an_environment(tmp_path: Path) -> None:
    write_visual_probe(tmp_path, "Hard", [visual_probe_row(0), visual_probe_row(1, solution="18")])
    source = BENCHMARKS["visual-probe"].source(tmp_path)
    assert source.size == 2
    spec = ToolEnvSpec(env_id="test/Probe-v0", questions=source, tools=(), reward=ExactMatch())
    env = ToolEnv(spec)
    env.reset(seed=0, options={"index": 1})
    *_, reward, terminated, _truncated, _info = (None, *env.step("<answer>18</answer>")[1:])
    assert (reward, terminated) == (1.0, True)
    with pytest.raises(IndexError, match="from 0 to 1; got 2"):
        source.question(2)


def test_unknown_slices_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(EnvConfigError, match=r"visual-probe: expected a slice out of .*hard.*; got 'hardest'"):
        next(BENCHMARKS["visual-probe"].questions(tmp_path, "hardest"))
    (tmp_path / "other.parquet").write_bytes(b"")
    with pytest.raises(EnvConfigError, match=r"HR-Bench 4K: expected hr_bench_4k, .*there is other\.parquet"):
        next(BENCHMARKS["hr-bench-4k"].questions(tmp_path))
    with pytest.raises(EnvConfigError, match="cannot read"):
        next(BENCHMARKS["v-star"].questions(tmp_path / "other.parquet"))


def test_rows_are_streamed(tmp_path: Path) -> None:
    rows = [json.dumps(mmsearch_row(1)), "no JSON"]
    (tmp_path / "end2end.jsonl").write_text("\n".join(rows), encoding="utf-8")
    stream = BENCHMARKS["mmsearch"].questions(tmp_path)
    assert next(stream).id == "end2end/s1"
    with pytest.raises(EnvConfigError, match="cannot read"):
        next(stream)


def test_counts_say_what_differs() -> None:
    expected = Expected(total=5, parts={"easy": 2, "hard": 3})
    assert count_differences(expected, {"easy": 2, "hard": 3}) == ()
    assert count_differences(expected, {"easy": 3, "odd": 2}) == (
        "expected 2 of easy; got 3",
        "expected 3 of hard; got 0",
        "expected 0 of odd; got 2",
    )


def test_every_benchmark_names_its_default_and_full_slice() -> None:
    assert len(BENCHMARKS) == 9
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        assert {benchmark.default, "full"} <= set(benchmark.slices)
