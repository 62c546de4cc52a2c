"""Defines `evaluation_parts` and `step_parts`: diagnostics per environment, per tool and per number of needed calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from axpo.algorithm.types import Group
from axpo.diagnostics.demands import fate_of
from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo.diagnostics.metric import NOTHING, Asked, Rate, share
from axpo.diagnostics.metrics import PASS_KS, evaluation_metrics, step_metrics
from axpo.diagnostics.permission import OF_PARTS, called, useless_calls
from axpo_envs.types import Question

Parts: TypeAlias = dict[str, dict[str, dict[str, Estimate | None]]]
"""Per kind (`by_environment`, `by_tool`, `by_hops`) and name of a part its measures by name."""

_ENVIRONMENT: Final = ("family", "environment", "env", "data_source")
"""Columns of a question that may say which of several environments or data sets it is from."""
_HEADLINES: Final = (
    *("reward_mean", "tool_attempt_rate", "tool_pass1", "no_tool_pass1", "all_wrong_tool_subgroups"),
    *("mention_without_call", "premature_stop", *OF_PARTS),
)
"""What a step tells of each part."""


def environment_of(question: Question) -> str | None:
    """Which environment of a mixture, or which data set, a question is from; None where it does not say."""
    told = (question.extra.get(name) for name in _ENVIRONMENT)
    return next((name for name in told if isinstance(name, str) and name), None)


def evaluation_parts(
    groups: Sequence[Group], *, ks: Sequence[int] = PASS_KS, tools: Collection[str] = (), success_threshold: float = 0.5
) -> Parts:
    """The measures of `evaluation_metrics` per environment and number of needed calls, and what is measured of a tool.

    Of a tool: of all rollouts those that call it (`tool_attempt_rate`), the calls that are valid and that succeed, and
    of the rollouts that call it, whether they succeed (`tool_pass1`) and whether none of a question's does
    (`all_wrong_tool_subgroups`). Of the rollouts of questions that forbid it those that call it (`forbidden_attempt`)
    and, where these are labelled `must_not_act`, those that do not (`declined_correctly`); of questions that name it
    among their required tools those that never call it (`failed_to_act`); of its calls that were let through those of
    no use (`over_acting`).

    Args:
        groups: the rollouts, by question.
        ks: the k of Pass@k.
        tools: the environment's tools; one that nothing calls stands with 0 attempts.
        success_threshold: a rollout with a reward below it is wrong.
    """

    def measured(some: Sequence[Group]) -> dict[str, Estimate | None]:
        return evaluation_metrics(some, ks=ks, tools=tools, success_threshold=success_threshold)

    rates = _tool_rates(groups, tools, success_threshold)
    return {
        "by_environment": {name: measured(some) for name, some in _apart(groups, environment_of).items()},
        "by_tool": {
            tool: {
                name: estimate_ratio([rate.part for rate in each], [rate.whole for rate in each])
                for name, each in found.items()
            }
            for tool, found in rates.items()
        },
        "by_hops": {name: measured(some) for name, some in _apart(groups, _hops_of).items()},
    }


def step_parts(
    groups: Sequence[Group], *, tools: Collection[str] = (), success_threshold: float = 0.5
) -> dict[str, float | None]:
    """Headline measures of a step's parts, by names such as `by_environment/maps/tool_attempt_rate`.

    A kind of which there is but one part says nothing that the step's own measures do not, and is left out.
    """
    found: dict[str, float | None] = {}
    for kind, key in (("by_environment", environment_of), ("by_hops", _hops_of)):
        apart = _apart(groups, key)
        for part, some in apart.items() if len(apart) > 1 else ():
            metrics = step_metrics(some, tools=tools, success_threshold=success_threshold)
            found |= {f"{kind}/{part}/{name}": metrics[name] for name in _HEADLINES}
    rates = _tool_rates(groups, tools, success_threshold)
    for tool, named in rates.items() if len(rates) > 1 else ():
        for name, each in named.items():
            whole = sum(rate.whole for rate in each)
            found[f"by_tool/{tool}/{name}"] = math.fsum(rate.part for rate in each) / whole if whole else None
    return found


def _hops_of(question: Question) -> str | None:
    return None if question.hops is None else str(question.hops)


def _apart(groups: Sequence[Group], name_of: Callable[[Question], str | None]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for group in groups:
        name = name_of(group.question)
        if name is not None:
            found.setdefault(name, []).append(group)
    return dict(sorted(found.items()))


def _tool_rates(
    groups: Sequence[Group], tools: Collection[str], success_threshold: float
) -> Mapping[str, dict[str, list[Rate]]]:
    """Per tool and measure what is counted of each question."""
    found: dict[str, dict[str, list[Rate]]] = {}
    views = [
        Asked(
            question=group.question,
            episodes=tuple(rollout.episode for rollout in group.rollouts),
            success_threshold=success_threshold,
        )
        for group in groups
    ]
    for tool in sorted(tools):
        found[tool] = {}
        for asked in views:
            for name, rate in (*_rates_of(tool, asked), *_bounds_of(tool, asked)):
                found[tool].setdefault(name, []).append(rate)
    return found


def _rates_of(tool: str, asked: Asked) -> Iterator[tuple[str, Rate]]:
    calls = [[call for call in episode.calls if call.call.name == tool] for episode in asked.episodes]
    right = [not asked.wrong(episode) for episode, made in zip(asked.episodes, calls, strict=True) if made]
    yield "tool_attempt_rate", share([bool(made) for made in calls])
    yield "tool_call_valid_rate", share([call.valid for made in calls for call in made])
    yield "tool_success_rate", share([call.succeeded for made in calls for call in made])
    yield "tool_pass1", share(right)
    yield "all_wrong_tool_subgroups", Rate(float(not any(right)), 1) if right else NOTHING


def _bounds_of(tool: str, asked: Asked) -> Iterator[tuple[str, Rate]]:
    demands = asked.demands
    made = share([tool in called(episode) for episode in asked.episodes])
    left = Rate(made.whole - made.part, made.whole)
    yield "declined_correctly", left if demands.declines_tool(tool) else NOTHING
    yield "failed_to_act", left if tool in demands.required else NOTHING
    yield "forbidden_attempt", made if demands.forbids_call(tool) else NOTHING
    # Which call is a repeat, or one too many, depends on those of other tools, too.
    useless = [
        is_useless
        for episode in asked.episodes
        for record, is_useless in zip(episode.calls, useless_calls(asked, episode), strict=True)
        if record.call.name == tool and fate_of(record).allowed
    ]
    yield "over_acting", share(useless)
