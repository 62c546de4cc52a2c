"""Defines which of the saved rollouts a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from axpo.records._rollout_log import read_rollouts, saved_steps
from axpo.records.rollout_record import GrownBranch, Kind, RolloutRecord
from axpo.report._pictures import Album
from axpo.report._rollout_view import RolloutView, view_rollout

BRANCHES: Final = 3
"""Branches shown of a run."""
PAIRS: Final = 3
"""Questions shown with one rollout of each method."""
EXAMPLES: Final = 12
"""Rollouts shown of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchView:
    """A source and one of its continuations, side by side."""

    source: RolloutView
    """The failed rollout whose prefix was frozen."""
    continuation: RolloutView
    """What was sampled after that prefix; a recovered one if there is any."""
    continuations: int
    """How many were sampled."""
    recovered: int
    """How many of them succeeded."""
    confidence: float
    """What the source was ranked by."""


def pick_branches(album: Album, limit: int = BRANCHES) -> tuple[BranchView, ...]:
    """One branch of each saved step, the earliest steps first; of a step the one that recovered best.

    Raises:
        OSError, DamagedFileError: the saved rollouts cannot be read.
    """
    views = []
    for step in saved_steps(album.rollouts):
        rollouts = read_rollouts(album.rollouts, step)
        pairs = [(source, branch) for source in rollouts for branch in source.branches]
        pairs.sort(key=lambda pair: -_recovered(pair[1], album))
        found = (
            _branch_view(source, branch, grown, album)
            for source, branch in pairs
            if (grown := _continuations(source, branch, rollouts))
        )
        if (view := next(found, None)) is not None:
            views.append(view)
        if len(views) == limit:
            break
    return tuple(views)


def pick_pairs(albums: Mapping[str, Album], limit: int = PAIRS) -> tuple[dict[str, RolloutView], ...]:
    """Questions of the last step that every method saved, with one rollout of each; first those that tell them apart.

    Raises:
        OSError, DamagedFileError: the saved rollouts cannot be read.
    """
    steps = set.intersection(*(set(saved_steps(album.rollouts)) for album in albums.values())) if albums else set()
    if not steps:
        return ()
    by_method = {name: _by_question(album, max(steps)) for name, album in albums.items()}
    shared = [id_ for id_ in next(iter(by_method.values())) if all(id_ in found for found in by_method.values())]
    chosen = [{name: found[id_] for name, found in by_method.items()} for id_ in shared]
    chosen.sort(key=lambda row: len({albums[name].correct(rollout) for name, rollout in row.items()}) == 1)
    return tuple({name: view_rollout(rollout, albums[name]) for name, rollout in row.items()} for row in chosen[:limit])


def pick_examples(album: Album, limit: int = EXAMPLES) -> tuple[RolloutView, ...]:
    """Rollouts of the last saved step: one of each kind (with and without the tool, right and wrong), then others.

    Raises:
        OSError, DamagedFileError: the saved rollouts cannot be read.
    """
    steps = saved_steps(album.rollouts)
    if not steps:
        return ()
    rollouts = [rollout for rollout in read_rollouts(album.rollouts, steps[-1]) if rollout.kind is Kind.ROLLOUT]
    kinds = {(rollout.used_tool, album.correct(rollout)): rollout for rollout in reversed(rollouts)}
    first = [kinds[kind] for kind in sorted(kinds, reverse=True)]
    chosen = first + [rollout for rollout in rollouts if rollout not in first]
    return tuple(view_rollout(rollout, album) for rollout in chosen[:limit])


def _by_question(album: Album, step: int) -> dict[str, RolloutRecord]:
    """The first saved rollout of each question."""
    rollouts = [rollout for rollout in read_rollouts(album.rollouts, step) if rollout.kind is Kind.ROLLOUT]
    return {rollout.question.id: rollout for rollout in reversed(rollouts)}


def _recovered(branch: GrownBranch, album: Album) -> int:
    return sum(reward >= album.success_threshold for reward in branch.rewards)


def _continuations(source: RolloutRecord, branch: GrownBranch, saved: Sequence[RolloutRecord]) -> list[RolloutRecord]:
    """The saved continuations of a branch."""
    return [
        rollout
        for rollout in saved
        if rollout.group == source.group
        and rollout.origin is not None
        and (rollout.origin.rollout, rollout.origin.cut) == (source.index, branch.cut)
    ]


def _branch_view(
    source: RolloutRecord, branch: GrownBranch, grown: Sequence[RolloutRecord], album: Album
) -> BranchView:
    best = max(grown, key=lambda rollout: rollout.reward)
    return BranchView(
        source=view_rollout(source, album, cut=branch.cut),
        continuation=view_rollout(best, album, cut=branch.cut),
        continuations=len(branch.rewards),
        recovered=_recovered(branch, album),
        confidence=branch.cut.confidence,
    )
