"""`axpo/Agentic-v0`: a mixture of families with the paper's tools, its scripted agents, and rows of the user's own."""

from __future__ import annotations

import json
import pickle
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, EpisodeState, Snapshot, SnapshotError, StopReason, ToolStatus, call_turn
from axpo_envs.backends.search import LocalIndex
from axpo_envs.engine._execution import episode_images
from axpo_envs.questions.sources import QuestionSubset
from axpo_envs.questions.splits import Split
from axpo_envs.suite.agentic import Agentic, AgenticExpert, RandomFloor
from axpo_envs.suite.agentic._families import FAMILIES
from axpo_envs.suite.agentic.expert import boxed
from axpo_envs.suite.agentic.questions import MixedQuestions, Part
from axpo_envs.suite.visual_zoom import VisualZoom
from axpo_envs.testing import check_tool_env
from axpo_envs.tools import PythonTool, SandboxLimits

ENV_ID = "axpo/Agentic-v0"
KNOBS: dict[str, dict[str, Any]] = {"multi_hop_search": {"corpus_size": 400}, "visual_zoom": {"image_size": 256}}
SMALL: dict[str, Any] = {"families": tuple(KNOBS), "family_knobs": KNOBS, "view_size": 64, "held_out": 100}
ROWS = [{"id": "river", "prompt": "Which river?", "answer": "Rhine"}]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def env(cache: Path) -> Iterator[Agentic]:
    env = Agentic(split="test", **SMALL)
    yield env
    interpreter_of(env).close()


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"id": "r", "title": "Rhine", "text": "The Rhine is a river."}))
    return str(path)


def interpreter_of(env: Agentic) -> PythonTool:
    tool = env.tools[0]
    assert isinstance(tool, PythonTool)
    return tool


def play(env: Agentic, agent: Any, index: int) -> EpisodeState:
    state = env.begin(env.questions.question(index), seed=index)
    while state.stop is None:
        state = env.advance(state, agent.act(dict(env.observe(state)), state)).state
    return state


def families_of(env: Agentic, count: int = 100) -> Counter[str]:
    return Counter(env.questions.question(index).extra["family"] for index in range(count))


class TestEnvironment:
    def test_every_question_has_all_three_tools_and_is_answered_in_a_box(self, env: Agentic) -> None:
        assert [tool.name for tool in env.tools] == ["python", "search", "image_zoom_in"]
        start = env.begin(env.questions.question(0))
        answer = start.question.answer
        assert env.advance(start, f"<answer>\\boxed{{{answer}}}</answer>").reward == 1.0
        assert env.advance(start, f"<answer>{answer}</answer>").state.stop is StopReason.NO_ANSWER
        assert {len(env.questions.question(index).images) for index in range(20)} == {0, 1}

    def test_calls_may_be_made_in_three_turns_or_in_as_many_as_evaluations_allow(self, env: Agentic) -> None:
        call = call_turn("search", {"query": "x"})
        for made, allowed in ((env, 3), (Agentic(max_turns=5, **SMALL), 5)):
            state = made.begin(made.questions.question(0))
            for _ in range(allowed):
                state = made.advance(state, call).state
            assert state.stop is None
            assert made.advance(state, call).state.stop is StopReason.MAX_TURNS

    def test_conforms(self) -> None:
        check_tool_env(lambda: gymnasium.make(ENV_ID, **SMALL), fuzz=4)

    def test_gymnasiums_own_check_passes_without_a_warning(self, env: Agentic) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=True)

    def test_its_knobs_make_it_again_and_it_travels(self, env: Agentic) -> None:
        again = Agentic(**env.knobs)
        copy = pickle.loads(pickle.dumps(env))
        moment = env.snapshot_of(env.begin(env.questions.question(0)))
        for other in (again, copy):
            other.restore(moment)
            assert other.questions.question(1) == env.questions.question(1)
        with pytest.raises(SnapshotError):
            Agentic(**{**env.knobs, "split": "validation"}).restore(moment)

    def test_the_library_is_there_for_every_family(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("axpo_envs.suite.agentic.env.MultiHopSearchSettings", lambda: Namespace(corpus_size=400))
        only = {"families": "visual_zoom", "family_knobs": {"visual_zoom": KNOBS["visual_zoom"]}}
        env = Agentic(**{**SMALL, **only})
        state = env.advance(env.begin(env.questions.question(0)), call_turn("search", {"query": "Switzerland"})).state
        assert "Switzerland" in str(state.turns[0].observation[0])

    def test_other_things_can_be_searched_and_another_interpreter_used(self, corpus: str) -> None:
        python = PythonTool(SandboxLimits(wall_s=5))
        env = Agentic(search=corpus, python=python, **SMALL)
        assert env.tools[0] is python
        state = env.advance(env.begin(env.questions.question(0)), call_turn("search", {"query": "Rhine"})).state
        assert "The Rhine is a river." in str(state.turns[0].observation[0])
        python.close()


class TestMixture:
    def test_draws_families_by_their_weights(self) -> None:
        parts = [
            Part(family=name, weight=weight, questions=VisualZoom(image_size=64, guess_rate=rate).questions)
            for name, weight, rate in (("one", 3.0, 0.1), ("other", 1.0, 0.2))
        ]
        mixed = MixedQuestions(Split.TRAIN, 10, tuple(parts))
        drawn = Counter(mixed.question(index).extra["family"] for index in range(400))
        # 300 are expected, with a standard deviation of 8.7.
        assert 270 < drawn["one"] < 330

    def test_names_are_mixed_equally_and_one_alone_is_asked_alone(self, env: Agentic, corpus: str) -> None:
        assert all(30 < count < 70 for count in families_of(env).values())
        only = {"families": {"visual_zoom": 2}, "family_knobs": {"visual_zoom": {"image_size": 256}}}
        alone = Agentic(**{**SMALL, **only, "search": LocalIndex(corpus)})
        assert alone.settings.families == {"visual_zoom": 2.0}
        assert set(families_of(alone, 10)) == {"visual_zoom"}

    def test_is_the_same_every_time_endless_in_training_and_fixed_otherwise(self, env: Agentic) -> None:
        train = Agentic(**SMALL)
        assert train.questions.size is None
        assert train.questions.question(10**6) == Agentic(**SMALL).questions.question(10**6)
        assert env.questions.size == 100
        with pytest.raises(IndexError):
            env.questions.question(100)
        texts = [{question.prompt for question in map(some.questions.question, range(50))} for some in (env, train)]
        assert not texts[0] & texts[1]

    def test_fewer_held_out_questions_are_the_first_of_more(self, env: Agentic) -> None:
        fewer = Agentic(**{**env.knobs, "held_out": 5})
        assert [fewer.questions.question(index) for index in range(5)] == [
            env.questions.question(index) for index in range(5)
        ]

    def test_a_question_is_its_familys_own(self, env: Agentic) -> None:
        for index in range(6):
            question = QuestionSubset(env.questions, (index, 7)).question(0)
            family, original = env.origin_of(question)
            assert original == env.families[family].questions.question(index)
            assert (question.prompt, question.answers, question.hops) == (
                original.prompt,
                original.answers,
                original.hops,
            )
            assert question.id == f"test/{index}"
        with pytest.raises(ValueError, match="expected a question of agentic"):
            env.origin_of(Agentic(**SMALL).questions.question(0))


class TestAgents:
    def test_the_expert_solves_every_family_and_the_floor_does_not(self, env: Agentic) -> None:
        expert, floor = AgenticExpert(env), RandomFloor(env)
        ends = [play(env, expert, index) for index in range(24)]
        assert {end.question.extra["family"] for end in ends} == set(KNOBS)
        assert [end.reward for end in ends] == [1.0] * 24
        called = {call.call.name for end in ends for turn in end.turns for call in turn.calls}
        assert called == {"search", "image_zoom_in"}
        guesses = [play(env, floor, index) for index in range(60)]
        assert sum(end.reward for end in guesses) < 20
        assert not any(turn.calls for end in guesses for turn in end.turns)

    @pytest.mark.parametrize("name", FAMILIES)
    def test_each_family_has_agents_that_play_it(self, name: str, corpus: str) -> None:
        only = {"families": name, "family_knobs": {name: KNOBS.get(name, {})}, "split": "test", "held_out": 9}
        # What the library must be for a family, its own knobs say.
        env = Agentic(**only, search=None if name == "multi_hop_search" else corpus, view_size=112)
        assert [play(env, AgenticExpert(env), index).reward for index in range(2)] == [1.0, 1.0]
        assert play(env, RandomFloor(env), 0).stop is StopReason.ANSWERED

    def test_what_one_family_measures_is_measured_in_python(self, corpus: str) -> None:
        knobs = {"perception_qa": {"kinds": ("attribute", "distance"), "boards": 5}}
        env = Agentic(families=tuple(knobs), family_knobs=knobs, split="test", search=corpus, view_size=112)
        ends = [play(env, AgenticExpert(env), index) for index in range(5)]
        assert [end.reward for end in ends] == [1.0] * 5
        codes = [call.call.arguments for end in ends for turn in end.turns for call in turn.calls]
        assert any("getpixel" in code for code in codes)
        assert any("math.dist" in code for code in codes)

    def test_the_family_that_computes_shares_the_interpreter(self, corpus: str) -> None:
        env = Agentic(families="python_reasoning", search=corpus, view_size=112)
        assert env.families["python_reasoning"].tools[0] is env.tools[0]

    def test_answers_are_put_into_a_box_and_calls_left_as_they_are(self) -> None:
        assert boxed("<think>so</think><answer>5</answer>") == "<think>so</think><answer>\\boxed{5}</answer>"
        assert boxed("<answer>5</answer>") == "<answer>\\boxed{5}</answer>"
        call = f"<think>so</think>{call_turn('python', {'code': '<answer>5</answer>'})}"
        assert boxed(call) == call


TURNS = (
    call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 500], "label": "sign"}),
    call_turn("python", {"code": "seen = globals().get('seen', 0) + len(_pil_images); seen"}),
    call_turn("python", {"code": "[image.rotate(90).show() for image in _pil_images[-1:]];"}),
    call_turn("search", {"query": "Bern"}),
    call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 500], "img_idx": 1}),
)


@settings(max_examples=5, deadline=None)
@given(
    index=st.integers(0, 20),
    before=st.lists(st.sampled_from(TURNS), max_size=1),
    futures=st.lists(st.sampled_from(TURNS), min_size=2, max_size=3),
)
def test_branches_see_their_own_images(env: Agentic, index: int, before: list[str], futures: list[str]) -> None:
    state = env.begin(env.questions.question(index), seed=index)
    for turn in before:
        state = env.advance(state, turn).state
    moment = env.snapshot_of(state)
    ends = [env.advance(state, turn).state for turn in futures]
    again = Snapshot.from_bytes(moment.to_bytes()).state
    assert [env.advance(again, turn).state.digest for turn in futures] == [end.digest for end in ends]
    look = call_turn("python", {"code": "[image.size for image in _pil_images]"})
    for end in ends:
        (record,) = env.advance(end, look).state.turns[-1].calls
        assert record.result.status is ToolStatus.OK
        assert record.result.content == (f"{[tuple(image.size) for image in episode_images(end)]}\n",)


class TestRows:
    def test_of_ones_own_are_asked_with_the_same_tools(self, corpus: str) -> None:
        rows = [{**ROWS[0], "answer": "5", "images": [np.full((8, 8, 3), 128, np.uint8)]}]
        env = Agentic(questions=rows, search=corpus, reward="numeric")
        state = env.begin(env.questions.question(0))
        state = env.advance(state, call_turn("python", {"code": "_pil_images[0].size"})).state
        assert "(8, 8)" in str(state.turns[0].observation[0])
        assert env.advance(state, "<answer>\\boxed{5.0}</answer>").state.terms[0].name == "numeric"
        assert env.families == {}
        with pytest.raises(ValueError, match="one of the user's own"):
            env.origin_of(env.questions.question(0))

    def test_may_have_splits(self, corpus: str) -> None:
        rows = [{**ROWS[0], "id": split, "split": split} for split in ("train", "test")]
        assert Agentic(questions=rows, search=corpus, split="test").questions.question(0).id == "test"
        assert Agentic(questions=rows, search=corpus).questions.question(0).id == "train"


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        ({"families": "visual_zom"}, "families must be some of multi_hop_search, .*visual_zoom.*; got 'visual_zom'"),
        ({"families": {}}, "families must be some of .*; got none"),
        ({"families": 3}, "families must be names, or a mapping"),
        ({"families": {"visual_zoom": 0}}, "expected a positive weight for visual_zoom; got 0"),
        ({"families": {"visual_zoom": True}}, "expected a positive weight"),
        ({"families": {"visual_zoom": 1e308, "multi_hop_search": 1e308}}, "a weight of at most"),
        ({"families": {"visual_zoom": 10**400}}, "a weight of at most"),
        ({"families": [["visual_zoom"]]}, "families must be some of"),
        ({"families": "visual_zoom", "family_knobs": {"multi_hop_search": {}}}, "expected some of visual_zoom; got"),
        ({"families": "visual_zoom", "family_knobs": {"visual_zoom": 5}}, "a mapping of knobs for visual_zoom"),
        ({"families": "visual_zoom", "family_knobs": 5}, "family_knobs must be a mapping"),
        (
            {"families": "visual_zoom", "family_knobs": {"visual_zoom": {"view_size": 9}}},
            "view_size is the mixture's own",
        ),
        (
            {"families": "visual_zoom", "family_knobs": {"visual_zoom": {"colour": 1}}},
            "VisualZoom has no setting 'colour'",
        ),
        ({"reward": "numeric"}, "reward is that of questions of your own"),
        ({"questions": ROWS}, "questions of your own need search"),
        ({"questions": ROWS, "search": "x.jsonl", "families": "visual_zoom"}, "families or questions of your own"),
        ({"questions": ROWS, "search": "missing.jsonl"}, "cannot read the corpus"),
        ({"families": "visual_zoom", "search": "elastic"}, "search: expected 'bm25'"),
        ({"split": "dev"}, "split must be one of"),
        ({"max_turns": -1}, "max_turns must be an integer from 0"),
        ({"colour": 1}, "Agentic has no setting 'colour'"),
    ],
)
def test_unusable_settings_are_told(knobs: dict[str, Any], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        Agentic(**knobs)
