"""Every benchmark is an environment: made by its name, played, rewound, scored by its own rules, trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import axpo_benchmarks
from axpo.run.environments import make_worlds
from axpo_benchmarks.environment import BenchmarkEnv, GuardedImageSearch, GuardedSearch, sites_of
from axpo_benchmarks.loaders import BENCHMARKS, find_benchmark
from axpo_benchmarks.testing import write_layouts
from axpo_envs import EnvConfigError, ToolResult, call_turn
from axpo_envs.backends.image_search import FoundImage
from axpo_envs.backends.search import Document, Hit
from axpo_envs.testing import check_tool_env
from axpo_envs.tool.protocol import Effects
from axpo_envs.tools import tool


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_layouts(tmp_path_factory.mktemp("layouts"))


def made(name: str, homes: dict[str, Path], **knobs: Any) -> BenchmarkEnv:
    home = homes[find_benchmark(name).name]
    env = gymnasium.make("axpo/Benchmark-v0", name=name, path=str(home), **{"tools": "image_zoom_in", **knobs})
    assert isinstance(env.unwrapped, BenchmarkEnv)
    return env.unwrapped


@tool
def look(place: str) -> ToolResult:
    """Looks at a place.

    Args:
        place: where.
    """
    return ToolResult(content=(f"nothing at {place}",))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_scores_the_right_answer_and_a_wrong_one(name: str, homes: dict[str, Path]) -> None:
    env = made(name, homes)
    for index in range(env.asked.size):
        env.reset(seed=0, options={"index": index})
        moment, gold = env.snapshot(), env.state.question.answer
        _, reward, terminated, truncated, info = env.step(f"<think>Hm.</think><answer>\\boxed{{{gold}}}</answer>")
        assert (reward, terminated, truncated) == (1.0, True, False)
        assert info["terms"] == {"score": 1.0}
        env.restore(moment)
        assert env.step("<answer>\\boxed{nowhere}</answer>")[1] == 0.0
        env.restore(moment)
        env.step(call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 500], "label": "sign"}))
        # An answer without tags ends the episode, too, and is scored.
        assert env.step(f"The answer is {gold}")[1] == 1.0


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("vstar", "v-star"),
        ("V*", "v-star"),
        ("vstar_bench", "v-star"),
        ("HR-Bench 4K", "hr-bench-4k"),
        ("hr_bench_8k", "hr-bench-8k"),
        ("VisualProbe", "visual-probe"),
        ("MathVR", "math-vr"),
        ("HRMMSearch", "hr-mmsearch"),
    ],
)
def test_a_benchmark_is_found_however_it_is_spelled(spelled: str, name: str) -> None:
    assert find_benchmark(spelled) is BENCHMARKS[name]


def test_other_names_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(EnvConfigError, match=r"out of mathvision, .*; got 'mathvisio'"):
        find_benchmark("mathvisio")


def test_it_keeps_the_contract_of_tool_environments(homes: dict[str, Path]) -> None:
    check_tool_env(lambda: made("vstar", homes), seeds=(0,), fuzz=2)


def test_naming_the_package_registers_it_and_doing_so_again_changes_nothing(homes: dict[str, Path]) -> None:
    spec = gymnasium.spec("axpo/Benchmark-v0")
    axpo_benchmarks.register_envs()
    assert gymnasium.spec("axpo/Benchmark-v0") is spec
    named = "axpo_benchmarks:axpo/Benchmark-v0"
    assert gymnasium.make(named, name="vstar", path=str(homes["v-star"])).unwrapped.spec is not None


def test_a_cut_turn_and_a_call_too_many_are_worth_nothing_whatever_they_hold(homes: dict[str, Path]) -> None:
    env = made("vstar", homes, max_turns=0)
    state = env.begin(env.questions.question(0))
    assert env.advance(state, "<answer>A</answer>", cut_off=False).reward == 1.0
    assert env.advance(state, "<answer>A</answer>", cut_off=True).reward == 0.0
    last = env.advance(state, "<answer>A</answer>" + call_turn("image_zoom_in", {}))
    assert (last.reward, last.truncated) == (0.0, True)
    verdict = env.scoring.verdict(state.question, "<answer>A</answer>", last.state.stop)
    assert (verdict.outcome, verdict.reason) == ("unparsable", "there is no answer")


def test_a_kind_of_benchmark_has_its_tools_and_any_other_can_be_given(homes: dict[str, Path]) -> None:
    def names(name: str, **knobs: Any) -> list[str]:
        return [one.name for one in made(name, homes, **knobs).tools]

    assert names("vstar", tools=None) == ["image_zoom_in"]
    assert names("vstar", tools="none") == []
    assert names("vstar", tools=[look, "image_zoom_in"]) == ["look", "image_zoom_in"]
    corpus = homes["v-star"] / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "a", "contents": "Title\nbody"}), encoding="utf-8")
    assert names("mmsearch", tools=None, search=str(corpus)) == ["image_zoom_in", "search"]
    with pytest.raises(EnvConfigError, match="the tool search needs search, what is searched"):
        names("mmsearch", tools=["search"])
    with pytest.raises(EnvConfigError, match="is what the tool search asks; tools are 'image_zoom_in'"):
        names("mmsearch", search=str(corpus))


def test_the_rules_say_which_tools_there_are_and_where_the_answer_stands(homes: dict[str, Path]) -> None:
    assert "call tools (image_zoom_in), or none, in up to 5 turns" in made("vstar", homes).instructions
    assert made("vstar", homes, tools="none").instructions == (
        "Answer the question. When you know the answer, or have to guess, write it alone in a box between answer "
        "tags: <answer>\\boxed{...}</answer>"
    )


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        ({"name": "vstar"}, "Benchmark needs path"),
        ({"path": "x"}, "Benchmark needs name"),
        ({"name": "vstar", "path": "x", "slices": "y"}, "Benchmark has no setting 'slices'"),
        ({"name": "vstar", "path": "x", "max_turns": -1}, "max_turns must be an integer from 0"),
    ],
)
def test_unusable_settings_are_named(knobs: dict[str, Any], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        BenchmarkEnv(**knobs)


def test_it_is_trained_on_by_its_id_alone_with_questions_set_aside(homes: dict[str, Path]) -> None:
    arguments = ("name=vstar", f"path={homes['v-star']}", "tools=none")
    worlds = make_worlds("axpo/Benchmark-v0", arguments, split="held_out")
    assert (worlds.training.questions.size, worlds.held_out.questions.size) == (1, 1)


class Pages:
    """A search that finds three pages."""

    fingerprint, effects, opens = "pages", Effects.PURE, True
    asked: tuple[int, ...] = ()

    def check(self) -> None:
        """Fine."""

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        self.asked += (top_k,)
        pages = ("https://huggingface.co/datasets/x", "https://cdn.hf.co/y", "https://github.com/CaraJ7/MMSearch")
        more = ("https://github.com/others", "https://example.org/huggingface.co", "not a site")
        return tuple(Hit(document=Document(id=page, text="t")) for page in (*pages, *more))[:top_k]

    def open(self, id: str) -> Document | None:
        return Document(id=id, text="t")


def test_searches_find_nothing_where_the_benchmark_is_published() -> None:
    pages = Pages()
    guarded = GuardedSearch(backend=pages, sites=sites_of(BENCHMARKS["mmsearch"]))
    found = [hit.document.id for hit in guarded.search("q", 2)]
    assert found == ["https://github.com/others", "https://example.org/huggingface.co"]
    # As many as were asked for, from a second search that asked for more.
    assert pages.asked == (2, 12)
    assert guarded.open("https://huggingface.co/datasets/x") is None
    assert guarded.open("https://example.org") is not None
    assert guarded.fingerprint != pages.fingerprint


def test_image_searches_do_not_either() -> None:
    class Images:
        fingerprint, effects = "images", Effects.PURE

        def check(self) -> None:
            """Fine."""

        def search(self, image: Any, top_k: int) -> tuple[FoundImage, ...]:
            pages = ("https://mmsearch.github.io/a", "", "b.org")
            return tuple(FoundImage(caption="", page=page) for page in pages)[:top_k]

    guarded = GuardedImageSearch(backend=Images(), sites=sites_of(BENCHMARKS["mmsearch"]))
    assert [found.page for found in guarded.search(None, 2)] == ["", "b.org"]  # type: ignore[arg-type]


def test_a_question_that_was_asked_stays_decoded(homes: dict[str, Path]) -> None:
    source = BENCHMARKS["v-star"].source(homes["v-star"])
    assert source.question(0) is source.question(0)
    outline, images = source.outline(0)
    assert (outline.text, outline.options, images) == (source.question(0).text, source.question(0).options, 1)
    assert (source.part(0), source.part(1)) == ("direct_attributes", "relative_position")
