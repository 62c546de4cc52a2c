"""Defines `audit`: rollouts of any stack, streamed from files, counted, and what was found; and `AuditSettings`."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo.audit.counts import MOST_PLACES, Counts
from axpo.audit.fields import Fields, UnreadableError
from axpo.audit.sample import rank_of
from axpo.audit.sources import FORMATS
from axpo.audit.stream import stream
from axpo.audit.tally import Estimates, Question, Tally
from axpo.audit.turns import ToolNames, read_rollout
from axpo.diagnostics.estimates import Estimate
from axpo.settings.config import ConfigError

PERIODS: Final = 10
"""Into how many periods steps are divided at most."""
FAILURES: Final = ("mention_without_call", "premature_stop", "wrong_with_tool", "wrong_without_tool", "malformed_call")
SUBGROUP: Final = "all_wrong_tool_subgroup"
"""A failure of a question, not of a rollout: nobody who called a tool is right."""
MOST_WORST: Final = 12
"""The worst questions that are kept."""
MOST_HOPS: Final = 12
"""Numbers of needed calls that are told apart."""
OUTCOMES: Final = ("ran", "failed", "malformed", "untold")
"""What becomes of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstQuestion:
    """A question that is hardly ever answered rightly."""

    number: int
    """The record of one of its wrong rollouts, one with a tool if there is any: its place in the order of reading."""
    step: int | None
    """The training step; None where no step is told."""
    rollouts: int
    """Its rollouts that were scored."""
    right: int
    """Those of them that are right."""
    acting: int
    """Scored rollouts that called a tool."""
    acting_right: int
    """Those of them that are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """How rollouts are read."""

    format: str | None = None
    """One of `FORMATS`; None finds out, file by file."""
    group_by: str | None = None
    """The field that tells questions apart."""
    reward: str | None = None
    """The field that holds the reward."""
    tools: tuple[str, ...] = ()
    """Names and aliases of tools beside those that records declare."""
    success_threshold: float = 0.5
    """A rollout with a reward below it is wrong."""

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise ConfigError(f"format: expected one of {', '.join(FORMATS)}; got {self.format!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What an audit found."""

    files: Mapping[str, str]
    """The files that were read, each with its format."""
    rollouts: int
    """Rollouts that were counted."""
    questions: int
    """Questions, each step's counted anew."""
    unscored: int
    """Rollouts without a reward."""
    unreadable: int
    """Records that are none of their format."""
    problems: tuple[tuple[str, str], ...]
    """The first of them: place and reason."""
    metrics: Estimates
    """By name, with 95 % intervals; None where nothing was observed."""
    by_tool: Mapping[str, Mapping[str, Any]]
    """Per tool: calls, the shares that were valid and succeeded, and Pass@1 of the rollouts that called it."""
    by_hops: Mapping[str, Estimates]
    """Per number of calls that a question needs; the most frequent of them."""
    over_time: Mapping[str, Estimates]
    """Per period of steps; empty where no step is told."""
    examples: Mapping[str, tuple[str, ...]]
    """Per kind of failure the places of some rollouts."""
    failures: Mapping[str, int]
    """Per kind of failure how many rollouts show it; questions of `all_wrong_tool_subgroup`."""
    samples: Mapping[str, tuple[int, ...]]
    """The same records, and one of each of some questions at which nobody who called a tool is right, by their place in
    the order of reading; the first few are a smaller sample."""
    worst: tuple[WorstQuestion, ...]
    """The questions least often answered rightly; of equal ones those with more rollouts that called a tool first."""
    call_outcomes: Mapping[str, Mapping[str, int]]
    """Per tool: how many of its calls `ran`, `failed`, were `malformed` (unreadable, or of no offered tool), and of how
    many it is `untold`."""
    tools_over_time: Mapping[str, Mapping[str, Estimate]]
    """Per tool and period: the share of rollouts that called it, without interval."""
    tool_users: Mapping[int, int]
    """How many questions have that many tool-using rollouts."""


def audit(paths: Sequence[Path], settings: AuditSettings) -> Findings:
    """Reads and counts the rollouts of files and folders.

    Raises:
        ConfigError: a path does not exist, a file is of no known kind or format, or nothing in it can be read.
    """
    counts = Counts(settings.success_threshold)
    files: dict[str, str] = {}
    fields = Fields(group_by=settings.group_by, reward=settings.reward)
    tools = ToolNames(names=settings.tools)
    for seen in stream(paths, settings.format):
        files[str(seen.file)] = seen.format.name
        try:
            if isinstance(seen.record, UnreadableError):
                raise seen.record
            transcript = seen.format.read(seen.record, fields)
        except UnreadableError as error:
            counts.refuse(seen.place, error)
        else:
            if transcript is not None:
                counts.add(seen.number, seen.place, read_rollout(transcript, tools))
    if not counts.whole.rollouts:
        said = f"; {counts.problems[0][0]}: {counts.problems[0][1]}" if counts.problems else ""
        raise ConfigError(f"no rollout in {', '.join(map(str, paths))} could be read{said}")
    return _findings(files, counts)


def _findings(files: Mapping[str, str], counts: Counts) -> Findings:
    users = Counter(question.acting for question in counts.whole.questions)
    tools = sorted(counts.tools, key=lambda name: -counts.tools[name]["calls"])
    kept = {kind: counts.examples[kind].kept for kind in FAILURES if kind in counts.examples}
    periods = _periods(counts.whole)
    subgroups = [each.example for each in counts.whole.questions if each.scored_acting and not each.acting_right]
    return Findings(
        files=dict(files),
        rollouts=counts.whole.rollouts,
        questions=len(counts.whole),
        unscored=counts.whole.unscored,
        unreadable=counts.unreadable,
        problems=tuple(counts.problems),
        metrics=counts.whole.estimates(),
        by_tool={name: _of_tool(counts.tools[name]) for name in tools},
        by_hops=_by_hops(counts.whole),
        over_time={name: counts.whole.estimates(steps=steps) for name, steps in periods.items()},
        examples={kind: tuple(each.place for each in sorted(sample)) for kind, sample in kept.items()},
        tool_users=dict(sorted(users.items())),
        failures={
            **{kind: counts.examples[kind].offered for kind in kept},
            **({SUBGROUP: len(subgroups)} if subgroups else {}),
        },
        samples={
            **{kind: tuple(each.number for each in sample) for kind, sample in kept.items()},
            **({SUBGROUP: tuple(heapq.nsmallest(MOST_PLACES, subgroups, key=rank_of))} if subgroups else {}),
        },
        worst=_worst(counts.whole),
        call_outcomes={name: {part: counts.tools[name][part] for part in OUTCOMES} for name in tools},
        tools_over_time=_tools_over_time(counts, periods) if periods else {},
    )


def _of_tool(counts: Counter[str]) -> dict[str, Any]:
    def share(part: str, whole: str) -> float | None:
        return counts[part] / counts[whole] if counts[whole] else None

    return {
        "calls": counts["calls"],
        "rollouts": counts["rollouts"],
        "valid": share("valid", "calls"),
        "succeeded": share("succeeded", "told"),
        "pass1": share("right", "scored"),
    }


def _by_hops(whole: Tally) -> dict[str, Estimates]:
    found = Counter(question.hops for question in whole.questions if question.hops is not None)
    return {str(number): whole.estimates(hops=number) for number, _ in sorted(found.most_common(MOST_HOPS))}


def _periods(whole: Tally) -> dict[str, frozenset[int]]:
    """Equally many steps a period."""
    order = sorted(whole.steps)
    if not order:
        return {}
    size = -(-len(order) // PERIODS)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    names = (str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
    return {name: frozenset(part) for name, part in zip(names, parts, strict=True)}


def _tools_over_time(counts: Counts, periods: Mapping[str, frozenset[int]]) -> dict[str, dict[str, Estimate]]:
    rollouts = counts.whole.rollouts_by_step()
    wholes = {period: sum(rollouts[step] for step in steps) for period, steps in periods.items()}
    return {
        name: {
            period: Estimate(
                value=sum(by_step[step] for step in steps) / wholes[period], n=wholes[period], low=None, high=None
            )
            for period, steps in periods.items()
        }
        for name, by_step in counts.steps.items()
    }


def _worst(whole: Tally) -> tuple[WorstQuestion, ...]:
    failed = ((step, each) for step, each in whole.by_step() if each.example >= 0)
    found = heapq.nsmallest(MOST_WORST, failed, key=lambda item: _badness(item[1]))
    return tuple(
        WorstQuestion(
            number=each.example,
            step=step,
            rollouts=each.scored,
            right=each.right,
            acting=each.scored_acting,
            acting_right=each.acting_right,
        )
        for step, each in found
    )


def _badness(question: Question) -> tuple[float, int, int, int]:
    return question.right / question.scored, -question.scored_acting, -question.scored, question.example
