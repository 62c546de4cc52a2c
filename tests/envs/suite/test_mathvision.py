"""Rows in the layout of MathVision: how they are read, and what counts as a right answer."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from axpo_envs import EnvConfigError, EpisodeState, Question, Snapshot
from axpo_envs.errors import UnknownSplitError
from axpo_envs.suite.python_reasoning import MathVisionReward, PythonReasoning, load_mathvision

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data" / "mathvision"
"""The first hundred published rows, where they lie beside the checkout."""

LETTERS = ["A", "B", "C", "D", "E"]
ROWS: list[dict[str, Any]] = [
    {
        "id": "4",
        "question": "How many dots are there?\n<image1>",
        "options": [],
        "answer": "6",
        "solution": None,
        "level": 1,
        "subject": "counting",
        "image": "images/4.png",
    },
    {
        "id": "7",
        "question": "Which piece is left over?\n<image1>\n<image2>",
        "options": LETTERS,
        "answer": "D",
        "solution": "Try all.",
        "level": 3,
        "subject": "logic",
        "image": "images/7.png",
    },
    {
        "id": "9",
        "question": "How long is the rope?\n<image1>",
        "options": ["$6 \\mathrm{~m}$", "$8 \\mathrm{~m}$", "$2 \\sqrt{13} \\mathrm{~m}$", "$9 \\mathrm{~m}$"],
        "answer": "C",
        "solution": None,
        "level": 5,
        "subject": "metric geometry - length",
        "image": "images/9.png",
    },
]


def picture(width: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, width, 3), 200, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_images(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for row in ROWS:
        (folder / row["image"]).write_bytes(picture(int(row["id"])))


def write_lines(folder: Path, rows: list[Any]) -> Path:
    file = folder / "testmini.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return file


def write_parquet(file: Path, rows: list[dict[str, Any]], *, images: bool = True) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    decoded = [{"bytes": picture(int(row["id"])), "path": "x.png"} if images else None for row in rows]
    table = pyarrow.Table.from_pylist(
        [{**row, "decoded_image": image} for row, image in zip(rows, decoded, strict=True)]
    )
    pyarrow.parquet.write_table(table, file)


def write_layout(layout: str, folder: Path) -> Path:
    """Writes the rows in one of the published layouts; returns what to load."""
    match layout:
        case "lines":
            write_images(folder)
            return write_lines(folder, ROWS)
        case "folder":
            write_images(folder)
            write_lines(folder, ROWS)
            return folder
        case "list":
            write_images(folder)
            (folder / "test.json").write_text(json.dumps(ROWS), encoding="utf-8")
            return folder / "test.json"
        case "parquet":
            write_parquet(folder / "testmini.parquet", ROWS)
            return folder / "testmini.parquet"
        case "pieces":
            write_parquet(folder / "data" / "test-00000-of-00002-0aa11bb.parquet", ROWS[:2])
            write_parquet(folder / "data" / "test-00001-of-00002-0aa11bb.parquet", ROWS[2:])
            return folder
    write_images(folder)
    write_parquet(folder / "data" / "test.parquet", ROWS, images=False)
    return folder


@pytest.mark.parametrize("layout", ["lines", "folder", "list", "parquet", "pieces", "parquet beside images"])
def test_every_published_layout_gives_the_same_questions(layout: str, tmp_path: Path) -> None:
    questions = load_mathvision(write_layout(layout, tmp_path), MathVisionReward())
    dots, piece, rope = map(questions.question, range(3))
    assert [dots.id, piece.id, rope.id] == ["4", "7", "9"]
    assert [question.images[0].width for question in (dots, piece, rope)] == [4, 7, 9]
    assert (dots.answer, dots.extra["level"], dots.extra["subject"]) == ("6", 1, "counting")
    assert "solution" not in piece.extra


def test_the_image_stands_where_the_text_names_it_and_first_where_its_parts_are_named(tmp_path: Path) -> None:
    questions = load_mathvision(write_layout("lines", tmp_path), MathVisionReward())
    dots, piece, rope = map(questions.question, range(3))
    assert dots.prompt == ("How many dots are there?\n", dots.images[0])
    assert piece.prompt == (piece.images[0], "Which piece is left over?\n<image1>\n<image2>")
    assert rope.text.endswith("\nC. $2 \\sqrt{13} \\mathrm{~m}$\nD. $9 \\mathrm{~m}$")
    assert piece.options == ()


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        (["<image2>", "<image3>"], "Which?\n<image1>\nA. <image2>\nB. <image3>"),
        (["", ""], "Which?\n"),
        (["C", "D"], "Which?\n\nA. C\nB. D"),
    ],
)
def test_options_may_be_pictures_or_drawn(options: list[str], prompt: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    row = {**ROWS[0], "question": "Which?\n<image1>", "options": options, "answer": "B"}
    question = load_mathvision(write_lines(tmp_path, [row]), MathVisionReward()).question(0)
    assert (question.text, len(question.images)) == (prompt, 1)
    assert [scored(question, answer) for answer in ("B", "A")] == [1.0, 0.0]


STATE = EpisodeState(question=Question(id="q", prompt=("?",), answer="?"), seed=0)


def scored(question: Question, answer: str | None) -> float:
    (term,) = MathVisionReward()(question, answer, STATE)
    return term.value


def asked(answer: str, *options: str) -> Question:
    return Question(id="q", prompt=("?",), answer=answer, options=options)


ROPE = ("$6 \\mathrm{~m}$", "$8 \\mathrm{~m}$", "$2 \\sqrt{13} \\mathrm{~m}$", "$9 \\mathrm{~m}$")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("C", 1.0),
        ("(c)", 1.0),
        ("The answer is C.", 1.0),
        ("C. $2 \\sqrt{13} \\mathrm{~m}$", 1.0),
        ("$2 \\sqrt{13} \\mathrm{~m}$", 1.0),
        ("\\sqrt{52}", 1.0),
        ("B", 0.0),
        ("C. $8 \\mathrm{~m}$", 0.0),
        ("8 m", 0.0),
        ("", 0.0),
        ("Because it is long", 0.0),
        ("A rope", 0.0),
        (None, 0.0),
    ],
)
def test_of_options_the_letter_counts_or_the_value(answer: str | None, value: float) -> None:
    assert scored(asked("C", *ROPE), answer) == value


def test_a_value_that_two_options_have_chooses_neither_and_a_letter_is_no_value() -> None:
    twice = asked("A", "$\\frac{1}{2}$", "$\\frac{2}{4}$", "3")
    assert [scored(twice, answer) for answer in ("0.5", "A", "B")] == [0.0, 1.0, 0.0]
    # Written as an option's letter, a variable is that option.
    variables = asked("A", "$b$", "$a$")
    assert [scored(variables, answer) for answer in ("A", "b", "B")] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [
        ("140", "140 grams", 1.0),
        ("140", "$140$", 1.0),
        ("0.5", "\\frac{1}{2}", 1.0),
        ("\\frac{1}{2}", "1/2", 1.0),
        ("-2", "2", 0.0),
        ("6", "6 or 7", 0.0),
        ("7,5,3", "7,5,3", 1.0),
        ("12", "__import__('os').abort()", 0.0),
        ("12", "10+2", 1.0),
        ("C", "C", 1.0),
        ("C", "(C)", 1.0),
        ("C", "Cube", 0.0),
        ("C", "c", 1.0),
    ],
)
def test_free_answers_count_by_value_and_are_never_executed(reference: str, answer: str, value: float) -> None:
    assert scored(asked(reference), answer) == value


def test_the_last_balanced_box_of_a_turn_is_the_answer(tmp_path: Path) -> None:
    env = PythonReasoning(source="mathvision", path=write_layout("lines", tmp_path))
    rope = env.begin(env.questions.question(2))
    turns = {
        "\\boxed{A}, no, \\boxed{\\text{C}}": 1.0,
        "\\boxed{C} and then \\boxed{A}": 0.0,
        "\\boxed{C} and \\boxed{A": 1.0,
        "<answer>\\boxed{\\sqrt{52}}</answer>": 1.0,
    }
    assert {turn: env.advance(rope, turn).reward for turn in turns} == turns


def test_the_environment_travels_and_has_no_truth_to_tell(tmp_path: Path) -> None:
    path = write_layout("folder", tmp_path)
    env = gymnasium.make("axpo/PythonReasoning-v0", source="mathvision", path=str(path)).unwrapped
    assert isinstance(env, PythonReasoning)
    observation, _ = env.reset(seed=0)
    assert "of options: its letter" in observation["text"]
    copy = pickle.loads(pickle.dumps(env))
    copy.restore(Snapshot.from_bytes(env.snapshot().to_bytes()))
    assert copy.state == env.state
    with pytest.raises(ValueError, match="expected source='figures'; got 'mathvision'"):
        env.problem_of(env.questions.question(0))
    with pytest.raises(UnknownSplitError, match="no rows of the split 'test'"):
        PythonReasoning(source="mathvision", path=path, split="test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "7"}, "expected unique ids; '7' is that of"),
        ({"question": " "}, "field 'prompt'"),
        ({"answer": None}, "field 'answer'"),
        ({"image": None}, "field 'images'"),
        ({"image": "images/none.png"}, "none.png"),
        ({"options": ["only one"]}, "field 'options'"),
        ({"options": ["x", "y"], "answer": "C"}, "expected one of the options A. x, B. y; got 'C'"),
    ],
)
def test_every_unusable_row_is_told_with_its_place(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    file = write_lines(tmp_path, [{**ROWS[0], **change}, *ROWS[1:]])
    with pytest.raises(EnvConfigError, match=message) as told:
        load_mathvision(file, MathVisionReward())
    assert str(file) in str(told.value)


def test_paths_that_hold_no_rows_are_told(tmp_path: Path) -> None:
    reward = MathVisionReward()
    with pytest.raises(EnvConfigError, match="does not exist"):
        load_mathvision(tmp_path / "nothing", reward)
    with pytest.raises(EnvConfigError, match=r"holds no file of \.jsonl, \.json, \.parquet"):
        load_mathvision(tmp_path, reward)
    for name, text in (("a.json", "{}"), ("b.json", "[1]"), ("c.jsonl", "{"), ("d.parquet", "?"), ("e.csv", "a,b")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    messages = {
        "": "holds a.json, b.json, c.jsonl, d.parquet: name one",
        "a.json": "expected a list of rows",
        "b.json": "expected a mapping; got 1",
        "c.jsonl": "cannot read",
        "d.parquet": "cannot read",
        "e.csv": "expected a file of .jsonl, .json, .parquet",
    }
    for name, message in messages.items():
        with pytest.raises(EnvConfigError, match=message):
            load_mathvision(tmp_path / name, reward)


@pytest.mark.parametrize("folder", [REAL], ids=["published rows" if REAL.is_dir() else "no published rows here"])
def test_the_published_rows_load_and_each_reference_is_right(folder: Path) -> None:
    if not folder.is_dir():
        print(f"{folder} does not exist: the rows that tests write stand for the published ones")
        return
    questions = load_mathvision(folder, MathVisionReward())
    assert questions.size == 100
    asked = [questions.question(index) for index in range(100)]
    assert all(len(question.images) == 1 for question in asked)
    assert all(scored(question, question.answer) == 1.0 for question in asked)
    assert not any(scored(question, "no idea") for question in asked)
