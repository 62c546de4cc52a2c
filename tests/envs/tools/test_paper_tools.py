"""`tools="paper"`: Python, search and zooming know every image by one number, in every branch and in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import AnswerFormat, EnvConfigError, EpisodeState, ImageRef, Snapshot, ToolStatus, call_turn
from axpo_envs.backends.search.tavily import KEY_VARIABLE, Tavily, TavilyOptions
from axpo_envs.engine._execution import episode_images
from axpo_envs.observation import with_captions
from axpo_envs.suite.tool_task.env import ENV_ID, ToolTask
from axpo_envs.testing import check_tool_env
from axpo_envs.tools import PythonTool, Search

CORPUS = ({"id": "kyoto", "title": "Kyoto", "text": "Kyoto lies in Japan."}, {"id": "oslo", "text": "Oslo is cold."})


def picture() -> np.ndarray[Any, Any]:
    """64 x 32 pixels, no two of a colour."""
    y, x = np.mgrid[0:32, 0:64]
    return np.stack([x * 4, y * 8, 0 * x], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of an environment whose question has one image."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, CORPUS)))
    (folder / "picture.png").write_bytes(ImageRef(picture()).to_png())
    row = {"id": "q", "prompt": "Where?", "answer": "Japan", "images": [str(folder / "picture.png")]}
    (folder / "rows.jsonl").write_text(json.dumps(row))
    return {
        "questions": str(folder / "rows.jsonl"),
        "tools": "paper",
        "search": str(folder / "corpus.jsonl"),
        "view_size": 16,
        "answers": "boxed_tag",
        "max_turns": 20,
    }


@pytest.fixture(scope="module")
def env(arguments: dict[str, Any]) -> Iterator[ToolTask]:
    env = make(arguments)
    yield env
    interpreter_of(env).close()


def make(arguments: dict[str, Any]) -> ToolTask:
    env = gymnasium.make(ENV_ID, **arguments)
    assert isinstance(env, ToolTask)
    return env


def interpreter_of(env: ToolTask) -> PythonTool:
    tool = env.tools[0]
    assert isinstance(tool, PythonTool)
    return tool


def start(env: ToolTask, *turns: str, seed: int = 0) -> EpisodeState:
    return follow(env, env.begin(env.questions.question(0), seed=seed), *turns)


def follow(env: ToolTask, state: EpisodeState, *turns: str) -> EpisodeState:
    for turn in turns:
        state = env.advance(state, turn).state
    return state


def python(code: str) -> str:
    return call_turn("python", {"code": code})


def zoom(*box: int, image: int = 0) -> str:
    return call_turn("image_zoom_in", {"bbox_2d": list(box), "label": "there", "img_idx": image})


def text_of(state: EpisodeState) -> str:
    return "".join(part for part in state.turns[-1].observation if isinstance(part, str))


LOOK = python("[(image.size, sum(image.tobytes())) for image in _pil_images]")


def seen_by(images: tuple[ImageRef, ...]) -> str:
    """What `LOOK` must show."""
    return f"{[(tuple(image.size), int(image.pixels.sum())) for image in images]}\n"


class TestTools:
    def test_are_three_and_search_what_they_are_told(self, env: ToolTask) -> None:
        assert [tool.name for tool in env.tools] == ["python", "search", "image_zoom_in"]
        state = start(env, call_turn("search", {"query": "Kyoto"}))
        assert "Kyoto lies in Japan." in text_of(state)
        assert "Oslo" not in text_of(state)

    def test_need_to_be_told_what_to_search(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(EnvConfigError, match=r"needs search.*FILE\.jsonl.*http.*tavily.*SearchBackend"):
            make({**arguments, "search": None})

    @pytest.mark.parametrize(
        ("search", "problem"),
        [("elastic", "search: expected the path of a corpus"), ("no/such.jsonl", "cannot read the corpus")],
    )
    def test_say_what_is_no_search(self, arguments: dict[str, Any], search: str, problem: str) -> None:
        with pytest.raises(EnvConfigError, match=problem):
            make({**arguments, "search": search})

    def test_that_search_nothing_take_no_search(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(EnvConfigError, match="is what tools='paper' search; tools are 'image_zoom_in'"):
            make({**arguments, "tools": "image_zoom_in"})

    def test_keep_benchmarks_out_of_what_they_find_on_the_web(
        self, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(KEY_VARIABLE, "a-key")
        search = make({**arguments, "search": "tavily"}).tools[1]
        assert isinstance(search, Search)
        assert search.fingerprint == Tavily(TavilyOptions(exclude_domains=("huggingface.co",))).fingerprint

    def test_show_images_as_they_are_where_no_view_size_is_given(self, arguments: dict[str, Any]) -> None:
        env = make({**arguments, "view_size": None})
        shown = start(env, zoom(0, 0, 1000, 1000)).turns[-1].observation[-1]
        assert isinstance(shown, ImageRef)
        assert shown.size == (1024, 1024)

    def test_stand_beside_others(self, arguments: dict[str, Any]) -> None:
        def chart() -> np.ndarray[Any, Any]:
            """Draws."""
            return picture()

        env = make({**arguments, "tools": ["paper", chart]})
        state = start(env, call_turn("chart", {}), LOOK)
        assert "[image 1: img_idx=1, _pil_images[1]]" in str(state.turns[0].observation)
        assert text_of(state) == seen_by((ImageRef(picture()), ImageRef(picture())))

    def test_conform(self, arguments: dict[str, Any]) -> None:
        check_tool_env(lambda: make(arguments), actions=[LOOK, zoom(0, 0, 500, 500), LOOK], fuzz=4)


class TestNumbers:
    def test_of_crops_are_told_and_are_those_of_the_interpreter(self, env: ToolTask) -> None:
        state = start(env, zoom(0, 0, 250, 500) + zoom(500, 0, 750, 500), LOOK)
        assert "[image 1: img_idx=1, _pil_images[1]]" in str(state.turns[0].observation)
        assert "[image 2: img_idx=2, _pil_images[2]]" in str(state.turns[0].observation)
        assert text_of(state) == seen_by(episode_images(state))
        assert len(episode_images(state)) == 3

    def test_of_paths_are_the_same(self, env: ToolTask) -> None:
        code = "import PIL.Image\n[PIL.Image.open(p).tobytes() == i.tobytes() for p, i in zip(_images, _pil_images)]"
        assert text_of(start(env, zoom(0, 0, 250, 500), python(code))) == "[True, True]\n"

    def test_of_what_python_shows_can_be_zoomed_into(self, env: ToolTask) -> None:
        state = start(env, python("_pil_images[0].rotate(180).show()"))
        assert text_of(state) == "[image 1: img_idx=1, _pil_images[1]]\n"
        assert episode_images(state)[1].pixels[0, 0].tolist() == picture()[-1, -1].tolist()
        state = follow(env, state, zoom(0, 0, 1000, 1000, image=1))
        assert text_of(state) == "crop\n[image 2: img_idx=2, _pil_images[2]]\n"

    def test_are_told_on_lines_of_their_own(self) -> None:
        one, other = ImageRef(picture()), ImageRef(picture()[:8])
        captioned = with_captions(("text", one, other, "end\n", one), "<{index}>", first=7)
        assert captioned == ("text", "\n<7>\n", one, "\n<8>\n", other, "end\n", "<9>\n", one)
        assert with_captions((one,), "<{index}>", first=0) == ("<0>\n", one)

    def test_are_part_of_the_rules(self, arguments: dict[str, Any], env: ToolTask) -> None:
        other = make({**arguments, "image_caption": ""})
        assert text_of(start(other, zoom(0, 0, 250, 500))) == "crop"
        assert other.rules.fingerprint != env.rules.fingerprint


class TestBranches:
    def test_never_see_what_their_siblings_were_shown(self, env: ToolTask) -> None:
        moment = start(env, zoom(0, 0, 500, 1000), python("_pil_images[1].putpixel((0, 0), (1, 2, 3)); names = ['a']"))
        one = follow(env, moment, zoom(0, 0, 100, 100), python("names.append('one'); len(_pil_images), names"))
        look = "names.append('two'); len(_pil_images), names, _pil_images[1].getpixel((0, 0))"
        two = follow(env, moment, python(look))
        assert text_of(one) == "(3, ['a', 'one'])\n"
        assert text_of(two) == "(2, ['a', 'two'], (1, 2, 3))\n"

    def test_go_on_in_another_process(self, env: ToolTask, arguments: dict[str, Any], tmp_path: Path) -> None:
        turns = (zoom(0, 0, 500, 1000), python("mine = _pil_images[1].rotate(90); mine.show()"))
        last = python("import random\nlen(_pil_images), mine.size, random.random()")
        moment = start(env, *turns, seed=5)
        (tmp_path / "moment").write_bytes(env.snapshot_of(moment).to_bytes())
        script = f"""
import gymnasium, axpo_envs
from pathlib import Path
env = gymnasium.make({ENV_ID!r}, **{arguments!r})
env.restore(axpo_envs.Snapshot.from_bytes(Path("moment").read_bytes()))
env.step({last!r})
Path("after").write_bytes(env.snapshot().to_bytes())
"""
        subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)
        after = Snapshot.from_bytes((tmp_path / "after").read_bytes()).state
        assert text_of(after).startswith("(3, (16, 16), 0.")
        assert after.digest == follow(env, moment, last).digest


TURNS = (
    zoom(0, 0, 500, 500),
    zoom(0, 0, 1000, 1000, image=1),
    python("_pil_images[-1].rotate(90).show()"),
    python("count = globals().get('count', 0) + 1; kept = _pil_images[-1].copy(); count, len(_images)"),
    python("_pil_images[0].putpixel((0, 0), (count, 0, 0))"),
    call_turn("search", {"query": "Kyoto"}),
)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(TURNS)), min_size=1, max_size=7))
def test_any_tree_of_calls_equals_its_serial_reruns(env: ToolTask, tree: list[tuple[int, str]]) -> None:
    points = [start(env)]
    histories: list[tuple[str, ...]] = [()]
    for origin, turn in tree:
        parent = origin % len(points)
        # Some branches come from bytes, and their interpreters have to be made anew.
        if origin % 5 == 4:
            interpreter_of(env).close()
            points[parent] = Snapshot.from_bytes(env.snapshot_of(points[parent]).to_bytes()).state
        points.append(follow(env, points[parent], turn))
        histories.append((*histories[parent], turn))
    last = points[-1]
    assert last.digest == start(env, *histories[-1]).digest
    shown = [record for turn in last.turns for record in turn.calls if record.result.status is ToolStatus.OK]
    pictures = [part for record in shown for part in record.result.content if isinstance(part, ImageRef)]
    counted = text_of(follow(env, last, python("len(_pil_images), len(_images)")))
    assert counted == f"({1 + len(pictures)}, {1 + len(pictures)})\n"


def test_answers_stand_in_a_box_between_the_tags(env: ToolTask) -> None:
    assert env.rules.answers is AnswerFormat.BOXED_TAG
    assert "<answer>\\boxed{...}</answer>" in env.instructions
    assert "_pil_images[i]" in env.instructions
    rewards = [
        env.advance(start(env), answer).reward
        for answer in ("<answer>\\boxed{Japan}</answer>", "<answer>Japan</answer>", "\\boxed{Japan}")
    ]
    assert rewards == [1.0, 0.0, 0.0]
