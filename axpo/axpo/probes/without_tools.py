"""Defines the probe of tools: what every rollout that called one would have come to without calling any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from axpo.algorithm.types import Group
from axpo.diagnostics.estimates import estimate_ratio
from axpo.probes.subject import Finding, Subject
from axpo_agents.rolling import Start
from axpo_agents.types import Rollout


class _Place(NamedTuple):
    group: int
    number: int


def without_tools(subject: Subject) -> Finding:
    """Pairs every rollout with one in which no call may be opened (after MED, arXiv:2602.01334).

    The pair of a rollout that calls nothing is itself: nothing forbidden was sampled. That of one that calls goes on
    from the token before its first call's opening tag, on the snapshot before that turn, and the tag's id is not
    sampled. Both arms thus read the same prompt and share every token up to there, so that pairs differ by acting
    alone; with the tools left out of the prompt, or named in instructions and missing, they would be asked differently.
    Where a call opens with several tokens, the turn is sampled anew from that place until it calls nothing.

    `tool_gain` is the share of pairs that are right with tools and wrong without, `tool_harm` the reverse, and
    `tool_effect` their difference, which is that of `with_tools_pass1` and `without_tools_pass1`.
    """
    acting = {
        _Place(index, number): rollout
        for index, group in enumerate(subject.groups)
        for number, rollout in enumerate(group.rollouts)
        if rollout.used_tool
    }
    idle, sampled, lost = _kept_from_acting(subject, acting)
    counted = {
        index: found
        for index, group in enumerate(subject.groups)
        if (found := _counted(subject, group, {place.number: r for place, r in idle.items() if place.group == index}))
    }
    return Finding(
        metrics=_metrics(list(counted.values())),
        questions=counted,
        episodes=sampled,
        dropped=lost,
        undecided=len(acting) - len(idle) - lost,
    )


def _kept_from_acting(subject: Subject, acting: Mapping[_Place, Rollout]) -> tuple[dict[_Place, Rollout], int, int]:
    """What became of rollouts without calls; how many episodes were sampled for it, and how many were lost."""
    pending, idle = dict(acting), dict[_Place, Rollout]()
    forbidden: set[int] = set()
    sampled = lost = 0
    for attempt in range(subject.config.attempts):
        cuts = {place: cut for place, rollout in pending.items() if (cut := _before_call(rollout)) is not None}
        if not cuts:
            break
        starts = [replace(cut, seed=_seed(subject, place, attempt)) for place, cut in cuts.items()]
        forbidden |= _openings(pending.values())
        grown = subject.grow(starts, forbidden=tuple(sorted(forbidden)))
        pending = {}
        for place, rollout in zip(cuts, grown, strict=True):
            if rollout is None:
                lost += 1
                continue
            sampled += 1
            (pending if rollout.used_tool else idle)[place] = rollout
    return idle, sampled, lost


def _before_call(rollout: Rollout) -> Start | None:
    """The moment before the opening tag of the first call; None where no token is known to open one."""
    for turn, completion in enumerate(rollout.completions):
        if completion.call is not None:
            return Start.within(rollout, turn=turn, token=completion.call.start)
    return None


def _openings(rollouts: Iterable[Rollout]) -> set[int]:
    """The ids that open calls of these rollouts by themselves."""
    return {
        completion.ids[completion.call.start]
        for rollout in rollouts
        for completion in rollout.completions
        if completion.call is not None and completion.cut == completion.call.start + 1
    }


def _seed(subject: Subject, place: _Place, attempt: int) -> int:
    question = subject.groups[place.group].question.id
    return subject.seed("without tools", question, place.group, place.number, attempt)


def _counted(subject: Subject, group: Group, idle: Mapping[int, Rollout]) -> dict[str, int]:
    """How the pairs of a question ended; empty where it has none."""
    pairs = [
        (subject.right(rollout), subject.right(other))
        for number, rollout in enumerate(group.rollouts)
        if (other := idle.get(number) if rollout.used_tool else rollout) is not None
    ]
    if not pairs:
        return {}
    return {
        "pairs": len(pairs),
        "acting": sum(rollout.used_tool for rollout in group.rollouts),
        "right_with": sum(one for one, _ in pairs),
        "right_without": sum(other for _, other in pairs),
        "gained": sum(one and not other for one, other in pairs),
        "harmed": sum(other and not one for one, other in pairs),
    }


def _metrics(counted: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    pairs = [found["pairs"] for found in counted]
    return {
        "with_tools_pass1": estimate_ratio([found["right_with"] for found in counted], pairs),
        "without_tools_pass1": estimate_ratio([found["right_without"] for found in counted], pairs),
        "tool_gain": estimate_ratio([found["gained"] for found in counted], pairs),
        "tool_harm": estimate_ratio([found["harmed"] for found in counted], pairs),
        "tool_effect": estimate_ratio([found["gained"] - found["harmed"] for found in counted], pairs, signed=True),
    }
