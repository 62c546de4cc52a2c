"""Defines `audit`: rollouts of any stack, streamed from files, counted, and what was found; and `AuditSettings`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from axpo.audit.fields import Fields, UnreadableError
from axpo.audit.files import Placed, files_of, records
from axpo.audit.record import Rollout
from axpo.audit.sources import FORMATS, Format
from axpo.audit.tally import Estimates, Tally
from axpo.audit.turns import ToolNames, read_rollout
from axpo.settings.config import ConfigError

MOST_PLACES: Final = 20
"""Places of unreadable records, and examples of a kind of failure, that are kept."""
PERIODS: Final = 10
"""Into how many periods steps are divided at most."""
FAILURES: Final = ("mention_without_call", "premature_stop", "wrong_with_tool", "wrong_without_tool", "malformed_call")


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
    """Per number of calls that a question needs."""
    over_time: Mapping[str, Estimates]
    """Per period of steps; empty where no step is told."""
    examples: Mapping[str, tuple[str, ...]]
    """Per kind of failure the places of some rollouts."""
    tool_users: Mapping[int, int]
    """How many questions have that many tool-using rollouts."""


@dataclass(slots=True)
class _Counts:
    """Everything that grows while rollouts stream by."""

    threshold: float
    whole: Tally = field(init=False)
    tools: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    problems: list[tuple[str, str]] = field(default_factory=list)
    unreadable: int = 0

    def __post_init__(self) -> None:
        self.whole = Tally(self.threshold)

    def refuse(self, place: str, error: UnreadableError) -> None:
        self.unreadable += 1
        if len(self.problems) < MOST_PLACES:
            self.problems.append((place, str(error)))

    def add(self, place: str, rollout: Rollout) -> None:
        self.whole.add(rollout)
        right = rollout.reward is not None and rollout.reward >= self.threshold
        for name in {call.name or "(unreadable)" for call in rollout.calls}:
            self.tools[name]["rollouts"] += 1
            self.tools[name]["scored"] += rollout.reward is not None
            self.tools[name]["right"] += right
        for call, known in zip(rollout.calls, rollout.known, strict=True):
            counts = self.tools[call.name or "(unreadable)"]
            counts["calls"] += 1
            counts["valid"] += known
            counts["told"] += call.succeeded is not None
            counts["succeeded"] += bool(call.succeeded)
        for kind in _failures(rollout, right=right):
            if len(self.examples[kind]) < MOST_PLACES:
                self.examples[kind].append(place)


def audit(paths: Sequence[Path], settings: AuditSettings) -> Findings:
    """Reads and counts the rollouts of files and folders.

    Raises:
        ConfigError: a path does not exist, a file is of no known kind or format, or nothing in it can be read.
    """
    counts = _Counts(settings.success_threshold)
    files = {}
    fields = Fields(group_by=settings.group_by, reward=settings.reward)
    tools = ToolNames(names=settings.tools)
    for file in (file for path in paths for file in files_of(path)):
        kind, placed = _with_format(file, settings.format)
        if kind is None:
            continue
        files[str(file)] = kind.name
        for place, record in placed:
            try:
                if isinstance(record, UnreadableError):
                    raise record
                transcript = kind.read(record, fields)
            except UnreadableError as error:
                counts.refuse(place, error)
            else:
                if transcript is not None:
                    counts.add(place, read_rollout(transcript, tools))
    if not counts.whole.rollouts:
        said = f"; {counts.problems[0][0]}: {counts.problems[0][1]}" if counts.problems else ""
        raise ConfigError(f"no rollout in {', '.join(map(str, paths))} could be read{said}")
    return _findings(files, counts)


def _with_format(file: Path, name: str | None) -> tuple[Format | None, Iterator[Placed]]:
    """The format of a file, told by its first readable record, and its records from the start."""
    placed = records(file)
    if name is not None:
        return FORMATS[name], placed
    seen: list[Placed] = []
    for each in placed:
        seen.append(each)
        if not isinstance(each.record, UnreadableError):
            kind = next((kind for kind in FORMATS.values() if kind.matches(each.record)), None)
            if kind is None:
                known = ", ".join(kind.label for kind in FORMATS.values())
                fields = ", ".join(list(map(str, each.record))[:12])
                raise ConfigError(
                    f"{each.place}: expected a record of {known}; got one with the fields {fields} "
                    "(--format says which it is)"
                )
            return kind, _chained(seen, placed)
    return (next(iter(FORMATS.values())) if seen else None), iter(seen)


def _chained(seen: Sequence[Placed], rest: Iterator[Placed]) -> Iterator[Placed]:
    yield from seen
    yield from rest


def _failures(rollout: Rollout, *, right: bool) -> Iterator[str]:
    if rollout.mentions and not rollout.used_tool:
        yield "mention_without_call"
    if not all(rollout.known):
        yield "malformed_call"
    if rollout.reward is None or right:
        return
    if rollout.used_tool and rollout.hops is not None and len(rollout.calls) < rollout.hops:
        yield "premature_stop"
    yield "wrong_with_tool" if rollout.used_tool else "wrong_without_tool"


def _findings(files: Mapping[str, str], counts: _Counts) -> Findings:
    users = Counter(question.acting for question in counts.whole.questions)
    return Findings(
        files=dict(files),
        rollouts=counts.whole.rollouts,
        questions=len(counts.whole),
        unscored=counts.whole.unscored,
        unreadable=counts.unreadable,
        problems=tuple(counts.problems),
        metrics=counts.whole.estimates(),
        by_tool={
            name: _of_tool(tool) for name, tool in sorted(counts.tools.items(), key=lambda item: -item[1]["calls"])
        },
        by_hops=_by_hops(counts.whole),
        over_time=_periods(counts.whole),
        examples={kind: tuple(counts.examples[kind]) for kind in FAILURES if counts.examples.get(kind)},
        tool_users=dict(sorted(users.items())),
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
    hops = sorted({question.hops for question in whole.questions if question.hops is not None})
    return {str(number): whole.estimates(hops=number) for number in hops}


def _periods(whole: Tally) -> dict[str, Estimates]:
    """Equally many steps a period."""
    order = sorted(whole.steps)
    if not order:
        return {}
    size = -(-len(order) // PERIODS)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    names = (str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
    return {name: whole.estimates(steps=frozenset(part)) for name, part in zip(names, parts, strict=True)}
