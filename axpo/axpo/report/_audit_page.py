"""Defines the page of an audit as its template reads it, and `write_audit`, which makes one HTML file of findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from axpo.audit.audit import SUBGROUP, AuditSettings, Findings
from axpo.audit.exhibits import clipped, exhibits
from axpo.audit.sources import FORMATS
from axpo.audit.verdict import verdict
from axpo.records import _atomic as atomic
from axpo.report._audit_charts import charts_by_environment, charts_by_hops, charts_over_time
from axpo.report._audit_examples import Example, example
from axpo.report._audit_tables import (
    MOST_PARTS,
    MOST_TOOLS,
    MetricRow,
    PartTable,
    ToolTable,
    environment_table,
    metric_rows,
    tool_table,
)
from axpo.report._dates import moment
from axpo.report._live_charts import LiveChart
from axpo.report._page import render_template

EXAMPLES: Final = 3
"""Rollouts shown of a kind of failure."""
_MOST_FILES: Final = 200
_CLASSES: Final = {
    "forbidden_call": (
        "Attempts a forbidden call",
        "The question forbids a call that the rollout attempts, whatever became of it.",
    ),
    "failed_to_act": ("Fails to act", "The question demands a call that the rollout never attempts."),
    "mention_without_call": (
        "Mentions a tool, calls none",
        "The thinking names a tool, and nothing in the rollout calls one: intent without an act.",
    ),
    "premature_stop": (
        "Stops early",
        "A wrong rollout with fewer calls than its question needs, such as a stop after the first of two hops.",
    ),
    SUBGROUP: (
        "All that called a tool are wrong",
        "Questions at which no rollout that called a tool is right, one such rollout of each: nothing here tells the "
        "policy that calling pays.",
    ),
    "malformed_call": ("Malformed call", "A call that cannot be read, or that names no tool that was offered."),
    "wrong_with_tool": ("Wrong with a tool", "The answer is wrong although a tool was called."),
    "wrong_without_tool": ("Wrong without a tool", "The answer is wrong, and no tool was called."),
}
"""Kinds of failure in reading order, each with its heading and meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    """A kind of failure with some rollouts that show it."""

    key: str
    """Its name in files, and its address within the page."""
    title: str
    """Its heading."""
    note: str
    """What it is."""
    count: int
    """How many rollouts (or questions) show it."""
    counted: str
    """What was counted: rollouts or questions."""
    examples: tuple[Example, ...]
    """A sample of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstRow:
    """A question that is hardly ever answered rightly."""

    facts: tuple[str, ...]
    """What is known of it, a cell each."""
    example: Example | None
    """One of its wrong rollouts; None where its record changed while it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Everything that the page of an audit shows."""

    name: str
    """What was audited."""
    made: str
    """When the page was made."""
    facts: tuple[str, ...]
    """What was read, in a few words each."""
    summary: tuple[str, ...]
    """What was found, a sentence each."""
    metrics: tuple[MetricRow, ...]
    """The metrics."""
    tools: ToolTable
    """The tools most often called."""
    more_tools: int
    """Names beside these."""
    environments: PartTable
    """The environments, where there are several."""
    more_environments: int
    """Environments beside these."""
    by_environment: tuple[LiveChart, ...]
    """Curves of the environments over steps."""
    over_time: tuple[LiveChart, ...]
    """Curves over steps; empty where no step is told."""
    by_hops: tuple[LiveChart, ...]
    """Curves over the number of calls that questions need; empty where no record tells."""
    worst: tuple[WorstRow, ...]
    """The worst questions."""
    classes: tuple[FailureClass, ...]
    """Kinds of failure that were found."""
    problems: tuple[tuple[str, str], ...]
    """The first records that could not be read: place and reason."""
    unreadable: int
    """How many there are."""
    files: tuple[tuple[str, str], ...]
    """The first files that were read, each with its format."""
    more_files: int
    """Files beside these."""
    threshold: float
    """A reward below it is wrong."""


def write_audit(path: Path, paths: Sequence[Path], settings: AuditSettings, findings: Findings) -> None:
    """Writes the page of an audit: one file that loads nothing and runs nothing.

    Args:
        path: the page.
        paths: what was audited; some records are read once more, to be shown.
        settings: how it was read.
        findings: what was found.

    Raises:
        ConfigError: what was audited is not there any more.
        OSError: the page cannot be written.
    """
    page = audit_page(paths, settings, findings, made=datetime.now(UTC))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, render_template("audit.html.j2", page))


def audit_page(paths: Sequence[Path], settings: AuditSettings, findings: Findings, *, made: datetime) -> AuditPage:
    """The page of an audit, dated `made`."""
    chosen = {kind: numbers[:EXAMPLES] for kind, numbers in findings.samples.items()}
    numbers = {number for some in chosen.values() for number in some} | {each.number for each in findings.worst}
    shown = {
        number: example(exhibit, settings.success_threshold)
        for number, exhibit in exhibits(paths, settings, numbers).items()
    }
    files = list(findings.files.items())
    return AuditPage(
        name=clipped(", ".join(str(each) for each in paths), 300),
        made=moment(made),
        facts=_facts(findings),
        summary=verdict(findings),
        metrics=metric_rows(findings),
        tools=tool_table(findings),
        more_tools=max(0, len(findings.call_outcomes) - MOST_TOOLS),
        environments=environment_table(findings),
        more_environments=max(0, len(findings.by_environment) - MOST_PARTS),
        by_environment=charts_by_environment(findings),
        over_time=charts_over_time(findings),
        by_hops=charts_by_hops(findings),
        worst=_worst(findings, shown),
        classes=tuple(_classes(findings, chosen, shown)),
        problems=tuple((place, clipped(reason, 300)) for place, reason in findings.problems),
        unreadable=findings.unreadable,
        files=tuple((name, FORMATS[kind].label) for name, kind in files[:_MOST_FILES]),
        more_files=max(0, len(files) - _MOST_FILES),
        threshold=settings.success_threshold,
    )


def _facts(findings: Findings) -> tuple[str, ...]:
    formats = sorted({FORMATS[name].label for name in findings.files.values()})
    unscored = (f"{findings.unscored:,} rollouts without a reward",) if findings.unscored else ()
    return (
        f"{findings.rollouts:,} rollouts",
        f"{findings.questions:,} questions",
        f"{len(findings.files):,} file{'' if len(findings.files) == 1 else 's'}",
        *formats,
        *unscored,
    )


def _worst(findings: Findings, shown: Mapping[int, Example]) -> tuple[WorstRow, ...]:
    return tuple(
        WorstRow(
            facts=(
                *(() if each.step is None else (f"step {each.step}",)),
                f"{each.right} of {each.rollouts} right",
                f"{each.acting_right} of {each.acting} right with a tool" if each.acting else "no tool called",
            ),
            example=shown.get(each.number),
        )
        for each in findings.worst
    )


def _classes(
    findings: Findings, chosen: Mapping[str, Iterable[int]], shown: Mapping[int, Example]
) -> Iterable[FailureClass]:
    for key, (title, note) in _CLASSES.items():
        if key in findings.failures:
            yield FailureClass(
                key=key,
                title=title,
                note=note,
                count=findings.failures[key],
                counted="questions" if key == SUBGROUP else "rollouts",
                examples=tuple(shown[number] for number in chosen[key] if number in shown),
            )
