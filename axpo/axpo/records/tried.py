"""Defines `Tried`, what the rollouts of a question came to and cost, as `axpo eval --json` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from axpo.algorithm.types import Group
from axpo.settings.values import CountOrNone, NonNegative
from axpo_agents.types import Rollout
from axpo_envs.types import Question

_LONGEST_KIND: Final = 40
"""Characters of a column's value that may name a kind of question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What the rollouts of a question came to, and what they cost; one entry per rollout."""

    question: str
    """Its id."""
    kinds: Mapping[str, str]
    """What kind of question it is, by what says so: its `hops`, and the short columns of its row."""
    right: tuple[bool, ...]
    """Which succeeded."""
    written: tuple[CountOrNone, ...]
    """Tokens sampled."""
    read: tuple[CountOrNone, ...]
    """Tokens given, each counted once: prompts and observations."""
    reread: tuple[CountOrNone, ...]
    """Tokens that stood before later turns and had been read or written before: what a cache spares."""
    seconds: NonNegative
    """Wall-clock time of all of them: their share, by tokens sampled, of what was sampled together."""


def tried_of(group: Group, seconds: float, *, success_threshold: float) -> Tried:
    """What a group came to.

    Args:
        group: a question's rollouts.
        seconds: what they took.
        success_threshold: a rollout with a reward below it is wrong.
    """
    return Tried(
        question=group.question.id,
        kinds=_kinds(group.question),
        right=tuple(rollout.reward >= success_threshold for rollout in group.rollouts),
        written=tuple(map(_written, group.rollouts)),
        read=tuple(sum(len(turn.context.ids) for turn in rollout.completions) for rollout in group.rollouts),
        reread=tuple(map(_reread, group.rollouts)),
        seconds=seconds,
    )


def shared_by_tokens(seconds: float, groups: Sequence[Group]) -> list[float]:
    """A time that groups took together, shared by the tokens that each sampled; evenly where there are none."""
    tokens = [sum(map(_written, group.rollouts)) for group in groups]
    whole = sum(tokens)
    return [seconds * (count / whole if whole else 1 / len(groups)) for count in tokens]


def _written(rollout: Rollout) -> int:
    return sum(len(turn.ids) for turn in rollout.completions)


def _reread(rollout: Rollout) -> int:
    """Worked value: a prompt of 10 tokens, turns of 3, 4 and 5 with observations of 2 in between: 13 + 19 = 32."""
    reread = before = 0
    for turn in rollout.completions:
        reread += before
        before += len(turn.context.ids) + len(turn.ids)
    return reread


def _kinds(question: Question) -> dict[str, str]:
    kinds = {} if question.hops is None else {"hops": str(question.hops)}
    columns = {name: str(value) for name, value in question.extra.items() if isinstance(value, str | int | bool)}
    return {**kinds, **{name: value for name, value in columns.items() if len(value) <= _LONGEST_KIND}}
