"""The figures of benchmarks, computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from axpo_benchmarks.scorers import (
    Judgement,
    MMSearchStages,
    Outcome,
    Verdict,
    dynamath_report,
    hr_bench_report,
    math_vr_report,
    process_score,
    score_mmsearch,
)
from axpo_benchmarks.scorers._query_similarity import rouge_l
from axpo_envs import Question
from axpo_envs.plumbing.columns import Columns


def asking(answer: str = "A", *alternatives: str, **extra: Any) -> Question:
    return Question(id="q", prompt=("?",), answer=answer, alternatives=alternatives, extra=Columns(extra.items()))


def verdict(right: bool) -> Verdict:
    return Verdict(outcome=Outcome.RIGHT if right else Outcome.UNPARSABLE, reason="", score=float(right))


def hr_rows(group: str, category: str, rights: str) -> list[tuple[Question, Verdict]]:
    """The rows of a question, `1` for a right one, by cycle."""
    return [
        (asking(category=category, cycle_category=str(cycle), group=group), verdict(right == "1"))
        for cycle, right in enumerate(rights)
    ]


def test_hr_bench_averages_over_cycles_and_names_questions_right_in_all() -> None:
    report = hr_bench_report(
        [*hr_rows("a", "single", "1111"), *hr_rows("b", "single", "1100"), *hr_rows("c", "cross", "1000")]
    )
    assert report.categories == {"single": 0.75, "cross": 0.25}
    assert report.accuracy == 0.5
    assert report.all_cycles == pytest.approx(1 / 3)
    assert report.incomplete == 0
    assert (report.questions, report.tally.total, report.tally.right, report.tally.unparsable) == (3, 12, 7, 5)


def test_hr_bench_weighs_cycles_not_rows() -> None:
    # Cycle 0 has two rows, one right; cycle 1 has one, right: (1/2 + 1) / 2, not 2/3.
    report = hr_bench_report([*hr_rows("a", "single", "11"), *hr_rows("b", "single", "0")])
    assert (report.accuracy, report.incomplete) == (0.75, 1)


def dyna(seed: str, rights: str) -> list[tuple[Question, Verdict]]:
    return [(asking(seed=seed, variant=number), verdict(right == "1")) for number, right in enumerate(rights, start=1)]


def test_dynamath_averages_and_takes_the_worst_variant_of_each_seed_question() -> None:
    report = dynamath_report([*dyna("0", "111"), *dyna("1", "110"), *dyna("2", "000"), *dyna("3", "011")])
    assert report.average == pytest.approx(7 / 12)
    assert report.worst_case == 0.25
    assert (report.seeds, report.variants) == (4, (1, 2, 3))
    assert (report.tally.right, report.tally.unparsable) == (7, 5)


def test_dynamath_refuses_seed_questions_asked_in_different_variants_or_twice() -> None:
    with pytest.raises(ValueError, match="in each of the same variants"):
        dynamath_report([*dyna("0", "11"), *dyna("1", "1")])
    with pytest.raises(ValueError, match="once"):
        dynamath_report([*dyna("0", "1"), *dyna("0", "1")])


def test_the_process_score_has_its_factor() -> None:
    assert process_score(Judgement(right=True, points=1), 4) == 1.0
    assert process_score(Judgement(right=False, points=4), 4) == pytest.approx(0.7)
    assert process_score(Judgement(right=False, points=1), 4) == pytest.approx(0.175)
    assert process_score(None, 4) == 0.0
    with pytest.raises(ValueError, match="expected points from 0 to a positive total; got 5 of 4"):
        process_score(Judgement(right=False, points=5), 4)


def test_math_vr_keeps_unreadable_judgements_and_reports_languages_and_kinds_apart() -> None:
    text = asking(language="english", kind="text", total_score=2)
    multimodal = asking(language="english", kind="multimodal", total_score=4)
    chinese = asking(language="chinese", kind="text", total_score=2)
    results = [
        (text, Judgement(right=True, points=2)),
        (text, Judgement(right=False, points=1)),
        (text, None),
        (multimodal, Judgement(right=False, points=2)),
        (chinese, None),
    ]
    report = math_vr_report(results)
    english = report["english", "text"]
    assert (english.questions, english.unreadable) == (3, 1)
    assert english.accuracy == pytest.approx(1 / 3)
    assert english.process == pytest.approx((1 + 0.35 + 0) / 3)
    assert report["english", "multimodal"].process == pytest.approx(0.35)
    assert report["chinese", "text"].accuracy == 0.0


def test_mmsearch_scores_a_query_by_its_likeness_to_the_reference() -> None:
    question = replace(asking("lee final 2024 result"), extra=Columns({"stage": "requery"}.items()))
    # Two words of two: precision 1, brevity exp(1 - 4/2); ROUGE-L: recall 2/4, precision 1.
    short = score_mmsearch(question, "<answer>\\boxed{lee 2024}</answer>")
    assert short.score == pytest.approx((math.exp(-1) + 2 / 3) / 2)
    assert short.outcome is Outcome.WRONG
    # The other order: all words of both, of which two follow each other in both at most.
    assert score_mmsearch(question, "2024 result lee final").score == pytest.approx((1 + 2 * 2 / 8) / 2)
    assert score_mmsearch(question, "Lee").score == 0.0
    assert score_mmsearch(question, "...").score == 0.0
    assert score_mmsearch(question, "lee final 2024 result").outcome is Outcome.RIGHT
    # Distinct words count once, and sentences for themselves: "a" and "b" of "a b" and "b. a", of two words each.
    assert rouge_l("a b", "b. a a") == pytest.approx(2 * 2 / (2 + 2))


@pytest.mark.parametrize(
    ("response", "outcome", "score"),
    [
        ("<answer>\\boxed{<Website 2>}</answer>", Outcome.RIGHT, 1.0),
        ("<think>Not <Website 1>.</think>The answer is <Website 3>", Outcome.WRONG, 0.5),
        ("<Website 1>", Outcome.WRONG, 0.0),
        ("<Website 0>", Outcome.WRONG, 0.0),
        ("<Website 99>", Outcome.WRONG, 0.0),
        ("<Website 2>, <Website 3>", Outcome.UNPARSABLE, 0.0),
        ("2", Outcome.UNPARSABLE, 0.0),
        ("<website 2>", Outcome.UNPARSABLE, 0.0),
        ("", Outcome.UNPARSABLE, 0.0),
    ],
)
def test_mmsearch_scores_the_one_website_that_is_chosen(response: str, outcome: Outcome, score: float) -> None:
    stage = {"stage": "rerank", "valid": (1,), "not_sure": (2,)}
    verdict = score_mmsearch(replace(asking("<Website 2>"), extra=Columns(stage.items())), response)
    assert (verdict.outcome, verdict.score) == (outcome, score)


def test_mmsearch_takes_the_best_gold_and_weighs_its_stages() -> None:
    question = asking("Lee Min-ho of Seoul", "Lee Min-ho")
    assert score_mmsearch(question, "<answer>Lee Min-ho</answer>").score == 1.0
    # Two of its three words are in the shorter gold: precision 2/3, recall 2/2.
    partly = score_mmsearch(question, "actor Lee Min-ho")
    assert (partly.outcome, partly.score) == (Outcome.WRONG, pytest.approx(0.8))
    assert score_mmsearch(asking("the"), "a").score == 1.0
    assert score_mmsearch(question, "").outcome is Outcome.UNPARSABLE
    stages = MMSearchStages(end_to_end=0.4, requery=0.2, rerank=0.5, summary=0.6)
    assert stages.final == pytest.approx(0.75 * 0.4 + 0.05 * 0.2 + 0.1 * 0.5 + 0.1 * 0.6)
    assert MMSearchStages(end_to_end=1, requery=1, rerank=1, summary=1).final == pytest.approx(1.0)
    with pytest.raises(ValueError, match="from 0 to 1; got 40"):
        MMSearchStages(end_to_end=40, requery=0, rerank=0, summary=0)
