"""Defines `advantages_of`: what the rollouts of a group were credited with, where all of it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from axpo.algorithm.methods import method_named
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.records._folder import CONFIG
from axpo.records.rollout_record import Cut, RolloutRecord
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import read_toml
from axpo.viewer._runs import Run
from axpo_agents.errors import NonFiniteError
from axpo_agents.types import Rollout
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import EpisodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What some of a rollout's sampled tokens were credited with."""

    value: float
    """The advantage (dimensionless)."""
    start: int
    """First sampled token it applies to, counted over all turns."""
    stop: int
    """One past the last."""


def advantages_of(run: Run, records: Sequence[RolloutRecord]) -> Mapping[int, Credit]:
    """What the run's method makes of a group's rewards, by the place of a rollout in `records`.

    Advantages are not recorded: they follow from rewards and settings, and are computed here by the function that
    training calls. Empty where a rollout or a continuation of the group is not saved, for a method that comes from
    outside (nothing is imported for a page), and where the settings are not those of this version.
    """
    if ":" in str(run.settings["method"]):
        return {}
    try:
        config = read_toml(run.folder / CONFIG, TrainConfig)
        method = method_named(config.method)
        group = _group(records, config.sampling.group_size)
        found = () if group is None else method.credit([group], config)
    except (ConfigError, NonFiniteError, ValueError, LookupError, OSError):
        return {}
    places = {id(record.rollout): number for number, record in enumerate(records)}
    return {
        places[id(advantage.rollout)]: Credit(
            value=advantage.value,
            start=_sampled_before(advantage.rollout, advantage.start),
            stop=_sampled_before(advantage.rollout, advantage.stop),
        )
        for advantage in found
    }


def _group(records: Sequence[RolloutRecord], size: int) -> Group | None:
    """The group as it was trained on, but for snapshots; None where something of it is missing."""
    own = sorted((record for record in records if record.origin is None), key=lambda record: record.index)
    if [record.index for record in own] != list(range(size)):
        return None
    branches = []
    for source in own:
        for grown in source.branches:
            found = [
                record
                for record in records
                if record.origin is not None and (record.origin.rollout, record.origin.cut) == (source.index, grown.cut)
            ]
            found.sort(key=lambda record: record.index)
            if tuple(record.reward for record in found) != grown.rewards:
                return None
            continuations = tuple(record.rollout for record in found)
            point = _point(source, grown.cut, continuations)
            branches.append(Branch(point=point, continuations=continuations))
    rollouts = tuple(record.rollout for record in own)
    return Group(question=own[0].question, rollouts=rollouts, branches=tuple(branches))


def _point(source: RolloutRecord, cut: Cut, continuations: Sequence[Rollout]) -> BranchPoint:
    # What continuations were given beyond the frozen prefix was added to it.
    given = [each.completions[cut.turn] for each in continuations if cut.turn < len(each.completions)]
    first = given[0] if given else None
    added = slice(cut.token, 0 if first is None else first.forced)
    # Advantages do not look at snapshots, and none is saved.
    nowhere = Snapshot(state=EpisodeState(question=source.question, seed=0), env_id="")
    return BranchPoint(
        group=0,
        rollout=source.index,
        turn=cut.turn,
        token=cut.token,
        confidence=cut.confidence,
        snapshot=nowhere,
        continuations=len(continuations),
        added=() if first is None else first.ids[added],
        added_logprobs=() if first is None else first.logprobs[added],
    )


def _sampled_before(rollout: Rollout, position: int) -> int:
    """How many sampled tokens stand before a position of the whole sequence."""
    return sum(rollout.sequence().sampled[:position])
