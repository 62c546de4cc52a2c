"""Defines how a rollout's response mask tells what it is: verl hands an estimator rewards, masks and groups alone.

| mask of the response | the row is |
|---|---|
| all 0 | lost to an infrastructure fault: no part of its group |
| begins with 1 | an ordinary rollout |
| 0 1 1 ..., 0 from the cut on | the source of a prefix: its first token is left untrained as the mark |
| 0 up to a cut >= 2, then as sampled | a continuation from that cut |

All zeros but the mark are tokens that are not trained anyway: results, the source's tokens behind its cut, and the
frozen prefix of a continuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from axpo_agents.types import TokenSequence

SHORTEST_CUT: Final = 2
"""Cuts before this token are not made: their rows could not be told from others."""


class Role(StrEnum):
    """What a row is to its group."""

    LOST = "lost"
    """It has no reward."""
    ORDINARY = "ordinary"
    """One of the group's rollouts."""
    SOURCE = "source"
    """One of the group's rollouts, credited up to its cut for what its continuations reached."""
    CONTINUATION = "continuation"
    """A second attempt from the cut."""


def role_of(mask: Sequence[int]) -> Role:
    """What a row of that mask is."""
    if not any(mask):
        return Role.LOST
    if mask[0]:
        return Role.ORDINARY
    return Role.SOURCE if mask[1] else Role.CONTINUATION


def response_mask(sequence: TokenSequence, first: int, role: Role, cut: int = 0) -> list[int]:
    """The mask of a rollout's response.

    Args:
        sequence: the rollout.
        first: length of its prompt.
        role: what it is.
        cut: number of tokens of the response before the cut; of sources and continuations.
    """
    sampled = list(map(int, sequence.sampled[first:]))
    if role is Role.LOST:
        return [0] * len(sampled)
    if role is Role.SOURCE:
        return [0, *sampled[1:cut], *[0] * (len(sampled) - cut)]
    if role is Role.CONTINUATION:
        return [*[0] * cut, *sampled[cut:]]
    return sampled
