"""Figures of evaluations, computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from axpo.diagnostics.estimates import Estimate
from axpo.records.evaluation_records import AskedQuestion, EvaluatedRollout, Judged, SaidTurn
from axpo_benchmarks.harness._figures import (
    acting,
    all_right,
    by_question,
    categories,
    cost,
    judging,
    mean_of,
    paired,
    success,
)
from axpo_benchmarks.harness._published import PUBLISHED
from axpo_envs.types import StopReason


def question(name: str, cluster: str | None = None, **kinds: str) -> AskedQuestion:
    return AskedQuestion(
        id=name, part="p", cluster=cluster or name, kinds=kinds, text="?", images=0, answer="1", extra={}
    )


def made(name: str, *rights: int, score: float | None = None, tokens: int | None = 10) -> list[EvaluatedRollout]:
    return [
        EvaluatedRollout(
            question=name,
            sample=sample,
            stop=StopReason.ANSWERED,
            turns=(SaidTurn(text="x"),),
            judged=Judged(
                outcome="right" if right else "wrong",
                reason="",
                score=float(right) if score is None else score * (sample + 1),
                cut=False,
            ),
            written=tokens,
            read=tokens,
            reread=0,
            seconds=1.0,
        )
        for sample, right in enumerate(rights)
    ]


def value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def test_pass_at_k_is_unbiased_and_any_of_four_takes_the_first_four() -> None:
    groups = by_question([*made("a", 0, 0, 0, 0, 1, 1), *made("b", 1, 0, 0, 0), *made("c", 1, 1)])
    found = success([question("a"), question("b"), question("c"), question("lost")], groups)
    assert value(found["pass1"]) == pytest.approx((2 / 6 + 1 / 4 + 1) / 3)
    # Of six samples four are drawn: 1 - C(4, 4) / C(6, 4); c has too few, and the lost question none.
    assert value(found["pass4"]) == pytest.approx((1 - 1 / 15 + 1) / 2)
    assert value(found["any_of_4"]) == pytest.approx((0 + 1) / 2)


def test_graded_scores_have_a_mean_and_a_best_of_four() -> None:
    found = success([question("a")], by_question(made("a", 0, 0, 0, 0, score=0.2)))
    assert value(found["score"]) == pytest.approx(0.5)
    assert value(found["best_of_4_score"]) == pytest.approx(0.8)
    assert value(found["pass1"]) == 0.0


def test_rates_without_anything_to_count_are_undefined() -> None:
    found = acting([question("a")], by_question(made("a", 1, 0)))
    assert value(found["tool_attempt_rate"]) == 0.0
    assert (found["tool_call_valid_rate"], found["tool_pass1"]) == (None, None)
    assert value(found["no_tool_pass1"]) == 0.5


def test_costs_are_undefined_where_nobody_tells_tokens() -> None:
    told = cost([question("a")], by_question(made("a", 1, 0, tokens=10)))
    assert (value(told["tokens_written"]), value(told["tokens_written_per_right"])) == (10.0, 20.0)
    silent = cost([question("a")], by_question(made("a", 1, 0, tokens=None)))
    assert (silent["tokens_written"], silent["tokens_written_per_right"]) == (None, None)


def test_two_arms_are_paired_rollout_by_rollout() -> None:
    questions = [question("a"), question("b")]
    more = by_question([*made("a", 1, 1, 0), *made("b", 0, 0)])
    less = by_question([*made("a", 0, 1, 1), *made("b", 1)])
    found = paired(questions, more, less, prefix="tool")
    # a: gained, equal, harmed; b: harmed, and one without a pair.
    assert value(found["tool_gain"]) == 1 / 4
    assert value(found["tool_harm"]) == 2 / 4
    assert value(found["tool_effect"]) == -1 / 4


def test_a_cluster_is_right_where_all_its_questions_are_in_one_rollout_number() -> None:
    questions = [question("a0", "a"), question("a1", "a"), question("b0", "b")]
    groups = by_question([*made("a0", 1, 1, 0), *made("a1", 1, 0), *made("b0", 1)])
    assert value(all_right(questions, groups, size=2)) == 1 / 2
    assert value(all_right(questions, groups)) == 2 / 3


def test_hr_bench_means_categories_over_cycles_whatever_their_sizes() -> None:
    questions = [
        question(f"{group}{cycle}", group, category="single" if group == "a" else "cross", cycle_category=str(cycle))
        for group in "abc"
        for cycle in range(4)
    ]
    rights = {
        "a0": 1,
        "a1": 1,
        "a2": 1,
        "a3": 1,
        "b0": 1,
        "b1": 0,
        "b2": 0,
        "b3": 0,
        "c0": 0,
        "c1": 0,
        "c2": 0,
        "c3": 1,
    }
    found = PUBLISHED["hr-bench-4k"](questions, by_question(one for name, r in rights.items() for one in made(name, r)))
    # single: 1; cross: cycles 1/2, 0, 0, 1/2 have the mean 1/4.
    assert value(found["accuracy"]) == pytest.approx((1 + 1 / 4) / 2)
    assert value(found["all_cycles"]) == pytest.approx(1 / 3)


def test_dynamath_has_a_worst_case_over_variants_alone() -> None:
    several = [question(f"{seed}/{variant}", seed) for seed in "ab" for variant in (1, 2)]
    groups = by_question([*made("a/1", 1), *made("a/2", 1), *made("b/1", 1), *made("b/2", 0)])
    found = PUBLISHED["dynamath"](several, groups)
    assert (value(found["average"]), value(found["worst_case"])) == (3 / 4, 1 / 2)
    assert PUBLISHED["dynamath"](several[::2], groups)["worst_case"] is None


def test_mmsearch_weighs_its_stages_where_all_of_them_were_asked() -> None:
    stages = {"a": "end2end", "b": "requery", "c": "rerank", "d": "summarization"}
    questions = [question(name, stage=stage) for name, stage in stages.items()]
    # Scores of number, 2 x number, ...: means .25, .5, .125, 1, and the best of four .4, .8, .2, 1.
    worth = {"a": 0.1, "b": 0.2, "c": 0.05}
    groups = by_question(
        [*made("d", 1, 1, 1, 1), *(one for name, score in worth.items() for one in made(name, 0, 0, 0, 0, score=score))]
    )
    found = {name: value(one) for name, one in PUBLISHED["mmsearch"](questions, groups).items()}
    means = {"end_to_end": 0.25, "requery": 0.5, "rerank": 0.125, "summary": 1.0}
    assert {name: found[name] for name in means} == pytest.approx(means)
    assert found["final"] == pytest.approx(0.75 * 0.25 + 0.05 * 0.5 + 0.1 * 0.125 + 0.1)
    assert found["final_best_of_4"] == pytest.approx(0.75 * 0.4 + 0.05 * 0.8 + 0.1 * 0.2 + 0.1)
    some = PUBLISHED["mmsearch"](questions[:3], groups)
    assert (value(some["rerank"]), some["summary"], some["final"]) == (pytest.approx(0.125), None, None)


def test_how_far_a_judge_agrees_counts_what_both_decide() -> None:
    said = [("right", "right"), ("right", "wrong"), ("wrong", "right"), ("wrong", "wrong"), ("wrong", "wrong")]
    said += [("unparsable", "right"), ("wrong", "unreadable")]
    rollouts = [
        replace(one, judged=replace(one.judged, rule=rule, judge=judge))
        for one, (rule, judge) in zip(made("a", *[0] * 7), said, strict=True)
    ]
    found = {name: value(one) for name, one in judging([question("a")], by_question(rollouts)).items()}
    assert found == pytest.approx(
        {
            "judge_agreement": 3 / 5,
            "judge_accepts": 1 / 3,
            "judge_rejects": 1 / 2,
            "judge_unreadable_rate": 1 / 7,
        }
    )
    nobody = judging([question("a")], by_question(made("a", 1)))
    assert set(nobody.values()) == {None}


def test_columns_that_divide_the_questions_are_categories() -> None:
    questions = [question(str(n), family="ab"[n % 2], own=str(n), same="s") for n in range(8)]
    groups = by_question([one for n in range(8) for one in made(str(n), n % 2)])
    found = categories(questions, groups)
    assert set(found) == {"family"}
    assert {name: value(figures["pass1"]) for name, figures in found["family"].items()} == {"a": 0.0, "b": 1.0}


def test_a_mean_of_figures_needs_all_of_them() -> None:
    one, other = Estimate(value=0.2, n=4, low=0.1, high=0.3), Estimate(value=0.6, n=6, low=0.6, high=0.6)
    found = mean_of([one, other])
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(0.4), 10)
    assert (found.low, found.high) == (pytest.approx(0.35), pytest.approx(0.45))
    assert mean_of([one, None]) is None
