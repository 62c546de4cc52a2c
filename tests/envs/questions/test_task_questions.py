"""Questions from lists, files and data sets: what they become, and how whatever is wrong with them is told."""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from axpo_envs import EnvConfigError, ImageRef, Label, Question, QuestionSource
from axpo_envs.questions import TaskQuestions, load_questions
from axpo_envs.questions._task_row import lay_out
from axpo_envs.questions.problems import MAX_SHOWN


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "prompt": "1 + 1?", "answer": "2", **fields}


def pixels(side: int = 3, shade: int = 9) -> np.ndarray[Any, Any]:
    return np.full((side, side, 3), shade, np.uint8)


def encoded(image_format: str = "PNG", side: int = 3, shade: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(side, shade)).save(buffer, format=image_format)
    return buffer.getvalue()


def write_jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def only(questions: TaskQuestions) -> Question:
    assert questions.size == 1
    return questions.question(0)


def test_a_list_of_rows_becomes_a_source_of_questions() -> None:
    source = load_questions([row(), row(id=7, answer=0.5, hops=2, labels=["must_act"], note="ignored")])
    assert isinstance(source, QuestionSource)
    assert source.size == 2
    assert source.question(0) == Question(id="a", prompt=("1 + 1?",), answer="2", source=source.fingerprint)
    second = source.question(1)
    assert (second.id, second.answer, second.hops, second.labels) == ("7", "0.5", 2, {Label.MUST_ACT})
    assert source.question(1) is second


@pytest.mark.parametrize("index", [-1, 1])
def test_a_question_that_is_not_there_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match=f"from 0 to 0; got {index}"):
        load_questions([row()]).question(index)


@pytest.mark.parametrize(("answer", "text"), [(3, "3"), (True, "true"), (-0.25, "-0.25"), (" x ", " x ")])
def test_answers_may_be_numbers_and_truth_values(answer: Any, text: str) -> None:
    assert only(load_questions([row(answer=answer)])).answer == text


@pytest.mark.parametrize(
    ("prompt", "images", "parts"),
    [
        ("Look.", 0, ("Look.",)),
        ("Look.", 2, (0, 1, "Look.")),
        ("<image>Look at <image>!", 2, (0, "Look at ", 1, "!")),
        ("Is <image2> like <image1>?", 2, ("Is ", 1, " like ", 0, "?")),
        ("<image1>, again <image1>", 1, (0, ", again ", 0)),
        ("<image><image2><image>", 2, (0, 1, 1)),
        ("<Image> <image a>", 0, ("<Image> <image a>",)),
    ],
)
def test_placeholders_say_where_images_stand(prompt: str, images: int, parts: tuple[str | int, ...]) -> None:
    given = [pixels(shade=number) for number in range(images)]
    expected = tuple(ImageRef(given[part].copy()) if isinstance(part, int) else part for part in parts)
    assert only(load_questions([row(prompt=prompt, images=given)])).prompt == expected


@pytest.mark.parametrize(
    ("prompt", "images", "problem"),
    [
        ("<image> and <image>", 1, "shows image 2 of 1"),
        ("<image0>", 1, "shows image 0 of 1"),
        ("<image>", 0, "shows image 1 of 0"),
        ("<image3>", 2, "shows image 3 of 2"),
        ("<image2>", 2, "none for image 1 of 2"),
    ],
)
def test_placeholders_and_images_must_match(prompt: str, images: int, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=rf"row 1 \(questions\[0\]\), field 'prompt': .*{problem}"):
        load_questions([row(prompt=prompt, images=[pixels()] * images)])


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: str(folder / "image.png"),
        lambda folder: folder / "image.png",
        lambda _: encoded(),
        lambda _: bytearray(encoded()),
        lambda _: encoded("BMP"),
        lambda _: Image.fromarray(pixels()),
        lambda _: pixels(),
        lambda _: ImageRef(pixels()),
        lambda _: f"data:image/png;base64,{base64.b64encode(encoded()).decode()}",
        lambda _: {"bytes": encoded(), "path": None},
        lambda _: memoryview(encoded()),
        lambda _: np.dstack([pixels(), np.full((3, 3), 255, np.uint8)]),
        lambda _: pixels()[..., 0],
        lambda _: f"DATA:;charset=x;Base64,{base64.urlsafe_b64encode(encoded()).decode().rstrip('=')}",
        lambda folder: {"bytes": None, "path": str(folder / "image.png")},
        lambda folder: {"bytes": encoded(), "path": "gone.png"},
        lambda folder: (folder / "image.png").as_uri(),
        lambda folder: f"file://localhost{folder}/i%6Dage.png",
        lambda folder: str(folder / "link.png"),
    ],
)
def test_images_come_in_many_forms(make: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(encoded())
    (tmp_path / "link.png").symlink_to("image.png")
    assert only(load_questions([row(images=[make(tmp_path)])])).images == (ImageRef(pixels()),)
    assert only(load_questions([row(image=make(tmp_path))])).images == (ImageRef(pixels()),)


def test_an_array_may_be_written_to_afterwards() -> None:
    array = pixels()
    question = only(load_questions([row(images=array)]))
    array[:] = 0
    assert question.images == (ImageRef(pixels()),)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(
        EnvConfigError, match=r"row 1 .*, field 'images': .*pipe.png: expected a regular file; it is a pipe"
    ):
        load_questions([row(images=str(tmp_path / "pipe.png"))])


def test_too_many_images_of_a_question_are_refused() -> None:
    with pytest.raises(EnvConfigError, match=r"row 1 .*, field 'images': expected at most 256 images; got 257"):
        load_questions([row(images=[pixels()] * 257)])


def test_a_pending_orientation_is_applied_whichever_way_an_image_is_given(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.dstack([np.arange(6, dtype=np.uint8).reshape(2, 3)] * 3))
    image.save(tmp_path / "turned.png", exif=exif)
    upright = ImageRef(np.dstack([np.array([[3, 0], [4, 1], [5, 2]], np.uint8)] * 3))
    data = (tmp_path / "turned.png").read_bytes()
    ways = (data, tmp_path / "turned.png", Image.open(tmp_path / "turned.png"), {"bytes": data, "path": None})
    for number, way in enumerate(ways):
        assert only(load_questions([row(id=number, images=way)])).images == (upright,)


def test_a_damaged_image_is_told_before_anything_runs(tmp_path: Path) -> None:
    jpeg = encoded("JPEG", side=64)
    (tmp_path / "cut.jpg").write_bytes(jpeg[:-200])
    (tmp_path / "cut.png").write_bytes(encoded(side=64)[:-30])
    (tmp_path / "text.png").write_text("no image")
    rows = [row(id=number, images=[str(file)]) for number, file in enumerate(sorted(tmp_path.iterdir()))]
    with pytest.raises(EnvConfigError, match=r"3 problems\n.*cut.jpg cannot be decoded.*\n.*cut.png .*\n.*text.png "):
        load_questions(rows)


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("missing.png", "missing.png: No such file"),
        ("https://example.org/a.png", "download it first"),
        ("HTTPS://example.org/a.png", "download it first"),
        ("file://elsewhere/a.png", "expected a file of this machine"),
        ("/dev/zero", "cannot read the image file /dev/zero: expected a regular file"),
        ("/", "it is a folder"),
        ("nul\0", "cannot read the image file"),
        ("~nobody-of-that-name/a.png", "cannot read the image file"),
        (np.zeros((3, 0, 3), np.uint8), "it has 0 x 3 pixels"),
        (Image.new("RGB", (0, 3)), "it has 0 x 3 pixels"),
        (Image.fromarray(np.full((2, 2), 7.5, np.float32)), "the Pillow image cannot be decoded: .* floats from 7.5"),
        ("data:text/plain,a", "of the form data:image/png;base64"),
        ("data:image/png;base64,!", "no base64"),
        (b"", "the bytes cannot be decoded: it is no image of a format that is read .PNG, JPEG, "),
        ("", "expected a file's path"),
        (3, "expected a file's path"),
        (np.zeros((2, 2)), r"uint8 array of shape .*; got float64 \(2, 2\)"),
    ],
)
def test_what_is_no_image_is_told(image: Any, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=f"row 1 .*, field 'images': .*{problem}"):
        load_questions([row(images=[image])])


def test_a_file_is_read_line_by_line_and_images_are_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").write_bytes(encoded())
    path = tmp_path / "tasks.jsonl"
    lines = [json.dumps(row(prompt="größe 🙂\u2028?")), "", json.dumps(row(id="b", images="pictures/one.png")), "  "]
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    source = load_questions(str(path))
    assert [source.question(index).id for index in range(2)] == ["a", "b"]
    assert source.question(0).text == "größe 🙂\u2028?"
    assert source.question(1).images == (ImageRef(pixels()),)
    assert load_questions(path).fingerprint == source.fingerprint


def test_every_problem_of_a_file_is_told_with_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    good = json.dumps(row())
    bad = [
        '{"id": "b", "prompt": 3}',
        "{",
        "[1]",
        '{"id": "a", "prompt": "?", "answer": "x", "hops": -1, "labels": "sometimes", "images": ["none.png"]}',
        '{"id": "a", "prompt": " ", "answer": NaN}',
        '{"id": "c", "prompt": "?", "answer": "\\ud800"}',
    ]
    path.write_text("\n".join([good, *bad]))
    with pytest.raises(EnvConfigError) as caught:
        load_questions(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: 9 problems\n")
    for part in (
        "row 2 (line 2), field 'prompt': expected text; got 3",
        "row 2 (line 2), field 'answer': missing: expected text, a number or true / false; "
        "the row has ['id', 'prompt'] (columns= says what a field is called there)",
        "row 3 (line 3): expected a JSON object",
        "row 4 (line 4): expected a JSON object; got [1]",
        "row 5 (line 5), field 'images': cannot read the image file",
        "row 5 (line 5), field 'hops': expected an integer from 0; got -1",
        "row 5 (line 5), field 'labels': expected labels out of must_act, must_not_act, either; got 'sometimes'",
        "row 6 (line 6), field 'prompt': expected text; got an empty text",
        "row 6 (line 6), field 'answer': expected text, a number or true / false; got nan",
    ):
        assert part in text


def test_of_many_problems_the_first_are_told_and_the_rest_counted() -> None:
    with pytest.raises(EnvConfigError, match=f"{MAX_SHOWN + 5} problems\n(.*\n){{{MAX_SHOWN}}}  and 5 more$"):
        load_questions([row(id=number, answer=None) for number in range(MAX_SHOWN + 5)])


def test_ids_are_unique() -> None:
    with pytest.raises(EnvConfigError, match=r"row 3 .*, field 'id': expected unique ids; '1' is that of row 1 "):
        load_questions([row(id=1), row(id=2), row(id="1")])


def test_a_check_of_the_answers_is_part_of_the_problems() -> None:
    def is_digit(question: Question) -> str | None:
        assert not question.images
        return None if question.answer.isdigit() else f"expected a digit; got {question.answer!r}"

    rows = [row(images=[pixels()]), row(id="b", answer="x")]
    with pytest.raises(EnvConfigError, match=r"1 problem\n  row 2 .*, field 'answer': expected a digit; got 'x'"):
        load_questions(rows, check=is_digit)


@pytest.mark.parametrize(
    ("questions", "problem"),
    [
        ([], "at least one row"),
        (iter(()), "at least one row"),
        (5, "expected a list of rows .*; got 5"),
        ("no/such/file.jsonl", "'no/such/file.jsonl' does not exist"),
        (".", "is a folder"),
        ("hf:a/b/c/d", "hf:OWNER/NAME"),
        ("hf:", "hf:OWNER/NAME"),
        ({"train": 3}, "mapping with 'train': 3"),
    ],
)
def test_what_holds_no_rows_is_told(questions: Any, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        load_questions(questions)


def test_any_iterable_of_mappings_will_do() -> None:
    source = load_questions(row(id=number) for number in range(3))
    assert [source.question(index).id for index in range(3)] == ["0", "1", "2"]


def test_fields_may_have_other_names() -> None:
    rows = [{"number": 1, "problem": "?", "solution": 5, "answer": "the working"}]
    question = only(load_questions(rows, columns={"id": "number", "prompt": "problem", "answer": "solution"}))
    assert (question.id, question.text, question.answer) == ("1", "?", "5")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"prompt": "promt"}, "no rows with 'promt' .*did you mean 'prompt'"),
        ({"prompt": "zzz"}, "no rows with 'zzz' .*they have answer, id, prompt"),
        ({"question": "prompt"}, "expected names out of id, prompt, .*; got 'question'"),
    ],
)
def test_names_that_do_not_fit_are_told(columns: dict[str, str], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        load_questions([row()], columns=columns)


def test_splits_are_chosen_and_training_is_the_default() -> None:
    rows = [row(id="a", split="train"), row(id="b", split="test"), row(id="c", split="train")]
    ids = {
        split: [load_questions(rows, split=split).question(index).id for index in range(size)]
        for split, size in ((None, 2), ("train", 2), ("test", 1))
    }
    assert ids == {None: ["a", "c"], "train": ["a", "c"], "test": ["b"]}
    by_split = {"train": [row(id="a"), row(id="c")], "test": [row(id="b")]}
    assert load_questions(by_split, split="test").fingerprint == load_questions(rows, split="test").fingerprint


@pytest.mark.parametrize(
    ("rows", "split", "problem"),
    [
        ([row()], "test", "no rows of the split 'test'; they have no field 'split'"),
        ([row(split="a"), row(id="b", split="b")], None, "no rows of the split 'train'; they have a, b"),
        ([row(split="train"), row(id="b")], None, "row 2 .*, field 'split': expected text, as in the other rows"),
    ],
)
def test_splits_that_do_not_fit_are_told(rows: list[Any], split: str | None, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        load_questions(rows, split=split)


def test_the_fingerprint_is_of_the_contents_alone(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded())
    (tmp_path / "y.png").write_bytes(encoded())
    base = row(images=[str(tmp_path / "x.png")])
    assert load_questions([base]).fingerprint == load_questions([{**base, "images": [tmp_path / "y.png"]}]).fingerprint
    changed = [
        [base],
        [base, row(id="b")],
        [{**base, "id": "b"}],
        [{**base, "prompt": "<image>1 + 1?"}],
        [{**base, "answer": "3"}],
        [{**base, "hops": 0}],
        [{**base, "labels": "must_act"}],
        [{**base, "images": [encoded(shade=8)]}],
        [{**base, "images": []}],
    ]
    assert len({load_questions(rows).fingerprint for rows in changed}) == len(changed)


def test_equal_sources_are_one_as_long_as_somebody_holds_it() -> None:
    first = load_questions([row(id="kept")])
    assert load_questions([row(id="kept")]) is first
    fingerprint = first.fingerprint
    del first
    gc.collect()
    again = load_questions([row(id="kept")])
    assert again.fingerprint == fingerprint


def test_an_image_that_turns_out_to_be_damaged_is_told_with_its_question() -> None:
    header = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    sealed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    source = load_questions([row(images=b"\x89PNG\r\n\x1a\n" + b"".join(sealed))])
    with pytest.raises(EnvConfigError, match=r"question 'a', field 'images': the bytes cannot be decoded: .*truncated"):
        source.question(0)


def test_an_image_file_that_changes_later_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded())
    source = load_questions([row(images=[str(tmp_path / "x.png")], id="changing")])
    (tmp_path / "x.png").write_bytes(encoded(shade=1))
    with pytest.raises(EnvConfigError, match="was changed after its questions were loaded"):
        source.question(0)
    (tmp_path / "x.png").unlink()
    with pytest.raises(EnvConfigError, match="can no longer be read"):
        source.question(0)


class FakeDataset(list[dict[str, Any]]):
    """What a Hugging Face data set looks like from here; its images are decoded unless asked otherwise."""

    def __init__(self, rows: list[dict[str, Any]], *, decode: bool = True) -> None:
        super().__init__(rows)
        image = type("Image", (), {"__init__": lambda self, decode=True: setattr(self, "decode", decode)})
        several = type("List", (), {"__init__": lambda self, feature: setattr(self, "feature", feature)})
        self.features = {"image": image(decode), "more": several(image(decode)), "answer": object()}

    def cast_column(self, column: str, feature: Any) -> FakeDataset:
        assert type(feature).__name__ == {"image": "Image", "more": "List"}[column]
        assert getattr(feature, "feature", feature).decode is False
        return FakeDataset([{**row, "image": {"bytes": encoded(), "path": None}} for row in self], decode=False)


def test_a_data_set_of_the_hub_is_loaded_lazily_with_its_images_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> Any:
        raise AssertionError("a decoded image was asked for")

    asked = []

    def load_dataset(*names: str, split: str | None) -> Any:
        asked.append((names, split))
        rows = [{"prompt": f"{split} {number}", "answer": number, "image": explode} for number in range(2)]
        return FakeDataset(rows) if split else {"train": FakeDataset(rows), "test": FakeDataset(rows[:1])}

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    source = load_questions("hf:owner/name/main:validation")
    assert source.question(1).text == "validation 1"
    assert (source.question(1).id, source.question(1).images) == ("2", (ImageRef(pixels()),))
    assert load_questions("hf:owner/name").size == 2
    assert load_questions("hf:owner/name", split="test").size == 1
    assert asked == [(("owner/name", "main"), "validation"), (("owner/name",), None), (("owner/name",), None)]
    # A data set that the user loaded is no different.
    assert load_questions(load_dataset(split="x")).question(1).id == "2"
    assert load_questions(load_dataset(split=None), split="test").question(0).id == "3"


def test_a_data_set_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*names: str, split: str | None) -> Any:
        raise OSError("no such data set")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(EnvConfigError, match="cannot load hf:owner/name: OSError: no such data set"):
        load_questions("hf:owner/name")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EnvConfigError, match=r"pip install 'axpo\[datasets\]'"):
        load_questions("hf:owner/name")


def test_half_a_surrogate_pair_in_a_row_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": "a", "prompt": "cut \\ud83d", "answer": "\\ude00 x"}\n', encoding="utf-8")
    question = load_questions(path).question(0)
    assert question.prompt == ("cut \ufffd",)
    assert question.answer == "\ufffd x"


@pytest.mark.parametrize(
    ("prompt", "images", "order"),
    [
        ("Say \\<image>", 0, ("Say <image>",)),
        ("Say \\<image>", 1, (0, "Say <image>")),
        ("<image>says \\<image2>", 1, (0, "says <image2>")),
        ("\\<image> is <image>", 1, ("<image> is ", 0)),
    ],
)
def test_a_backslash_makes_a_placeholder_text(prompt: str, images: int, order: tuple[str | int, ...]) -> None:
    assert lay_out(prompt, images) == order


def test_a_placeholder_without_an_image_names_the_escape() -> None:
    with pytest.raises(ValueError, match=r"\\<image> is the text itself"):
        lay_out("Say <image>", 0)
