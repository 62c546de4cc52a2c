"""Defines which failed rollouts are cut, and where, so that continuations can be sampled from their prefixes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final, NamedTuple

from axpo.algorithm._certainty import certainty
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import Cut, Ranking, SelectionConfig
from axpo_agents.types import Completion, Rollout

FIRST_TOKENS: Final = 20
"""The tokens of a turn by which it is told how the policy goes on behind a result (ARPO's number)."""


def select_prefixes(
    groups: Sequence[Group], config: SelectionConfig, *, seed: int, success_threshold: float = 0.5
) -> tuple[BranchPoint, ...]:
    """Chooses the prefixes of one step: step 2 of "One training step" (algorithm.md).

    Candidates are the sources of triggered groups: groups whose tool-using rollouts exist and are all
    wrong. A source that wrote nothing behind its cut had no room for a token there, no more than its continuations
    would: it is no candidate, and neither is one that branches have grown from already. The budget of
    floor(r * B * N / K) prefixes, with B * N the rollouts that there are, is spent breadth first: round d takes the
    d-th candidate of every question that has one. Within a question and within a round the least confident goes
    first, so a budget that ends within a round drops that round's most confident candidates (where the paper is
    silent); ties go to the earlier group, then rollout.

    `Ranking.RANDOM` draws both orders from the seed. `Cut.QUESTION` takes the same sources and freezes
    nothing of them. `Cut.NO_TOOL` mirrors the rule (where the paper is silent): a group is triggered if its
    no-tool rollouts exist and are all wrong; they are cut behind their thinking, ranked by the mean
    probability of the tokens behind the cut, and those that never got beyond their thinking are no candidates.
    `Cut.EITHER` cuts a source before the turn behind its first call's result, where the mean probability of that turn's
    first 20 tokens is below that of the call (ours; AXPO's and ARPO's cut from one budget). `Ranking.VALUE` ranks by
    `certainty` instead (ours).

    Args:
        groups: the step's groups.
        config: budget, number of continuations, order and place of cuts.
        seed: of `Ranking.RANDOM`.
        success_threshold: a rollout with a reward below it is wrong.

    Returns:
        The points in the order of their selection; () if the budget is below one prefix or nothing is triggered.
    """
    budget = prefix_budget(config, sum(len(group.rollouts) for group in groups))
    rng = random.Random(seed)
    queues = [_candidates(index, group, config, success_threshold) for index, group in enumerate(groups)]
    if config.ranking is Ranking.VALUE:
        queues = [[replace(p, confidence=certainty(groups, p, success_threshold)) for p in queue] for queue in queues]
    for queue in queues:
        _rank(queue, config.ranking, rng)
    selected: list[BranchPoint] = []
    for depth in range(max((len(queue) for queue in queues), default=0)):
        one_each = [queue[depth] for queue in queues if len(queue) > depth]
        _rank(one_each, config.ranking, rng)
        selected += one_each
        if len(selected) >= budget:
            break
    return tuple(selected[:budget])


def prefix_budget(config: SelectionConfig, rollouts: int) -> int:
    """floor(r * B * N / K) for B * N rollouts, exactly, r being the decimal as it was written.

    Worked value: r = 0.29, K = 1 and 100 rollouts give 29; in binary, 0.29 * 100 is 28.999999999999996.
    """
    return math.floor(Fraction(str(config.budget)) * rollouts / config.continuations)


def continuations_left(groups: Sequence[Group], config: SelectionConfig) -> int:
    """How many continuations the budget has beside those that were asked for already.

    Worked value: 8 rollouts, r = 0.5 and K = 2 give 4; a branch of 2 leaves 2.
    """
    budget = prefix_budget(config, sum(len(group.rollouts) for group in groups)) * config.continuations
    return budget - sum(branch.point.continuations for group in groups for branch in group.branches)


def point_at_call(group: int, rollout: int, source: Rollout, *, continuations: int) -> BranchPoint | None:
    """The point behind the opening tag of a rollout's first call; None where it has none or nothing follows.

    Args:
        group: index of its group.
        rollout: its number in that group.
        source: the rollout.
        continuations: how many are to grow there.
    """
    place = _at_tool_call(source)
    return None if place is None else _point(group, rollout, source, place, continuations)


def is_triggered(group: Group, *, success_threshold: float) -> bool:
    """Whether the group's tool-using rollouts exist and are all wrong."""
    rewards = [rollout.reward for rollout in group.rollouts if rollout.used_tool]
    return bool(rewards) and max(rewards) < success_threshold


def has_candidates(group: Group, config: SelectionConfig, *, success_threshold: float) -> bool:
    """Whether a prefix of the group could be selected."""
    return bool(_candidates(0, group, config, success_threshold))


def answer_point(index: int, group: Group, number: int, config: SelectionConfig) -> BranchPoint | None:
    """Where a rollout is cut behind its last thinking (`Cut.NO_TOOL`); None where nothing follows."""
    rollout = group.rollouts[number]
    place = _at_answer(rollout)
    return None if place is None else _point(index, number, rollout, place, config.continuations)


class _Place(NamedTuple):
    turn: int
    token: int
    confidence: float


def _candidates(index: int, group: Group, config: SelectionConfig, success_threshold: float) -> list[BranchPoint]:
    uses_tool = config.cut is not Cut.NO_TOOL
    subgroup = [(number, r) for number, r in enumerate(group.rollouts) if r.used_tool is uses_tool]
    branched = {branch.point.rollout for branch in group.branches}
    if any(rollout.reward >= success_threshold for _, rollout in subgroup):
        return []
    locate = _PLACES[config.cut]
    places = ((number, rollout, locate(rollout)) for number, rollout in subgroup)
    return [
        _point(index, number, rollout, place, config.continuations)
        for number, rollout, place in places
        if place is not None and number not in branched
    ]


def _point(group: int, number: int, rollout: Rollout, place: _Place, continuations: int) -> BranchPoint:
    return BranchPoint(
        group=group,
        rollout=number,
        turn=place.turn,
        token=place.token,
        confidence=place.confidence,
        snapshot=rollout.snapshots[place.turn],
        continuations=continuations,
    )


def _rank(points: list[BranchPoint], ranking: Ranking, rng: random.Random) -> None:
    if ranking is Ranking.RANDOM:
        rng.shuffle(points)
    else:
        points.sort(key=lambda point: (point.confidence, point.group, point.rollout))


def _at_tool_call(rollout: Rollout) -> _Place | None:
    """Behind the opening tag of the first call; None where nothing follows, or where no token is known to open one."""
    for turn, completion in enumerate(rollout.completions):
        if completion.call is not None and completion.cut is not None:
            if completion.cut >= len(completion.ids):
                return None
            return _Place(turn, completion.cut, _mean_probability(completion, *completion.call))
    return None


def _at_call_or_result(rollout: Rollout) -> _Place | None:
    """At the call, or before the next turn, if that begins with less confidence."""
    call = _at_tool_call(rollout)
    if call is None or call.turn + 1 >= len(rollout.completions):
        return call
    answer = rollout.completions[call.turn + 1]
    first = min(len(answer.ids), FIRST_TOKENS)
    if first == 0:
        return call
    result = _Place(call.turn + 1, 0, _mean_probability(answer, 0, first))
    return result if result.confidence < call.confidence else call


def _at_question(rollout: Rollout) -> _Place | None:
    place = _at_tool_call(rollout)
    return None if place is None else _Place(0, 0, place.confidence)


def _at_answer(rollout: Rollout) -> _Place | None:
    """Behind the thinking of the last turn (its start, if it has none); None where nothing follows."""
    if not rollout.completions:
        return None
    turn = len(rollout.completions) - 1
    completion = rollout.completions[turn]
    token = 0 if completion.thinking is None else completion.thinking.stop
    if token >= len(completion.ids):
        return None
    return _Place(turn, token, _mean_probability(completion, token, len(completion.ids)))


def _mean_probability(completion: Completion, start: int, stop: int) -> float:
    return math.fsum(math.exp(logprob) for logprob in completion.logprobs[start:stop]) / (stop - start)


_PLACES: dict[Cut, Callable[[Rollout], _Place | None]] = {
    Cut.TOOL_CALL: _at_tool_call,
    Cut.EITHER: _at_call_or_result,
    Cut.QUESTION: _at_question,
    Cut.NO_TOOL: _at_answer,
}
