"""Defines `Failure`, where a failed rollout went wrong, and `failure_shares`: of what a policy's failures are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

from axpo.algorithm.types import Group
from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo_agents.types import Rollout
from axpo_benchmarks.evidence.families import MULTI_HOP_SEARCH, PYTHON_REASONING, VISUAL_ZOOM
from axpo_envs.env import ToolEnv
from axpo_envs.suite.multi_hop_search import MultiHopSearch
from axpo_envs.suite.visual_zoom import ZoomExpert
from axpo_envs.suite.visual_zoom.env import VisualZoom, is_legible
from axpo_envs.suite.visual_zoom.questions import asked_colour
from axpo_envs.types import CallRecord, Question

_ENDLESS: Final = 10**9
_RIGHT: Final = 0.5


class Failure(StrEnum):
    """Where a failed rollout went wrong; the first that fits."""

    NO_CALL = "failed_without_a_call"
    """No tool was called."""
    NOT_FOUND = "failed_at_finding"
    """No call showed what the answer takes: crops missed the sign, searches the last document, code the result."""
    ILLEGIBLE = "failed_at_legibility"
    """A crop held the sign, but none at a size that can be read."""
    NO_ANSWER = "failed_to_answer"
    """It was shown, and the episode ended without an answer."""
    MISREAD = "failed_at_reading"
    """It was shown, and the answer was another."""


class Shown(StrEnum):
    """What the calls of a rollout have shown of what the answer takes."""

    NOTHING = "nothing"
    """Not the place where it stands."""
    ILLEGIBLY = "illegibly"
    """The place, too small to read."""
    LEGIBLY = "legibly"
    """All of it."""


Showing: TypeAlias = Callable[[Question, Sequence[CallRecord], ToolEnv], Shown]
"""Is given a question, the calls of a rollout that succeeded, and the environment."""


def shown_sign(question: Question, calls: Sequence[CallRecord], env: ToolEnv) -> Shown:
    """Whether some crop holds the asked sign, and whether one of those does at a size that can be read.

    Of a crop of an earlier crop nothing is known: it shows nothing.
    """
    assert isinstance(env, VisualZoom)
    expert, sign = ZoomExpert(env), env.scene_of(question).sign(asked_colour(question))
    boxes = [box for box in (expert.seen(question, call) for call in calls) if box is not None]
    if any(is_legible(sign, box, env.settings.view_size) for box in boxes):
        return Shown.LEGIBLY
    return Shown.ILLEGIBLY if any(is_legible(sign, box, _ENDLESS) for box in boxes) else Shown.NOTHING


def shown_document(question: Question, calls: Sequence[CallRecord], env: ToolEnv) -> Shown:
    """Whether some search showed the last document of the question."""
    assert isinstance(env, MultiHopSearch)
    last = env.plan_of(question).hops[-1]
    return _said(calls, f"(id: {last.entity.id})")


def printed_result(question: Question, calls: Sequence[CallRecord], env: ToolEnv) -> Shown:
    """Whether some code printed the answer, and nothing else."""
    del env  # the question knows its answer
    return Shown.LEGIBLY if any(_text(call).strip() == question.answer for call in calls) else Shown.NOTHING


SHOWING: Final[Mapping[str, Showing]] = {
    VISUAL_ZOOM.name: shown_sign,
    MULTI_HOP_SEARCH.name: shown_document,
    PYTHON_REASONING.name: printed_result,
}
"""How it is told in the families, by their names."""


def failure_of(rollout: Rollout, question: Question, env: ToolEnv, showing: Showing) -> Failure:
    """Where a failed rollout went wrong."""
    calls = rollout.episode.calls
    if not calls:
        return Failure.NO_CALL
    shown = showing(question, [call for call in calls if call.succeeded], env)
    if shown is Shown.LEGIBLY:
        answered = rollout.episode.turns[-1].answer is not None
        return Failure.MISREAD if answered else Failure.NO_ANSWER
    return Failure.ILLEGIBLE if shown is Shown.ILLEGIBLY else Failure.NOT_FOUND


def failure_shares(groups: Sequence[Group], env: ToolEnv, showing: Showing) -> dict[str, Estimate | None]:
    """The share of each kind of failure among the failed rollouts, clustered by question; they sum to 1.

    Returns:
        By the kind's name; all None where nothing failed.
    """
    failed = [
        [failure_of(one, group.question, env, showing) for one in group.rollouts if one.reward < _RIGHT]
        for group in groups
    ]
    counts = [len(kinds) for kinds in failed]
    return {kind.value: estimate_ratio([kinds.count(kind) for kinds in failed], counts) for kind in Failure}


def _said(calls: Sequence[CallRecord], text: str) -> Shown:
    return Shown.LEGIBLY if any(text in _text(call) for call in calls) else Shown.NOTHING


def _text(call: CallRecord) -> str:
    return "".join(part for part in call.result.content if isinstance(part, str))
