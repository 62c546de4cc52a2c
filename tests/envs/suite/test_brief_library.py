"""Tests of brief libraries: MultiHopSearch as the embedded policy `tiny-search` meets it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axpo_agents import roll_agent
from axpo_envs import EnvConfigError
from axpo_envs.suite.multi_hop_search import MultiHopSearch
from axpo_envs.suite.multi_hop_search.brief_expert import BriefExpert, SearchStyle
from axpo_envs.suite.multi_hop_search.shuffled import ShuffledLibrary, shown
from axpo_envs.testing import check_tool_env

SIZE = 1000
ANSWERS = ("currency", "continent", "quadrant")


def library(**knobs: Any) -> MultiHopSearch:
    given = {"documents": "brief", "corpus_size": SIZE, "hops": 2, "kinds": "bridge", "top_k": 1, "answers": ANSWERS}
    return MultiHopSearch(**{**given, **knobs})


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def env(cache: Path) -> MultiHopSearch:
    return library(guess_rate=0.6, split="validation")


def success(env: MultiHopSearch, style: SearchStyle, episodes: int = 120) -> float:
    starts = [env.begin(env.questions.question(index), seed=index) for index in range(episodes)]
    return sum(rollout.reward for rollout in roll_agent(BriefExpert(env, style, seed=1), env, starts)) / episodes


def test_it_conforms_to_the_contract_of_tool_environments(cache: Path) -> None:
    check_tool_env(lambda: library(guess_rate=0.6))


def test_documents_hold_two_to_four_facts_and_nothing_else(env: MultiHopSearch) -> None:
    paris = env.backend.search("Paris country", 1)[0].document
    assert paris.text == "Paris country: France. Paris quadrant: north-east."
    france = env.backend.search("France currency", 1)[0].document
    assert france.text == (
        "France code: FRA. France capital: Paris. France currency: Euro (EUR). France continent: Europe."
    )


def test_every_later_document_is_found_by_what_the_one_before_told(env: MultiHopSearch) -> None:
    assert success(env, SearchStyle()) >= 0.98


def test_guessing_succeeds_as_often_as_the_setting_says_and_every_sort_of_answer_is_asked_for(
    env: MultiHopSearch,
) -> None:
    questions = [env.questions.question(index) for index in range(300)]
    favoured = [question.answer == env.favourites[question.extra["relation"]] for question in questions]
    assert sum(favoured) / 300 == pytest.approx(0.6, abs=0.08)
    assert min(Counter(question.extra["relation"] for question in questions).values()) > 70
    assert success(env, SearchStyle(tool_rate=0.0)) == pytest.approx(0.6, abs=0.12)


def test_slips_and_early_stops_make_searching_fail(env: MultiHopSearch) -> None:
    assert success(env, SearchStyle(stop_rate=1.0)) < 0.2
    slipping = success(env, SearchStyle(slip_rate=1.0))
    assert slipping < 0.4
    assert slipping < success(env, SearchStyle(slip_rate=0.5)) < 0.9


def test_an_expert_that_slipped_answers_what_the_wrong_document_tells(env: MultiHopSearch) -> None:
    expert = BriefExpert(env, SearchStyle(slip_rate=1.0), seed=3)
    starts = [env.begin(env.questions.question(index)) for index in range(60)]
    for rollout in roll_agent(expert, env, starts):
        *_, search, answer = rollout.episode.turns
        shown_last = " ".join(part for part in search.observation if isinstance(part, str))
        relation = env.plan_of(rollout.episode.question).relation
        if f" {relation}: " in shown_last:
            assert f" {relation}: {answer.answer}." in shown_last


def test_a_shuffled_library_asks_of_all_names_and_tells_what_is_not_true(env: MultiHopSearch) -> None:
    dealt = ShuffledLibrary(env, seed=0)
    plans = [dealt.draw() for _ in range(200)]
    true = 0
    for plan in plans:
        first, last = plan.hops
        assert first.key in plan.text
        assert last.entity.title in (first.fact.value, f"{first.fact.value} (country)")
        assert f"{plan.relation}: {plan.answer}." in shown(last.entity)
        true += env.graph.entities[first.entity.id].fact(first.fact.relation) == first.fact
    assert true < 20
    splits = {env.graph.entities[plan.hops[0].entity.id].split for plan in plans}
    assert len(splits) == 3


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"guess_rate": 0.5, "answers": None}, "guess_rate=0.5 needs answers"),
        ({"guess_rate": 1.5}, "guess_rate must be a number from 0 to 1"),
        ({"answers": ("colour",)}, "answers must be some of"),
        ({"hops": 3}, "holds no bridge question of 3 hops"),
    ],
)
def test_unusable_settings_are_told(knobs: dict[str, Any], message: str, cache: Path) -> None:
    with pytest.raises(EnvConfigError, match=message):
        library(**knobs)


def test_shuffling_needs_a_brief_library(cache: Path) -> None:
    plain = MultiHopSearch(corpus_size=60, hops=2, kinds="bridge")
    with pytest.raises(ValueError, match="expected documents='brief' and answers"):
        ShuffledLibrary(plain, seed=0)


def test_without_the_new_knobs_questions_are_what_they_were(cache: Path) -> None:
    plain = MultiHopSearch(corpus_size=60, hops=2, kinds="bridge", documents="short")
    assert plain.questions.fingerprint == "hops-1/train/e08dafad41aee9eb"
    text = "What is the time zone of the city that the airport whose ICAO code is EBAW serves?"
    assert plain.questions.question(0).text == text
