"""Defines `audit`: rollouts of any stack, streamed from files, counted, and what was found; and `AuditSettings`."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from axpo.audit.counts import MOST_PLACES, Counts
from axpo.audit.fields import Fields, UnreadableError
from axpo.audit.sample import Kept, rank_of
from axpo.audit.sources import FORMATS
from axpo.audit.stream import stream
from axpo.audit.tally import Estimates, Question, Tally, estimates_of
from axpo.audit.tool_tally import ToolTally
from axpo.audit.turns import ToolNames, read_rollout
from axpo.diagnostics.estimates import Estimate
from axpo.settings.config import ConfigError

PERIODS: Final = 10
"""Into how many periods steps are divided at most."""
FAILURES: Final = (
    *("forbidden_call", "failed_to_act", "mention_without_call", "premature_stop", "wrong_with_tool"),
    *("wrong_without_tool", "malformed_call"),
)
SUBGROUP: Final = "all_wrong_tool_subgroup"
"""A failure of a question, not of a rollout: nobody who called a tool is right."""
MOST_WORST: Final = 12
"""The worst questions that are kept."""
MOST_HOPS: Final = 12
"""Numbers of needed calls that are told apart."""
MOST_TOOLS: Final = 50
"""Tools that are measured; of those beyond them, less often called, the calls are counted."""
MOST_OVER_TIME: Final = 20
"""Environments and tools that are measured over steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFindings:
    """What was found of one tool."""

    calls: int
    """How often it was called."""
    rollouts: int
    """Rollouts that called it."""
    metrics: Estimates
    """`TOOL_METRICS` by name: of all rollouts those that call it; of these, whether calls are valid, succeed and are of
    use, and answers are right; of questions that forbid or require it, whether it is called."""


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
    split_by: str | None = None
    """The field that tells environments apart."""
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
    by_environment: Mapping[str, Estimates]
    """Per environment, those with the most rollouts first; empty where no record tells."""
    by_tool: Mapping[str, ToolFindings]
    """Per tool that was called or offered, the most often called first: at most `MOST_TOOLS`."""
    uncalled: Estimates
    """What is measured of a tool that nothing calls."""
    by_hops: Mapping[str, Estimates]
    """Per number of calls that a question needs; the most frequent of them."""
    over_time: Mapping[str, Estimates]
    """Per period of steps; empty where no step is told."""
    environments_over_time: Mapping[str, Mapping[str, Estimates]]
    """Per environment and period, of those with the most rollouts."""
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
    tools_over_time: Mapping[str, Mapping[str, Estimate | None]]
    """Per tool and period: the share of rollouts that called it, of those most often called."""
    tool_users: Mapping[int, int]
    """How many questions have that many tool-using rollouts."""


def audit(paths: Sequence[Path], settings: AuditSettings) -> Findings:
    """Reads and counts the rollouts of files and folders.

    Raises:
        ConfigError: a path does not exist, a file is of no known kind or format, nothing in it can be read, or no
            record has the field that is to tell environments apart.
    """
    counts = Counts(settings.success_threshold)
    files: dict[str, str] = {}
    fields = Fields(group_by=settings.group_by, reward=settings.reward, split_by=settings.split_by)
    counts.offer(settings.tools)
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
                counts.offer(transcript.tools)
                counts.add(seen.number, seen.place, read_rollout(transcript, tools))
    if not counts.whole.rollouts:
        said = f"; {counts.problems[0][0]}: {counts.problems[0][1]}" if counts.problems else ""
        raise ConfigError(f"no rollout in {', '.join(map(str, paths))} could be read{said}")
    if settings.split_by is not None and not counts.whole.environments:
        raise ConfigError(f"split_by: expected words or numbers in the field {settings.split_by!r}; no record has any")
    return _findings(files, counts)


def _findings(files: Mapping[str, str], counts: Counts) -> Findings:
    whole = counts.whole
    users = Counter(question.acting for question in whole.questions)
    calls = {name: tool.calls for name, tool in counts.tools.items()}
    tools = {name: counts.tools[name] for name in sorted(counts.tools, key=lambda name: -calls[name])}
    measured = dict(islice(tools.items(), MOST_TOOLS))
    asked, demands = whole.asked(), whole.demands()
    periods = _periods(whole)
    environments = whole.environments
    asked_in = whole.parts(lambda _, question: question.environment)
    subgroups = [each.example for each in whole.questions if each.scored_acting and not each.acting_right]
    return Findings(
        files=dict(files),
        rollouts=whole.rollouts,
        questions=len(whole),
        unscored=whole.unscored,
        unreadable=counts.unreadable,
        problems=tuple(counts.problems),
        metrics=estimates_of(whole.questions),
        by_environment={name: estimates_of(asked_in[name]) for name in environments},
        by_tool={
            name: ToolFindings(calls=calls[name], rollouts=tool.rollouts, metrics=tool.estimates(name, asked, demands))
            for name, tool in measured.items()
        },
        uncalled=ToolTally().estimates("", asked, {}),
        by_hops=_by_hops(whole),
        over_time=_over_time(whole, periods),
        environments_over_time=_environments_over_time(whole, environments[:MOST_OVER_TIME], periods)
        if periods
        else {},
        examples={kind: tuple(each.place for each in sorted(sample)) for kind, sample in _kept(counts).items()},
        tool_users=dict(sorted(users.items())),
        failures=_failures(counts, subgroups),
        samples=_samples(counts, subgroups),
        worst=_worst(whole),
        call_outcomes={name: tool.outcomes() for name, tool in tools.items()},
        tools_over_time=_tools_over_time(whole, dict(islice(tools.items(), MOST_OVER_TIME)), periods)
        if periods
        else {},
    )


def _kept(counts: Counts) -> dict[str, tuple[Kept, ...]]:
    """The examples of each failure."""
    return {kind: counts.examples[kind].kept for kind in FAILURES if kind in counts.examples}


def _failures(counts: Counts, subgroups: Sequence[int]) -> dict[str, int]:
    """How often each failure was met."""
    own: dict[str, int] = {kind: counts.examples[kind].offered for kind in FAILURES if kind in counts.examples}
    return {**own, SUBGROUP: len(subgroups)} if subgroups else own


def _samples(counts: Counts, subgroups: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Numbers of records to be looked at, by failure."""
    own = {kind: tuple(each.number for each in sample) for kind, sample in _kept(counts).items()}
    return {**own, SUBGROUP: tuple(heapq.nsmallest(MOST_PLACES, subgroups, key=rank_of))} if subgroups else own


def _by_hops(whole: Tally) -> dict[str, Estimates]:
    parts = whole.parts(lambda _, question: question.hops)
    most = heapq.nlargest(MOST_HOPS, (each for each in parts if each is not None), key=lambda each: len(parts[each]))
    return {str(number): estimates_of(parts[number]) for number in sorted(most)}


def _periods(whole: Tally) -> dict[int, str]:
    """The period of each step, in order; equally many steps a period."""
    order = sorted(whole.steps)
    size = -(-len(order) // PERIODS) or 1
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return {step: str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts for step in part}


def _over_time(whole: Tally, periods: Mapping[int, str]) -> dict[str, Estimates]:
    parts = whole.parts(lambda step, _: None if step is None else periods[step])
    return {period: estimates_of(parts[period]) for period in dict.fromkeys(periods.values())}


def _environments_over_time(
    whole: Tally, environments: Sequence[str], periods: Mapping[int, str]
) -> dict[str, dict[str, Estimates]]:
    parts = whole.parts(lambda step, question: (question.environment, None if step is None else periods[step]))
    order = dict.fromkeys(periods.values())
    return {name: {period: estimates_of(parts.get((name, period), ())) for period in order} for name in environments}


def _tools_over_time(
    whole: Tally, tools: Mapping[str, ToolTally], periods: Mapping[int, str]
) -> dict[str, dict[str, Estimate | None]]:
    asked = {
        period: whole.asked({step for step in periods if periods[step] == period})
        for period in dict.fromkeys(periods.values())
    }
    return {
        name: {period: tool.attempts(questions) for period, questions in asked.items()} for name, tool in tools.items()
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
