"""What users' rows may hold: several answers, options, further columns, chat messages, addresses of images."""

from __future__ import annotations

import decimal
import fractions
import io
import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from axpo_envs import EnvConfigError, EpisodeState, Question
from axpo_envs.digest import question_fields
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.columns import Columns, UnfrozenError
from axpo_envs.questions import ImageReading, load_questions
from axpo_envs.questions import _image_addresses as image_addresses
from axpo_envs.questions._image_addresses import fetch_image
from axpo_envs.questions._reference import FieldProblemError, read_answers, read_option_texts
from axpo_envs.rewards import REWARDS, answer_problem, make_reward
from axpo_envs.suite.tool_task.env import ToolTask


def only(row: dict[str, Any], **settings: Any) -> Question:
    return load_questions([{"id": "q", "prompt": "?", "answer": "x", **row}], **settings).question(0)


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        (12.0, ("12",)),
        (-0.0, ("0",)),
        (12.5, ("12.5",)),
        (1e300, ("1e+300",)),
        (10**30, (str(10**30),)),
        (True, ("true",)),
        (np.int64(7), ("7",)),
        (np.float32(7.0), ("7",)),
        (np.bool_(False), ("false",)),
        (decimal.Decimal("12.0"), ("12",)),
        (fractions.Fraction(1, 2), ("1/2",)),
        ("12.0", ("12.0",)),
        (["NYC", "New York"], ("NYC", "New York")),
        ((12, 12.0, "twelve"), ("12", "twelve")),
        (np.array([1, 2]), ("1", "2")),
    ],
)
def test_answers_are_read_as_meant(value: Any, answers: tuple[str, ...]) -> None:
    assert read_answers(value) == answers


@pytest.mark.parametrize("value", [None, [], [[1]], {}, "", " ", float("nan"), float("inf"), [1, None], b"x"])
def test_what_is_no_answer_is_told(value: Any) -> None:
    with pytest.raises(FieldProblemError, match="expected text, a number or true / false"):
        read_answers(value)


def test_an_integer_that_is_too_long_is_told() -> None:
    with pytest.raises(EnvConfigError, match="got an integer of more than 4300 digits"):
        only({"answer": 10**5000})
    with pytest.raises(EnvConfigError, match="field 'id'"):
        only({"id": 10**5000})


def test_an_integer_counts_options_from_0_unless_it_is_one() -> None:
    assert read_answers(2, ("cat", "dog", "cow")) == ("C",)
    assert read_answers(2, ("1", "2", "3")) == ("2",)
    with pytest.raises(FieldProblemError, match="one of 3 options, which integers count from 0; got 3"):
        read_answers(3, ("cat", "dog", "cow"))


@pytest.mark.parametrize(
    "value",
    [
        ["cat", "dog"],
        ("A. cat", "B. dog"),
        ["(A) cat", "(B) dog"],
        {"A": "cat", "B": "dog"},
        {"a": "cat", "b": "dog"},
        {"text": ["cat", "dog"], "label": ["A", "B"]},
        '["cat", "dog"]',
        "['cat', 'dog']",
        '{"A": "cat", "B": "dog"}',
        np.array(["cat", "dog"]),
    ],
)
def test_options_come_in_many_forms(value: Any) -> None:
    assert read_option_texts(value) == ("cat", "dog")
    question = only({"prompt": "Which?", "options": value, "answer": "B"})
    assert question.text == "Which?\nA. cat\nB. dog"
    assert question.options == ("cat", "dog")


@pytest.mark.parametrize("value", ["cat, dog", ["cat"], {"x": "cat", "y": "dog"}, 5, list(map(str, range(27)))])
def test_what_is_no_list_of_options_is_told(value: Any) -> None:
    with pytest.raises(FieldProblemError, match="options"):
        read_option_texts(value)


def test_a_prompt_that_lists_its_options_stays_as_it_is() -> None:
    prompt = "Which?\n(A) cat\n(B) dog"
    assert only({"prompt": prompt, "options": ["cat", "dog"], "answer": 1}).text == prompt


def test_class_labels_become_the_names_of_their_classes() -> None:
    features = datasets.Features(
        {"prompt": datasets.Value("string"), "answer": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = datasets.Dataset.from_dict({"prompt": ["?", "?"], "answer": [1, 0]}, features=features)
    source = load_questions(rows)
    assert [source.question(index).answer for index in range(2)] == ["dog", "cat"]
    missing = datasets.Dataset.from_dict({"prompt": ["?"], "answer": [-1]}, features=features)
    with pytest.raises(EnvConfigError, match="field 'answer': expected text"):
        load_questions(missing)


def test_further_columns_are_the_questions_extra_and_change_its_fingerprint() -> None:
    row = {
        "id": "q",
        "prompt": "?",
        "solution": "x",
        "area": {"km": [1, 2]},
        "array": np.zeros(3),
        "level": np.int64(3),
    }
    source = load_questions([row], columns={"answer": "solution"})
    question = source.question(0)
    assert question.extra == {"area": {"km": (1, 2)}, "level": 3}
    assert pickle.loads(pickle.dumps(question)) == question
    assert hash(question) == hash(pickle.loads(pickle.dumps(question)))
    assert load_questions([{**row, "level": 4}], columns={"answer": "solution"}).fingerprint != source.fingerprint


def test_a_reward_function_reads_the_extra_columns() -> None:
    def near(question: Question, answer: str, state: EpisodeState) -> float:
        return float(abs(float(answer) - float(question.answer)) <= question.extra["slack"])

    env = ToolTask(questions=[{"id": "q", "prompt": "?", "answer": 10, "slack": 2}], reward=near)
    env.reset(seed=0)
    assert env.step("<answer>11</answer>")[1] == 1.0


def test_any_of_the_answers_of_a_row_is_right() -> None:
    for name, answers in (("exact_match", ["NYC", "New York"]), ("token_f1", ["NYC", "New York"]), ("numeric", [5, 7])):
        env = ToolTask(questions=[{"id": "q", "prompt": "?", "answer": answers}], reward=name)
        for answer in answers:
            env.reset(seed=0)
            assert env.step(f"<answer>{answer}</answer>")[1] == 1.0


def test_columns_cannot_be_changed_and_what_cannot_be_frozen_is_refused() -> None:
    columns = Columns((("a", [1, {"b": {2}}]),))
    assert columns["a"] == (1, {"b": frozenset((2,))})
    with pytest.raises(TypeError):
        columns["a"] = 2  # type: ignore[index]
    with pytest.raises(UnfrozenError, match="got a ndarray"):
        Columns((("a", np.zeros(2)),))


def test_a_question_pickled_before_it_had_alternatives_is_read() -> None:
    question = Question(id="q", prompt=("?",), answer="5")
    state = question.__getstate__()
    old = Question.__new__(Question)
    old.__setstate__(state[:6])
    assert old == question
    assert len(question_fields(question)) == 5


def test_chat_messages_become_one_prompt() -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "A square."},
        {"role": "user", "content": "Which colour?"},
    ]
    question = only({"prompt": messages})
    assert question.prompt == (
        "Be brief.\n\nUser: ",
        ImageRef(picture),
        "What is it?\n\nAssistant: A square.\n\nUser: Which colour?",
    )
    assert only({"prompt": [{"role": "user", "content": "Which colour?"}]}).prompt == ("Which colour?",)


def test_images_of_the_row_stand_where_messages_say() -> None:
    first, second = (np.full((2, 2, 3), value, dtype=np.uint8) for value in (1, 2))
    content = [{"type": "text", "text": "Is"}, {"type": "image"}, {"type": "image_url", "image_url": {"url": second}}]
    question = only({"prompt": [{"role": "user", "content": content}], "images": first})
    assert question.prompt == ("Is", ImageRef(first), ImageRef(second))


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([{"role": "tool", "content": "x"}], "message 1 is"),
        ([{"role": "user"}], "the content of message 1 is None"),
        ([{"role": "assistant", "content": "x"}], "the last is the user's"),
        ([{"role": "user", "content": [{"type": "video"}]}], "message 1 has a part"),
        ([{"role": "user", "content": ""}], "got an empty text"),
        (["hello"], "message 1 is"),
    ],
)
def test_what_are_no_chat_messages_is_told(messages: Any, told: str) -> None:
    with pytest.raises(EnvConfigError, match="field 'prompt'") as caught:
        only({"prompt": messages})
    assert told in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(REWARDS) - {"llm_judge"}))
def test_what_cannot_be_scored_is_told_when_the_environment_is_made(name: str) -> None:
    unusable = {"numeric": "many", "multiple_choice": "Z", "math_verify": "}{"}
    good = {"id": "good", "prompt": "?\nA. 1\nB. 2", "answer": "1"}
    assert ToolTask(questions=[good], reward=name).questions.size == 1
    if name in unusable:
        with pytest.raises(EnvConfigError, match=r"row 2 \(questions\[1\]\), field 'answer'"):
            ToolTask(questions=[good, {**good, "id": "bad", "answer": unusable[name]}], reward=name)


def test_a_reference_that_is_wrong_by_its_own_reward_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    reward = make_reward("numeric")
    monkeypatch.setattr(type(reward), "is_right", lambda self, reference, answer: False)
    question = Question(id="q", prompt=("?",), answer="5")
    assert "finds the reference itself wrong" in (answer_problem(reward, question) or "")


class Pictures(BaseHTTPRequestHandler):
    """A server with a picture, a redirection elsewhere, and a file that is too long."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://elsewhere.invalid/a.png")
            self.end_headers()
            return
        buffer = io.BytesIO()
        Image.new("RGB", (3, 2), (255, 0, 0)).save(buffer, "PNG")
        self.send_response(200 if self.path == "/a.png" else 404)
        self.end_headers()
        self.wfile.write(buffer.getvalue())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_images_are_fetched_from_hosts_that_are_allowed_only() -> None:
    with serving() as server:
        row = {"images": f"{server}/a.png"}
        shown = only(row, images=ImageReading(hosts=("127.0.0.1",))).images
        assert [image.pixels.tolist() for image in shown] == [[[[255, 0, 0]] * 3] * 2]
        for hosts in ((), ("example.org",), ("*",)):
            with pytest.raises(EnvConfigError, match=r"may not be asked: download it first, or name '127\.0\.0\.1'"):
                only(row, images=ImageReading(hosts=hosts))
        with pytest.raises(EnvConfigError, match=r"elsewhere\.invalid.* may not be asked"):
            only({"images": f"{server}/moved"}, images=ImageReading(hosts=("127.0.0.1",)))
        with pytest.raises(EnvConfigError, match="the host answers 404"):
            only({"images": f"{server}/b.png"}, images=ImageReading(hosts=("127.0.0.1",)))


def test_a_file_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_addresses, "MAX_BYTES", 10)
    with serving() as server, pytest.raises(ImageProblemError, match="holds more than"):
        fetch_image(f"{server}/a.png", ("127.0.0.1",))


@pytest.mark.parametrize("hosts", [5, [5], [""], {"a": 1}])
def test_unusable_hosts_are_told(hosts: Any) -> None:
    with pytest.raises(EnvConfigError, match="image_hosts must be a list of hosts"):
        ToolTask(questions=[{"id": "q", "prompt": "?", "answer": "x"}], image_hosts=hosts)


def test_whole_floats_of_a_file_are_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps({"id": 1, "prompt": "How many?", "answer": 12.0}))
    env = ToolTask(questions=tmp_path / "q.jsonl")
    env.reset(seed=0)
    assert env.step("<answer>12</answer>")[1] == 1.0


def test_answers_of_a_set_keep_their_order_from_process_to_process() -> None:
    assert read_answers({"b", "c", "a"}) == ("a", "b", "c")


def test_a_number_of_single_precision_is_the_decimal_that_it_shows() -> None:
    assert read_answers(np.float32(0.1)) == ("0.1",)
    assert read_answers(np.float32(3)) == ("3",)


def test_a_whole_float_counts_options_as_the_integer_does() -> None:
    assert read_answers(1.0, ("x", "y")) == read_answers(1, ("x", "y")) == ("B",)


def test_a_prompt_may_be_the_json_text_of_chat_messages() -> None:
    rows = [
        {"id": 1, "prompt": '[{"role": "user", "content": "Which?"}]', "answer": "a"},
        {"id": 2, "prompt": "[1, 2] has how many?", "answer": "2"},
        {"id": 3, "prompt": "[]", "answer": "0"},
    ]
    source = load_questions(rows)
    assert [source.question(index).text for index in range(3)] == ["Which?", "[1, 2] has how many?", "[]"]


def test_a_data_set_formatted_as_arrays_is_read_as_stored() -> None:
    datasets = pytest.importorskip("datasets")
    features = {"prompt": datasets.Value("string"), "answer": datasets.ClassLabel(names=["cat", "dog"])}
    rows = datasets.Dataset.from_dict({"prompt": ["?"], "answer": [1]}, features=datasets.Features(features))
    assert load_questions(rows.with_format("numpy")).question(0).answer == "dog"
