"""Tests of the lessons of MultiHopSearch, PythonReasoning and Desk, and of the vocabularies that read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axpo.settings.config import ConfigError
from axpo.settings.sft import COMPUTATIONS, DESK_WORK, LOOKUPS, SEARCHES, MixtureConfig, SftConfig, StageConfig
from axpo.sft._demonstrations import Demonstration, Lesson, encode
from axpo.sft.lessons import make_lesson
from axpo_agents.tiny import Tiny, save_random_tiny, tiny_named
from axpo_agents.tiny.search_vocabulary import LIBRARY
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.suite.desk import Desk
from axpo_envs.suite.multi_hop_search import MultiHopSearch
from axpo_envs.suite.python_reasoning import PythonReasoning


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def library(cache: None) -> MultiHopSearch:
    answers = ("currency", "continent", "quadrant")
    knobs: dict[str, Any] = {"documents": "brief", "corpus_size": LIBRARY, "hops": 2, "kinds": "bridge", "top_k": 1}
    return MultiHopSearch(**knobs, answers=answers, guess_rate=0.6)


@pytest.fixture(scope="module")
def sums() -> PythonReasoning:
    return PythonReasoning(source="written", python="expressions", guess_rate=0.6)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(desk="brief")


def lesson(name: str, env: MultiHopSearch | PythonReasoning | Desk, **mixture: float) -> Lesson:
    return make_lesson(StageConfig(lesson=name, mixture=MixtureConfig(**mixture)), SftConfig(), env, seed=3)


def made_up(drawn: list[Demonstration]) -> list[Demonstration]:
    return [one for one in drawn if one.turns[-1].stretches[-1].weight < 1]


def test_lookups_read_each_name_and_the_answer_off_what_was_shown_before(library: MultiHopSearch) -> None:
    for one in lesson(LOOKUPS, library).draw(40):
        first, second, answer = one.turns
        told, last = (" ".join(map(str, turn.observation)) for turn in (first, second))
        subject = second.text.partition('"query": "')[2].partition('"')[0].rpartition(" ")[0]
        assert f": {subject}." in told
        assert f": {one.start.question.answer}." in last
        assert answer.text.endswith(f"<answer>{one.start.question.answer}</answer>")


def test_the_mixture_of_searches_holds_its_shares(library: MultiHopSearch) -> None:
    drawn = lesson(SEARCHES, library, tool_share=0.0).draw(30)
    assert {len(one.turns) for one in drawn} == {1}
    drawn = lesson(SEARCHES, library, tool_share=1.0, slip_rate=0.0, stop_rate=0.0).draw(30)
    assert {len(one.turns) for one in drawn} == {3}
    assert not made_up(drawn)
    drawn = lesson(SEARCHES, library, tool_share=1.0, slip_rate=0.0, stop_rate=1.0, made_up_weight=0.25).draw(30)
    assert {len(one.turns) for one in drawn} == {2}
    assert {one.turns[-1].stretches[-1].weight for one in made_up(drawn)} == {0.25}


def test_what_a_wrong_document_tells_is_learned_at_full_weight_and_what_none_tells_lightly(
    library: MultiHopSearch,
) -> None:
    drawn = lesson(SEARCHES, library, tool_share=1.0, slip_rate=1.0, stop_rate=0.0).draw(60)
    for one in drawn:
        *_, search, answer = one.turns
        told = answer.text.partition("<answer>")[2].partition("</answer>")[0]
        assert (answer.stretches[0].weight == 1.0) is (f": {told}." in " ".join(map(str, search.observation)))
    assert 0 < len(made_up(drawn)) < 60


def test_the_mixture_of_computations_holds_its_shares(sums: PythonReasoning) -> None:
    drawn = lesson(COMPUTATIONS, sums, tool_share=0.0, favourite_share=1.0).draw(30)
    assert {len(one.turns) for one in drawn} == {1}
    right = lesson(COMPUTATIONS, sums, tool_share=1.0, slip_rate=0.0).draw(30)
    assert all(one.turns[0].observation == (f"{one.start.question.answer}\n",) for one in right)
    wrong = lesson(COMPUTATIONS, sums, tool_share=1.0, slip_rate=1.0).draw(60)
    assert sum(one.turns[0].observation == (f"{one.start.question.answer}\n",) for one in wrong) < 20


def test_the_mixture_of_desk_work_holds_its_shares(desk: Desk) -> None:
    drawn = lesson(DESK_WORK, desk, tool_share=0.0).draw(30)
    assert {one.turns[0].text.partition("<answer>")[2] for one in drawn} == {"declined</answer>", "open</answer>"}
    drawn = lesson(DESK_WORK, desk, tool_share=1.0, slip_rate=0.0, heedless_rate=1.0).draw(30)
    dealt = [one for one in drawn if one.start.question.text.startswith("Deal")]
    assert {len(one.turns) for one in dealt} == {3}
    assert all(
        f" for '{one.start.question.text[17:-1]}'" in "".join(map(str, one.turns[1].observation)) for one in dealt
    )
    with pytest.raises(ConfigError, match="expected desk=brief"):
        lesson(DESK_WORK, Desk())


def test_lessons_are_drawn_again_by_their_seed(library: MultiHopSearch, sums: PythonReasoning, desk: Desk) -> None:
    for name, env in ((LOOKUPS, library), (SEARCHES, library), (COMPUTATIONS, sums), (DESK_WORK, desk)):
        assert lesson(name, env).draw(6) == lesson(name, env).draw(6)


@pytest.mark.parametrize("model", [Tiny.SEARCH, Tiny.PYTHON, Tiny.DESK])
def test_the_vocabulary_covers_what_a_lesson_shows(
    model: Tiny, library: MultiHopSearch, sums: PythonReasoning, desk: Desk, tmp_path: Path
) -> None:
    policy: TransformersPolicy = load_policy(str(save_random_tiny(tmp_path, model=model)))
    shown = {
        Tiny.SEARCH: (library, (LOOKUPS, SEARCHES)),
        Tiny.PYTHON: (sums, (COMPUTATIONS,)),
        Tiny.DESK: (desk, (DESK_WORK,)),
    }
    env, names = shown[model]
    for name in names:
        for one in lesson(name, env, tool_share=0.7).draw(30):
            ids = encode(one, env, policy).sequence.ids
            assert policy.tokenizer.unk_token_id not in ids
            assert len(ids) < 140
            if model is Tiny.SEARCH:
                words = [policy.tokenizer.decode([token]) for token in ids]
                assert {word for word in words if len(word) == 1} <= {"\n", ".", "?"}


def test_names_of_embedded_policies_are_known() -> None:
    assert tiny_named("tiny-search-random") is Tiny.SEARCH
    assert tiny_named("tiny") is Tiny.ZOOM
    assert tiny_named("tiny-huge") is None
    assert tiny_named("Qwen/Qwen3-VL-2B-Thinking") is None
