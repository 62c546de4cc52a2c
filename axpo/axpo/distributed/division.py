"""Defines how work is divided among processes: pure functions of the work, so that all of them divide it alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from axpo.algorithm.batching import MiniBatch, Plan, TrainItem
from axpo_agents.passes import Pass

Passes: TypeAlias = tuple[tuple[TrainItem, ...], ...]
"""The items of each pass through the model."""

_FINENESS: Final = (1, 2, 4, 8)
"""How many pieces a process's share is tried to be made of: fine pieces balance, and repeat what they share."""


def stretch(length: int, *, number: int, count: int) -> slice:
    """The part of a sequence that belongs to one of `count` processes: neighbours, as many as the others' or one more.

    Worked value: 5 things among 2 processes are [0, 2) and [2, 5).
    """
    return slice(length * number // count, length * (number + 1) // count)


def shares(minibatch: MiniBatch, plan: Plan, *, count: int, tokens: int) -> tuple[tuple[Passes, int], ...]:
    """What each process computes of a mini-batch, and how many tokens that is.

    Items keep their weights, which are shares of the whole mini-batch: the gradients of all processes add up to that
    of one. Whole trees stay together where that balances; a tree that is larger than a process's share is taken apart,
    and what its parts have in common is computed more than once. Of several ways the one is taken whose largest share
    is smallest.

    Args:
        minibatch: the items of one optimizer step.
        plan: deals sequences out to passes.
        count: how many processes there are.
        tokens: most tokens of a pass.

    Returns:
        One for each process; () for one that has nothing to do.
    """
    items = [item for items in minibatch.micro_batches for item in items]
    sequences = [item.sequence for item in items]
    ways = []
    for fineness in _FINENESS:
        piece = max(1, min(tokens, -(-minibatch.scored_tokens // (count * fineness))))
        members = _dealt(plan(sequences, tokens=piece), count)
        way = [plan([sequences[member] for member in own], tokens=tokens) if own else () for own in members]
        ways.append((max(map(_size, way)), members, way))
    _, members, way = min(ways, key=lambda found: found[0])
    return tuple(
        (tuple(tuple(items[own[member]] for member in each.members) for each in passes), _size(passes))
        for own, passes in zip(members, way, strict=True)
    )


def _dealt(pieces: Sequence[Pass], count: int) -> list[list[int]]:
    """The members that each process gets: the largest piece goes to whoever has the least so far."""
    members: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for piece in sorted(pieces, key=lambda piece: -piece.tokens):
        least = loads.index(min(loads))
        members[least] += piece.members
        loads[least] += piece.tokens
    return [sorted(own) for own in members]


def _size(passes: Sequence[Pass]) -> int:
    return sum(each.tokens for each in passes)
