"""Defines dynamic sampling (DAPO, arXiv:2503.14476, Eq. 11): groups that teach nothing are replaced."""

from __future__ import annotations

from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.selection import has_candidates
from axpo.algorithm.types import Group


def with_spread(rounds: Rounds, method: Method) -> tuple[Group, ...]:
    """The step's groups, those whose rewards are all equal replaced, in at most `sampling.dynamic_rounds` rounds.

    Each round asks as many further questions as groups are missing. A group from which the method could resample a
    prefix is kept: it may be taught something yet. Fewer groups than questions, even none, may be left in the end.
    """
    config = rounds.config

    def teaches(group: Group) -> bool:
        if len({rollout.reward for rollout in group.rollouts}) > 1:
            return True
        threshold = config.success_threshold
        resamples = method.recovers or method.select is not None
        return resamples and has_candidates(group, config.selection, success_threshold=threshold)

    kept = [group for group in rounds.groups if teaches(group)]
    for _ in range(config.sampling.dynamic_rounds):
        missing = config.sampling.questions - len(kept)
        if missing <= 0:
            break
        kept += filter(teaches, rounds.sample(missing))
    return tuple(kept)
