from __future__ import annotations

import numpy as np
import pytest

from axpo.settings.config import ConfigError
from axpo.settings.sft import TRAJECTORIES, SftConfig, StageConfig, TrajectoryConfig
from axpo.sft import lessons
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons import make_lesson, register_lessons
from axpo.sft.lessons._locate_and_read import LocateAndRead
from axpo.sft.lessons._question_pool import QuestionPool
from axpo.sft.lessons._trajectories import Trajectories
from axpo_envs.env import ToolEnv
from axpo_envs.questions.sources import ListQuestions
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.suite.visual_zoom.expert import box_around, reading_turn, zoom_turn
from axpo_envs.suite.visual_zoom.questions import asked_colour, favourites
from axpo_envs.types import Question


@pytest.fixture(scope="module")
def env() -> VisualZoom:
    return VisualZoom(image_size=192)


def trajectories(env: VisualZoom, **mixture: float) -> Trajectories:
    return Trajectories(env, TrajectoryConfig(**mixture), seed=3, questions=20, uses=4)


def test_a_question_is_handed_out_as_often_as_it_may_be_used() -> None:
    source = ListQuestions([Question(id=str(i), prompt=("?",), answer="a") for i in range(1000)])
    pool = QuestionPool(source, np.random.default_rng(0), size=5, uses=3)
    drawn = [pool.draw().id for _ in range(300)]
    counts = {name: drawn.count(name) for name in set(drawn)}
    assert max(counts.values()) == 3
    # All but the five still in the pool have been used up.
    assert sum(count == 3 for count in counts.values()) >= len(counts) - 5


def test_a_finite_source_is_gone_through_again() -> None:
    source = ListQuestions([Question(id=str(i), prompt=("?",), answer="a") for i in range(3)])
    pool = QuestionPool(source, np.random.default_rng(0), size=1, uses=1)
    assert [pool.draw().id for _ in range(7)] == ["0", "1", "2", "0", "1", "2", "0"]


def test_the_dense_lesson_tells_every_sign_s_place_and_the_montage_s_characters(env: VisualZoom) -> None:
    lesson = LocateAndRead(env, seed=1, questions=8, uses=2)
    (demonstration,) = lesson.draw(1)
    places, readings = demonstration.turns
    scene = env.scene_of(demonstration.start.question)
    told = [stretch.text for stretch in places.stretches if stretch.weight > 0]
    colours = [stretch.text.partition('"')[0] for stretch in places.stretches if "bbox_2d" in stretch.text]
    assert sorted(colours) == sorted(sign.colour for sign in scene.signs)
    for index, colour in enumerate(colours):
        left, top, _, _ = box_around(scene, scene.sign(colour))
        assert told[2 * index : 2 * index + 2] == [str(left), str(top)]
    assert places.observation[1].pixels.shape == (64, 64, 3)  # type: ignore[union-attr]
    assert sum(stretch.weight > 0 for stretch in readings.stretches) == 4


def test_the_words_of_the_dense_lesson_are_those_of_calls_and_readings(env: VisualZoom) -> None:
    lesson = LocateAndRead(env, seed=1, questions=8, uses=2)
    (demonstration,) = lesson.draw(1)
    places, readings = demonstration.turns
    opening, left, comma, top = (stretch.text for stretch in places.stretches[:4])
    colour = opening.partition('"')[0]
    assert opening + left + comma + top in zoom_turn(colour, (int(left), int(top), 0, 0))
    before, character = (stretch.text for stretch in readings.stretches[:2])
    assert before + character in reading_turn(before.split()[1], character)


def test_the_mixture_holds_its_share_of_calls(env: VisualZoom) -> None:
    for share, low, high in ((0.0, 0, 0), (1.0, 60, 60), (0.3, 6, 30)):
        drawn = trajectories(env, tool_share=share).draw(60)
        assert low <= sum(len(demonstration.turns) == 2 for demonstration in drawn) <= high


def test_readings_of_a_crop_without_the_sign_are_wrong_and_weigh_little(env: VisualZoom) -> None:
    lesson = trajectories(env, tool_share=1.0, box_noise=400.0, bad_crop_weight=0.2)
    drawn = lesson.draw(60)
    light = [d for d in drawn if d.turns[1].stretches[0].weight == 0.2]
    full = [d for d in drawn if d.turns[1].stretches[0].weight == 1.0]
    assert len(light) + len(full) == 60
    assert len(light) > 20
    assert all(d.turns[0].stretches[0].weight == 1.0 for d in drawn)
    assert all(d.turns[1].text.endswith(f"<answer>{d.start.question.answer}</answer>") for d in full)
    right = sum(d.turns[1].text.endswith(f"<answer>{d.start.question.answer}</answer>") for d in light)
    assert right <= len(light) // 3


def test_questions_that_are_zoomed_into_seldom_carry_the_favourite(env: VisualZoom) -> None:
    table = favourites("0123456789")
    drawn = trajectories(env, tool_share=1.0, tool_guess_rate=0.0).draw(40)
    assert all(d.start.question.answer != table[asked_colour(d.start.question)] for d in drawn)


def test_a_lesson_made_anew_draws_the_same(env: VisualZoom) -> None:
    assert trajectories(env).draw(12) == trajectories(env).draw(12)
    dense = [LocateAndRead(env, seed=5, questions=6, uses=2).draw(3) for _ in range(2)]
    assert dense[0] == dense[1]


def test_environments_without_an_expert_are_refused() -> None:
    spec = ToolEnvSpec(
        env_id="x/X-v0",
        questions=ListQuestions([Question(id="0", prompt=("?",), answer="a")]),
        tools=(),
        reward=ExactMatch(),
    )
    with pytest.raises(ConfigError, match=r"lessons are known for VisualZoom, .*PythonReasoning; got x/X-v0"):
        make_lesson(StageConfig(lesson=TRAJECTORIES), SftConfig(env="x/X-v0"), ToolEnv(spec), seed=0)


def test_an_environment_from_outside_brings_lessons_of_its_own(
    env: VisualZoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(VisualZoom):
        pass

    monkeypatch.setattr(lessons, "_LESSONS", {})

    def mine(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
        assert isinstance(env, Mine)
        return Trajectories(env, stage.trajectories, seed=seed, questions=4, uses=1)

    register_lessons(Mine, {"mine": mine})
    own = Mine(image_size=128, view_size=32)
    assert len(make_lesson(StageConfig(lesson="mine"), SftConfig(), own, seed=0).draw(2)) == 2
    with pytest.raises(ConfigError, match=r"expected one of mine, demonstrations in .*; got 'yours'"):
        make_lesson(StageConfig(lesson="yours"), SftConfig(), own, seed=0)
    with pytest.raises(ConfigError, match="lessons are known for Mine"):
        make_lesson(StageConfig(lesson="mine"), SftConfig(), env, seed=0)
