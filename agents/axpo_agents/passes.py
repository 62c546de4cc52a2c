"""Defines `Pass`, the sequences that go through a model together, and how padded rows are dealt out to passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axpo_agents.types import TokenSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Sequences that go through a model together."""

    members: tuple[int, ...]
    """Their numbers in the order given; at least one."""
    tokens: int
    """Tokens that go through the model, padding excluded."""

    def __add__(self, other: Pass) -> Pass:
        return Pass(members=self.members + other.members, tokens=self.tokens + other.tokens)


def plan_rows(sequences: Sequence[TokenSequence], *, tokens: int) -> tuple[Pass, ...]:
    """Passes of padded rows.

    The longest come first: neighbours are of similar length, and a pass that does not fit into memory fails at once.

    Args:
        sequences: what is to be scored.
        tokens: most tokens of a pass, padding included; a longer sequence has a pass of its own.
    """
    lengths = [len(sequence.ids) for sequence in sequences]
    by_length = sorted(range(len(sequences)), key=lambda number: -lengths[number])
    passes = []
    start = 0
    while start < len(by_length):
        rows = max(1, tokens // max(1, lengths[by_length[start]]))
        members = tuple(by_length[start : start + rows])
        passes.append(Pass(members=members, tokens=sum(lengths[member] for member in members)))
        start += rows
    return tuple(passes)
