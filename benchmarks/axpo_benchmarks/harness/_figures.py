"""Defines the figures of an evaluation: pure functions of questions and rollouts, with intervals over clusters.

Questions of one cluster (the four rows of HR-Bench, the variants of DynaMath) are not independent, so clusters are what
is drawn. A rollout that was lost is in no figure; a question with fewer than k rollouts is not in Pass@k.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Final, TypeAlias

from axpo.diagnostics.estimates import Estimate, estimate_mean, estimate_ratio, pass_at_k
from axpo.diagnostics.metrics import PASS_KS
from axpo.records.evaluation_records import AskedQuestion, EvaluatedRollout

Figures: TypeAlias = dict[str, Estimate | None]
"""Values with intervals by name; None where there is nothing to count."""

Groups: TypeAlias = Mapping[str, Sequence[EvaluatedRollout]]
"""Rollouts by question, in the order of their numbers."""

MOST_KINDS: Final = 40
"""A column with more values than this is no category."""


_DECIDED: Final = ("right", "wrong")


def by_question(rollouts: Iterable[EvaluatedRollout]) -> dict[str, list[EvaluatedRollout]]:
    """Rollouts by their question, in the order of their numbers."""
    groups: dict[str, list[EvaluatedRollout]] = defaultdict(list)
    for rollout in sorted(rollouts, key=lambda one: one.sample):
        groups[rollout.question].append(rollout)
    return dict(groups)


def _ratio(
    questions: Sequence[AskedQuestion],
    counted: Callable[[AskedQuestion], tuple[float, int]],
    *,
    signed: bool = False,
) -> Estimate | None:
    parts: dict[str, float] = defaultdict(float)
    wholes: dict[str, int] = defaultdict(int)
    for question in questions:
        part, whole = counted(question)
        parts[question.cluster] += part
        wholes[question.cluster] += whole
    return estimate_ratio(list(parts.values()), list(wholes.values()), signed=signed)


def _any(_rollout: EvaluatedRollout) -> bool:
    return True


def success(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """Pass@1 and Pass@4 (unbiased), the paper's any of the first four, and the mean and the best of four scores."""

    def right(question: AskedQuestion) -> list[bool]:
        return [one.judged.right for one in groups.get(question.id, ())]

    def passed(k: int) -> Callable[[AskedQuestion], tuple[float, int]]:
        def counted(question: AskedQuestion) -> tuple[float, int]:
            found = right(question)
            return (pass_at_k(len(found), sum(found), k), 1) if len(found) >= k else (0.0, 0)

        return counted

    def best(question: AskedQuestion) -> tuple[float, int]:
        scores = [one.judged.score for one in groups.get(question.id, ())]
        return (max(scores[:4]), 1) if len(scores) >= 4 else (0.0, 0)

    def any_right(question: AskedQuestion) -> tuple[float, int]:
        found = right(question)
        return (float(any(found[:4])), 1) if len(found) >= 4 else (0.0, 0)

    def score(question: AskedQuestion) -> tuple[float, int]:
        scores = [one.judged.score for one in groups.get(question.id, ())]
        return (fmean(scores), 1) if scores else (0.0, 0)

    return {
        **{f"pass{k}": _ratio(questions, passed(k)) for k in PASS_KS},
        "any_of_4": _ratio(questions, any_right),
        "score": _ratio(questions, score),
        "best_of_4_score": _ratio(questions, best),
    }


def _share(
    questions: Sequence[AskedQuestion],
    groups: Groups,
    kept: Callable[[EvaluatedRollout], bool],
    of: Callable[[EvaluatedRollout], bool] = _any,
) -> Estimate | None:
    """The share of rollouts, among those of a kind, that are of another."""

    def counted(question: AskedQuestion) -> tuple[float, int]:
        found = [one for one in groups.get(question.id, ()) if of(one)]
        return float(sum(map(kept, found))), len(found)

    return _ratio(questions, counted)


def acting(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """How tools were used, and what became of responses."""

    share = partial(_share, questions, groups)

    def calls(kept: Callable[[EvaluatedRollout], int]) -> Estimate | None:
        def counted(question: AskedQuestion) -> tuple[float, int]:
            found = groups.get(question.id, ())
            return float(sum(map(kept, found))), sum(len(one.calls) for one in found)

        return _ratio(questions, counted)

    return {
        "tool_attempt_rate": share(lambda one: one.used_tool),
        "tool_call_valid_rate": calls(lambda one: sum(call.valid for call in one.calls)),
        "tool_success_rate": calls(lambda one: sum(call.succeeded for call in one.calls)),
        "tool_pass1": share(lambda one: one.judged.right, lambda one: one.used_tool),
        "no_tool_pass1": share(lambda one: one.judged.right, lambda one: not one.used_tool),
        "unparsable_rate": share(lambda one: one.judged.outcome == "unparsable"),
        "cut_rate": share(lambda one: one.judged.cut),
    }


def judging(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """How far a judge agrees with the rules, where both say right or wrong, and how often it cannot be read."""

    share = partial(_share, questions, groups)

    def both(one: EvaluatedRollout) -> bool:
        return one.judged.rule in _DECIDED and one.judged.judge in _DECIDED

    return {
        "judge_agreement": share(lambda one: one.judged.rule == one.judged.judge, both),
        "judge_accepts": share(
            lambda one: one.judged.judge == "right", lambda one: both(one) and one.judged.rule == "wrong"
        ),
        "judge_rejects": share(
            lambda one: one.judged.judge == "wrong", lambda one: both(one) and one.judged.rule == "right"
        ),
        "judge_unreadable_rate": share(
            lambda one: one.judged.judge == "unreadable", lambda one: one.judged.judge is not None
        ),
    }


def cost(questions: Sequence[AskedQuestion], groups: Groups) -> Figures:
    """What a rollout cost on average, and what a right one did; undefined where nobody tells tokens."""
    rollouts = [one for question in questions for one in groups.get(question.id, ())]

    def mean(value: Callable[[EvaluatedRollout], float | None]) -> Estimate | None:
        values = [[value(one) for one in groups.get(question.id, ())] for question in questions]
        known = [[float(one) for one in found if one is not None] for found in values]
        return estimate_mean([fmean(found) for found in known if found])

    right = sum(one.judged.right for one in rollouts)
    written = [one.written for one in rollouts]
    told = [one for one in written if one is not None]
    per_right = sum(told) / right if right and told and len(told) == len(written) else None
    return {
        "calls": mean(lambda one: len(one.calls)),
        "tokens_written": mean(lambda one: one.written),
        "tokens_read": mean(lambda one: one.read),
        "tokens_reread": mean(lambda one: one.reread),
        "seconds": mean(lambda one: one.seconds),
        "tokens_written_per_right": None
        if per_right is None
        else Estimate(value=per_right, n=right, low=None, high=None),
    }


def categories(questions: Sequence[AskedQuestion], groups: Groups) -> dict[str, dict[str, Figures]]:
    """The figures of success by every column that divides the questions, and by its values."""
    names = sorted({name for question in questions for name in question.kinds})
    found: dict[str, dict[str, Figures]] = {}
    for name in names:
        values = sorted({question.kinds[name] for question in questions if name in question.kinds})
        if not 2 <= len(values) <= min(MOST_KINDS, max(2, len(questions) // 2)):
            continue
        found[name] = {
            value: success([one for one in questions if one.kinds.get(name) == value], groups) for value in values
        }
    return found


def paired(questions: Sequence[AskedQuestion], groups: Groups, others: Groups, *, prefix: str) -> Figures:
    """What one arm gains over another, rollout by rollout of equal numbers.

    Args:
        questions: what both asked.
        groups: the rollouts of the arm that has more.
        others: those of the other.
        prefix: begins the names: `tool` gives `tool_gain` (wrong without, right with), `tool_harm` and `tool_effect`.
    """

    def pairs(question: AskedQuestion) -> list[tuple[bool, bool]]:
        there = {one.sample: one.judged.right for one in others.get(question.id, ())}
        mine = groups.get(question.id, ())
        return [(one.judged.right, there[one.sample]) for one in mine if one.sample in there]

    def counted(kept: Callable[[bool, bool], int]) -> Callable[[AskedQuestion], tuple[float, int]]:
        return lambda question: (float(sum(kept(*one) for one in pairs(question))), len(pairs(question)))

    return {
        f"{prefix}_gain": _ratio(questions, counted(lambda one, other: one and not other)),
        f"{prefix}_harm": _ratio(questions, counted(lambda one, other: other and not one)),
        f"{prefix}_effect": _ratio(questions, counted(lambda one, other: one - other), signed=True),
    }


def all_right(questions: Sequence[AskedQuestion], groups: Groups, *, size: int | None = None) -> Estimate | None:
    """Share of clusters, rollout number by rollout number, all of whose questions are right.

    Args:
        questions: several of each cluster.
        groups: their rollouts.
        size: questions of a cluster; others are left out. None takes them as they are.
    """
    clusters: dict[str, list[AskedQuestion]] = defaultdict(list)
    for question in questions:
        clusters[question.cluster].append(question)
    parts, wholes = [], []
    for members in clusters.values():
        if size is not None and len(members) != size:
            continue
        numbers = [{one.sample: one.judged.right for one in groups.get(member.id, ())} for member in members]
        shared = set.intersection(*(set(one) for one in numbers))
        parts.append(float(sum(all(one[sample] for one in numbers) for sample in shared)))
        wholes.append(len(shared))
    return estimate_ratio(parts, wholes)


def mean_of(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """The mean of independent figures, each counted once whatever it counts; None unless all are there.

    Its interval is the normal one of the half-widths of theirs.
    """
    known = [one for one in estimates if one is not None]
    if not known or len(known) < len(estimates):
        return None
    value, n = fmean(one.value for one in known), sum(one.n for one in known)
    widths = [(one.high - one.low) / 2 for one in known if one.low is not None and one.high is not None]
    if len(widths) < len(known):
        return Estimate(value=value, n=n, low=None, high=None)
    half = math.hypot(*widths) / len(known)
    return Estimate(value=value, n=n, low=value - half, high=value + half)
