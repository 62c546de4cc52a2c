"""Defines `PROBES`: how well a policy acts in each family of the evidence, finding and reading told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from axpo.algorithm.types import Group
from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo_agents.policy import TextAgent
from axpo_agents.types import Rollout
from axpo_benchmarks.evidence.families import MULTI_HOP_SEARCH, PYTHON_REASONING, VISUAL_ZOOM
from axpo_envs.env import ToolEnv
from axpo_envs.suite.multi_hop_search import MultiHopSearch
from axpo_envs.suite.multi_hop_search.brief_expert import BriefExpert
from axpo_envs.suite.python_reasoning import PythonReasoning
from axpo_envs.suite.python_reasoning.written_expert import SumExpert
from axpo_envs.suite.visual_zoom import ZoomExpert
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.types import CallRecord

Metrics: TypeAlias = dict[str, Estimate | None]
Outcomes: TypeAlias = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingProbe:
    """What is measured of a policy in a family besides what is measured everywhere."""

    expert: Callable[[ToolEnv], TextAgent]
    """The scripted expert of the environment."""
    acting: Callable[[Sequence[Group], ToolEnv], Metrics]
    """How well the policy acts: where its calls led, and whether it read rightly what they showed."""


def crop_metrics(groups: Sequence[Group], env: ToolEnv) -> Metrics:
    """How often the first crop of a rollout shows the asked sign legibly, and how often it is then read rightly.

    Returns:
        `legible_crop_rate` over rollouts that call the tool, `read_legible_crop` over those with a legible crop.
    """
    assert isinstance(env, VisualZoom)
    expert, rng = ZoomExpert(env), np.random.default_rng(0)

    def legible(group: Group, call: CallRecord) -> bool:
        box = expert.seen(group.question, call) if call.succeeded else None
        return box is not None and expert.read(group.question, box, rng).legible

    shown = [[(legible(group, one.episode.calls[0]), one) for one in _acting(group)] for group in groups]
    return _led_and_read(shown, "legible_crop_rate", "read_legible_crop")


def search_metrics(groups: Sequence[Group], env: ToolEnv) -> Metrics:
    """How often queries find the documents that a question takes.

    Returns:
        `found_first_rate` and `found_last_rate` over rollouts that search: whether a search showed the first document
        of the question, and the last; `read_last` over those that found the last: whether they answered rightly.
    """
    assert isinstance(env, MultiHopSearch)
    first: list[list[float]] = []
    last: list[list[tuple[bool, Rollout]]] = []
    for group in groups:
        hops = env.plan_of(group.question).hops
        found = [[_shows(one, f"(id: {hop.entity.id})") for hop in (hops[0], hops[-1])] for one in _acting(group)]
        first.append([float(begun) for begun, _ in found])
        last.append([(ended, one) for (_, ended), one in zip(found, _acting(group), strict=True)])
    return {"found_first_rate": _over_questions(first)} | _led_and_read(last, "found_last_rate", "read_last")


def code_metrics(groups: Sequence[Group], env: ToolEnv) -> Metrics:
    """How often code computes what is asked.

    Returns:
        `right_code_rate` over rollouts that compute: whether the first call printed the answer; `read_right_code` over
        those: whether they answered it.
    """
    del env  # the question knows its answer
    printed = [
        [(_text(one.episode.calls[0]).strip() == group.question.answer, one) for one in _acting(group)]
        for group in groups
    ]
    return _led_and_read(printed, "right_code_rate", "read_right_code")


def _acting(group: Group) -> Iterator[Rollout]:
    return (rollout for rollout in group.rollouts if rollout.episode.calls)


def _led_and_read(outcomes: Sequence[Sequence[tuple[bool, Rollout]]], led: str, read: str) -> Metrics:
    return {
        led: _over_questions([[float(good) for good, _ in group] for group in outcomes]),
        read: _over_questions([[rollout.reward for good, rollout in group if good] for group in outcomes]),
    }


def _shows(rollout: Rollout, text: str) -> bool:
    return any(text in _text(call) for call in rollout.episode.calls)


def _text(call: CallRecord) -> str:
    return "".join(part for part in call.result.content if isinstance(part, str)) if call.succeeded else ""


def _over_questions(outcomes: Outcomes) -> Estimate | None:
    return estimate_ratio([sum(values) for values in outcomes], [len(values) for values in outcomes])


def _zoom_expert(env: ToolEnv) -> TextAgent:
    assert isinstance(env, VisualZoom)
    return ZoomExpert(env)


def _search_expert(env: ToolEnv) -> TextAgent:
    assert isinstance(env, MultiHopSearch)
    return BriefExpert(env)


def _sum_expert(env: ToolEnv) -> TextAgent:
    assert isinstance(env, PythonReasoning)
    return SumExpert(env)


PROBES: Final[Mapping[str, ActingProbe]] = {
    VISUAL_ZOOM.name: ActingProbe(expert=_zoom_expert, acting=crop_metrics),
    MULTI_HOP_SEARCH.name: ActingProbe(expert=_search_expert, acting=search_metrics),
    PYTHON_REASONING.name: ActingProbe(expert=_sum_expert, acting=code_metrics),
}
"""What is measured in the families, by their names."""
